"""Schedules: made, paused and resumed, and decided slot by slot, each once.

Beat wakes `decide` at a schedule's times and `decide_due` every minute; any number of
them may run at once. Whoever holds a schedule's row decides its slots after
`decided_upto`, and commits together what each slot became, the jobs, and how far it is
decided. A slot is unique by schedule and time, which is the key of idempotency: who got
past the lock anyway fails whole, jobs included.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from uuid import uuid4
from zoneinfo import ZoneInfo

from django.db import DatabaseError, transaction
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from jobs.handlers import UnknownKindError
from jobs.models import Job
from jobs.queues import MAINTENANCE_QUEUE
from jobs.switches import NotAcceptingError
from reconciliation.crontabs import FIELDS, Crontab, CrontabError, crontab_of
from reconciliation.due import Covers, Days, Missed, Plan, covered, plan
from reconciliation.models import Schedule, Slot
from reconciliation.orders import report_order, run_order
from reconciliation.slots import slots
from tenants.acting import acting
from tenants.scoping import all_tenants

#: The task that beat sends for each schedule, with its id.
WAKE: Final = "reconciliation.tasks.wake_schedule"
_MOST_NAME: Final = 200
_CUT: Final = "Missed. Earlier ones that were missed are not listed."

_log = logging.getLogger(__name__)


# --- What is due ----------------------------------------------------------------------


def decide_due(*, now: datetime) -> dict[str, int]:
    """Decide every slot that is due by now; returns how many became what."""
    with all_tenants(reason="find schedules that are due"):
        due = list(_due(now))
    counts: Counter[str] = Counter()
    for schedule_id in due:
        counts.update(decide(schedule_id=schedule_id, now=now))
    return dict(counts)


def decide(*, schedule_id: int, now: datetime) -> dict[str, int]:
    """Decide the slots of one schedule that are due by now; returns counts.

    Whatever fails concerns this schedule only: it is logged, counted as `failed`, and
    tried again by the next who decides.
    """
    try:
        with (
            acting(who=f"schedule {schedule_id}"),
            all_tenants(reason="decide what a schedule runs"),
        ):
            schedule = _locked(schedule_id)
            if schedule is None or not schedule.task.enabled:
                return {}
            return _decide(schedule, now)
    except Exception:  # noqa: BLE001 - the other schedules go on
        _log.exception("Schedule %s could not be decided", schedule_id)
        return {"failed": 1}


def _due(now: datetime) -> Iterator[int]:
    on = Schedule.objects.filter(task__enabled=True, decided_upto__lt=now)
    for schedule in on.select_related("task__crontab").order_by("pk"):
        try:
            if any(slots(crontab(schedule), schedule.decided_upto, now)):
                yield schedule.pk
        except CrontabError:
            _log.exception("Schedule %s has no readable crontab", schedule.pk)


def _locked(schedule_id: int) -> Schedule | None:
    """Return a schedule that nobody else decides until the transaction ends."""
    rows = Schedule.objects.select_for_update(no_key=True)
    found: Schedule | None = rows.filter(pk=schedule_id).first()
    return found


def _decide(schedule: Schedule, now: datetime) -> dict[str, int]:
    if now <= schedule.decided_upto:
        return {}
    planned = plan(
        crontab(schedule),
        after=schedule.decided_upto,
        now=now,
        missed=Missed(schedule.missed),
    )
    made = [*_skipped(schedule, planned)]
    made += [_run(schedule, due_at, now) for due_at in planned.runs]
    Slot.objects.bulk_create(made)
    schedule.decided_upto = planned.upto
    schedule.save(update_fields=["decided_upto"])
    return dict(Counter(str(slot.outcome) for slot in made))


def _skipped(schedule: Schedule, planned: Plan) -> Iterator[Slot]:
    for number, due_at in enumerate(planned.skipped):
        text = _CUT if planned.is_cut and number == 0 else ""
        yield _slot(schedule, due_at, Slot.Outcome.SKIPPED, text=text)


def _run(schedule: Schedule, due_at: datetime, now: datetime) -> Slot:
    """Order what a slot is for; a refusal is what became of it, then."""
    try:
        with transaction.atomic():
            job = _order(schedule, at=due_at, now=now)
    except DatabaseError:
        raise
    except (NotAcceptingError, UnknownKindError) as error:
        return _slot(schedule, due_at, Slot.Outcome.REFUSED, text=str(error))
    except Exception as error:  # noqa: BLE001 - told as what became of the slot
        _log.exception("Schedule %s: nothing ordered for %s", schedule.pk, due_at)
        text = f"{type(error).__name__}: {error}"
        return _slot(schedule, due_at, Slot.Outcome.REFUSED, text=text)
    return _slot(schedule, due_at, Slot.Outcome.ENQUEUED, job=job)


def _slot(
    schedule: Schedule,
    due_at: datetime,
    outcome: Slot.Outcome,
    *,
    text: str = "",
    job: Job | None = None,
) -> Slot:
    return Slot(
        tenant_id=schedule.tenant_id,
        schedule=schedule,
        due_at=due_at,
        outcome=outcome,
        text=text,
        job_id=None if job is None else job.pk,
    )


def run_now(*, schedule: Schedule, now: datetime) -> Job:
    """Order what the schedule would if it were due now; its slots stay as they are.

    Raises switches.NotAcceptingError.
    """
    return _order(schedule, at=now, now=now)


def _order(schedule: Schedule, *, at: datetime, now: datetime) -> Job:
    starts_at, ends_at = period(schedule, at)
    if schedule.profile is not None:
        return run_order(
            profile=schedule.profile, starts_at=starts_at, ends_at=ends_at, now=now
        )
    payload: dict[str, Any] = {
        **(schedule.report or {}),
        "starts_at": starts_at.isoformat(),
        "ends_at": ends_at.isoformat(),
    }
    return report_order(tenant_id=schedule.tenant_id, payload=payload, now=now)


def period(schedule: Schedule, at: datetime) -> tuple[datetime, datetime]:
    """Return the period that a slot at a moment is about."""
    profile = schedule.profile
    if profile is None:
        days = Days(crontab(schedule).zone)
    else:
        days = Days(ZoneInfo(profile.time_zone), profile.cutoff)
    return covered(Covers(schedule.covers), at, days)


def crontab(schedule: Schedule) -> Crontab:
    """Return the times of a schedule.

    Raises CrontabError.
    """
    row = schedule.task.crontab
    if row is None:
        raise CrontabError("minute", "the task of beat has no crontab")
    fields = {name: getattr(row, name) for name, *_ in FIELDS}
    return crontab_of(**fields, zone=ZoneInfo(str(row.timezone)))


# --- Their life -----------------------------------------------------------------------


def schedule_save(*, schedule: Schedule, cron: Crontab, now: datetime) -> Schedule:
    """Write a schedule, new or changed, with its task of beat and its crontab.

    What was due by other times is decided before they change; slots of new times begin
    now. Call it in a scope.
    """
    with transaction.atomic():
        if schedule._state.adding:
            _add(schedule, cron, now)
        else:
            _change(schedule, cron, now)
        schedule.task.name = _name(schedule)
        schedule.task.args = f"[{schedule.pk}]"
        schedule.task.save(update_fields=["name", "args"])
    return schedule


def _add(schedule: Schedule, cron: Crontab, now: datetime) -> None:
    schedule.task = PeriodicTask.objects.create(
        name=f"schedule: {uuid4()}",
        task=WAKE,
        queue=MAINTENANCE_QUEUE.name,
        crontab=CrontabSchedule.objects.create(**_columns(cron)),
        description="Kept by the screen of schedules.",
    )
    schedule.decided_upto = now
    schedule.save()


def _change(schedule: Schedule, cron: Crontab, now: datetime) -> None:
    before = _locked(schedule.pk)
    if before is None:
        raise Schedule.DoesNotExist(f"schedule {schedule.pk} was deleted")
    schedule.decided_upto = before.decided_upto
    columns = _columns(cron)
    row = before.task.crontab
    if any(str(getattr(row, name)) != str(columns[name]) for name in columns):
        if before.task.enabled:
            # What cannot be read is about to be mended.
            with suppress(CrontabError):
                _decide(before, now)
        schedule.decided_upto = max(now, before.decided_upto)
        for name, value in columns.items():
            setattr(row, name, value)
        row.save()
    schedule.task = before.task
    schedule.save()


def _columns(cron: Crontab) -> dict[str, object]:
    texts = dict(zip((name for name, *_ in FIELDS), cron.text.split(), strict=True))
    return {**texts, "timezone": cron.zone}


def _name(schedule: Schedule) -> str:
    text = f"schedule {schedule.pk}: {schedule.name} of {schedule.tenant_id}"
    return text[:_MOST_NAME]


def schedule_delete(*, schedule: Schedule) -> None:
    """Remove a schedule with its slots, its task of beat and its crontab; jobs stay."""
    with transaction.atomic():
        task = schedule.task
        schedule.delete()
        # With its task, which belongs to nothing else.
        task.crontab.delete()


def schedule_pause(*, schedule: Schedule) -> bool:
    """Let no slot run until it is resumed; returns whether it was on.

    What is not decided yet is let go.
    """
    return _switch(schedule.pk, is_on=False, decided_upto=None)


def schedule_resume(*, schedule: Schedule, now: datetime) -> bool:
    """Let slots run from now on; returns whether it was paused.

    Those of the pause are neither missed nor run.
    """
    return _switch(schedule.pk, is_on=True, decided_upto=now)


def _switch(schedule_id: int, *, is_on: bool, decided_upto: datetime | None) -> bool:
    with transaction.atomic():
        locked = _locked(schedule_id)
        if locked is None or locked.task.enabled == is_on:
            return False
        if decided_upto is not None:
            locked.decided_upto = max(decided_upto, locked.decided_upto)
            locked.save(update_fields=["decided_upto"])
        locked.task.enabled = is_on
        locked.task.save(update_fields=["enabled", "last_run_at"])
    return True


# --- What was -------------------------------------------------------------------------


def last_slots(schedules: Iterable[Schedule]) -> dict[int, Slot]:
    """Return the latest slot of each of these schedules that has one, by its id."""
    ids = [schedule.pk for schedule in schedules]
    rows = Slot.objects.filter(schedule_id__in=ids)
    latest = rows.order_by("schedule_id", "-due_at").distinct("schedule_id")
    return {slot.schedule_id: slot for slot in latest}
