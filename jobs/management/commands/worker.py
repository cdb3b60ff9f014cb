"""`manage.py worker`: run a Celery worker for a pool, or for maintenance."""

import os
import socket
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from celery import current_app as app
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand
from django.db import connection

from jobs import dead_letter_consumer, suspects, workers
from jobs.queues import MAINTENANCE_QUEUE, pool_queue
from tenants.acting import be
from tenants.management.product_command import command_errors
from tenants.models import slug_validator


def pool(text: str) -> str:
    """Return the name of a pool, which becomes the name of a queue."""
    try:
        slug_validator(text)
    except ValidationError as error:
        raise ArgumentTypeError(
            f"{text!r} is not the name of a pool. {error.messages[0]}"
        ) from None
    return text


def slots(text: str) -> int:
    """Return a number of slots."""
    if not text.isdecimal() or not 1 <= int(text) <= suspects.CHILDREN:
        raise ArgumentTypeError(
            f"{text!r} is not a whole number from 1 to {suspects.CHILDREN}"
        )
    return int(text)


class Command(BaseCommand):
    help = (
        "Work for a pool (--pool NAME), or on scheduled tasks and housekeeping "
        "(--maintenance)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        serves = parser.add_mutually_exclusive_group()
        serves.add_argument(
            "--pool", type=pool, default="shared", help="pool to work for (shared)"
        )
        serves.add_argument(
            "--maintenance",
            action="store_true",
            help="run what beat sends instead; one such worker is enough",
        )
        parser.add_argument(
            "--concurrency",
            type=slots,
            default=2,
            metavar="N",
            help="slots: jobs at work at once, each in a process of its own (2)",
        )
        parser.add_argument(
            "--loglevel", default="INFO", help="least level that is logged (INFO)"
        )
        parser.add_argument("--data", help="folder of the one-machine stack")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run until SIGTERM or SIGINT; running attempts are let end.

        Refuses to start without a database.
        """
        with command_errors():
            connection.ensure_connection()
            # The children are forked from here, and a connection is not shared.
            connection.close()
        if options["maintenance"]:
            name, queue = "maintenance", MAINTENANCE_QUEUE
            dead_letter_consumer.install(app)
        else:
            name, queue = options["pool"], pool_queue(options["pool"])
            app.conf.task_queues = (queue,)
            workers.install(app, pool=options["pool"])
        hostname = f"{name}@{socket.gethostname()}-{os.getpid()}"
        be(f"worker {hostname}")
        app.worker_main(
            [
                "worker",
                f"--queues={queue.name}",
                f"--concurrency={options['concurrency']}",
                f"--hostname={hostname}",
                f"--loglevel={options['loglevel']}",
                "--without-gossip",
                "--without-mingle",
                "-Ofair",
            ]
        )
