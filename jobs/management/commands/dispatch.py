"""`manage.py dispatch`: run the dispatcher, leading or standing by."""

import os
import secrets
import signal
import socket
import threading
from argparse import ArgumentParser
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand
from django.db import connection

from jobs.broker import Publisher
from jobs.dispatcher import Dispatcher
from tenants.acting import be
from tenants.management.product_command import command_errors


class Command(BaseCommand):
    help = "Hand queued jobs to workers in fair order. A second one stands by."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--data", help="folder of the one-machine stack")

    def handle(self, *_: Any, **__: Any) -> None:
        """Run until SIGINT or SIGTERM; refuse to start without a database."""
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        with command_errors():
            connection.ensure_connection()
        holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        be(f"dispatcher {holder}")
        Dispatcher(holder=holder, publisher=Publisher(current_app)).run(stop)
