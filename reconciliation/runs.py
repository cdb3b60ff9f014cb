"""A run's beginning and end: what it looks at, what it found, and what it leaves."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Max, Min, Q
from django.db.models.functions import Now

from ingestion import profiles
from ingestion.models import IngestedFile
from jobs.errors import PermanentError, RetryableError
from jobs.handlers import JSONDict
from reconciliation import counting
from reconciliation.carrying import rekey
from reconciliation.fragments import SET_BASED
from reconciliation.matching import Rule, Terms
from reconciliation.models import Finding, OpenRow, Profile, Run
from reconciliation.payload_checks import no_profile
from reconciliation.scope import Scope
from reconciliation.terms import (
    NotARuleError,
    faults_of,
    rule_from_json,
    rules_of,
    terms_from_json,
    terms_json,
    terms_of,
)

#: Rows of an earlier run that are removed in one step.
_TIDIED_AT_ONCE: Final = 100_000

_IN_PERIOD: Final = "o.at >= %(starts)s AND o.at < %(ends)s"
_MATCHED: Final = f"""
SELECT o.rule, count(*) FROM reconciliation_openrow o
WHERE o.run_id = %(holder)s AND {_IN_PERIOD} GROUP BY o.rule
"""  # noqa: S608 - constants
_TOLD: Final = f"""
SELECT f.mismatch_type, count(*) FROM reconciliation_finding f
JOIN reconciliation_openrow o ON o.run_id = %(holder)s
    AND o.transaction_id = COALESCE(f.internal_id, f.external_id)
WHERE f.run_id = %(run)s AND {_IN_PERIOD} GROUP BY f.mismatch_type
"""  # noqa: S608 - constants
_TIDY: Final = """
DELETE FROM {table} x WHERE x.ctid = ANY(ARRAY(
    SELECT x.ctid FROM {table} x JOIN reconciliation_run r ON r.id = x.run_id
    WHERE r.profile_id = %(profile)s AND {which} LIMIT %(most)s))
"""


def run_begin(
    *,
    tenant: str,
    job_id: UUID,
    payload: JSONDict,
    now: datetime,
) -> Run:
    """Return the run of a job, which begins to look at its period.

    A job that was dead begins anew. Raises PermanentError for what cannot be run, and
    RetryableError while another run of the profile is at work.
    """
    profile = Profile.objects.filter(name=payload["profile"])
    # Two runs that begin at once: one of them sees the other.
    locked: Profile | None = profile.select_for_update(no_key=True).first()
    if locked is None:
        raise PermanentError("unknown_profile", no_profile(payload["profile"]))
    rules = _other_rules(payload)
    terms = _checked_terms(locked, rules)
    starts, ends = (
        datetime.fromisoformat(payload[name]) for name in ("starts_at", "ends_at")
    )
    if starts >= now:
        text = "The period has not begun yet; run it when it is over."
        raise PermanentError("period_in_future", text)
    run = _new_run(tenant, job_id)
    run.profile = locked
    run.period_starts_at, run.period_ends_at, run.as_of = starts, ends, now
    run.terms, run.is_dry = terms_json(terms), rules is not None
    run.state, run.counts = Run.State.RUNNING, {}
    _follow(run, terms)
    run.save()
    return run


def _new_run(tenant: str, job_id: UUID) -> Run:
    """Return a run of the job that is later than all others.

    The one that died with it stays as it was, without a job: others have been at work
    since, and what they found is what this one follows.
    """
    for dead in Run.objects.filter(job_id=job_id):
        _forget_rows(dead.pk)
        dead.job_id, dead.state = None, Run.State.FAILED
        dead.save(update_fields=["job", "state"])
    return Run(tenant_id=tenant, job_id=job_id)


def _follow(run: Run, terms: Terms) -> None:
    """Pin what a run reads, and what came before it."""
    sources = [*terms.internal, *terms.external]
    files = IngestedFile.objects.filter(
        # A statement without payments may be the one that shows a gap.
        Q(inserted__gt=0) | Q(fault_count__gt=0),
        state=IngestedFile.State.LOADED,
        source__in=sources,
    )
    run.file_ids = sorted(files.values_list("pk", flat=True))
    run.previous, run.mode, run.holder_id = None, Run.Mode.FULL, None
    if run.is_dry:
        return
    others = Run.objects.filter(profile=run.profile, is_dry=False)
    busy = others.filter(state=Run.State.RUNNING).exclude(pk=run.pk).first()
    if busy is not None:
        text = f"Run {busy.pk} of the profile is at work; this one waits for its end."
        raise RetryableError("profile_busy", text)
    last = others.filter(state=Run.State.DONE).order_by("-pk").first()
    run.previous = last
    # What failed since has changed things, too, by terms of its own.
    since = others.filter(pk__gt=last.pk) if last else others
    gone_by = list(since.order_by("-pk").values_list("terms", flat=True))
    if last is not None:
        gone_by.append(last.terms)
        if _is_same_period(last, run) and all(one == run.terms for one in gone_by):
            run.mode, run.holder_id = Run.Mode.CHANGES, last.holder
    if gone_by:
        _bring_to(run.profile_id, terms_from_json(gone_by[0]), terms)


def _bring_to(profile_id: int, before: Terms, terms: Terms) -> None:
    """Bring what was written by other terms to these."""
    if _days(before) != _days(terms):
        counting.forget(profile_id)
    if before.primary is not terms.primary:
        rekey(profile_id, terms)


def _is_same_period(one: Run, other: Run) -> bool:
    return (one.period_starts_at, one.period_ends_at) == (
        other.period_starts_at,
        other.period_ends_at,
    )


def _days(terms: Terms) -> tuple[Any, ...]:
    """Return by what terms tell days and sides."""
    sides = sorted(terms.internal), sorted(terms.external)
    return (terms.zone.key, terms.cutoff, *sides)


def _other_rules(payload: JSONDict) -> list[Rule] | None:
    if (given := payload.get("rules")) is None:
        return None
    try:
        return [rule_from_json(rule) for rule in given]
    except NotARuleError as error:
        raise PermanentError("unknown_rule", str(error)) from error


def _checked_terms(profile: Profile, rules: list[Rule] | None) -> Terms:
    wanted: Sequence[Rule] = rules_of(profile) if rules is None else rules
    if faults := faults_of(profile, wanted, known=profiles.source_names()):
        text = " ".join(f"{field}: {what}" for field, what in faults)
        raise PermanentError("profile_has_faults", f"The profile cannot be run. {text}")
    return terms_of(profile, wanted)


def run_load(run_id: int) -> tuple[Run, Scope, Terms]:
    """Return a run, what it looks at, and what it goes by."""
    run = Run.objects.select_related("previous").get(pk=run_id)
    since, until, fresh = None, run.period_ends_at, set[int]()
    if run.previous is not None:
        since, until = _told_of(run)
        fresh = set(run.file_ids).difference(run.previous.file_ids)
    scope = Scope(
        run_id=run.pk,
        profile_id=run.profile_id,
        tenant=run.tenant_id,
        files=run.file_ids,
        starts=run.period_starts_at,
        ends=run.period_ends_at,
        fresh=sorted(fresh),
        since=since,
        until=until,
        previous_id=run.previous_id,
        previous_holder_id=run.previous and run.previous.holder,
        holder_id=run.holder,
    )
    return run, scope, terms_from_json(run.terms)


def _told_of(run: Run) -> tuple[datetime, datetime]:
    """Return from when on and up to when the profile is told of, this run included."""
    before = Run.objects.filter(
        profile_id=run.profile_id, state=Run.State.DONE, is_dry=False, pk__lt=run.pk
    )
    span = before.aggregate(first=Min("period_starts_at"), last=Max("period_ends_at"))
    return (
        min(run.period_starts_at, span["first"]),
        max(run.period_ends_at, span["last"]),
    )


def run_end(*, run: Run, scope: Scope, counts: JSONDict) -> JSONDict:
    """Close a run with what it counted; returns all counts.

    It ends by the database's clock: its attempt may have begun long before.
    """
    values = scope.values
    with connection.cursor() as cursor:
        cursor.execute(SET_BASED)
        cursor.execute(_MATCHED, values)
        by_rule = dict(cursor.fetchall())
        cursor.execute(_TOLD, values)
        told = dict(cursor.fetchall())
    unmatched = by_rule.pop(None, 0)
    matched = {str(place): rows for place, rows in sorted(by_rule.items())}
    every = counts | {"unmatched": unmatched, "matched": matched, "mismatches": told}
    Run.objects.filter(pk=run.pk).update(
        state=Run.State.DONE, counts=every, finished_at=Now()
    )
    return every


def run_tidy(*, run: Run) -> bool:
    """Remove rows that no run needs any more; returns whether there may be others.

    The open rows of the last run that was no dry one are those of its profile.
    """
    which = (
        "r.id = %(run)s" if run.is_dry else "r.id < %(run)s AND r.state <> 'running'"
    )
    values = {"profile": run.profile_id, "most": _TIDIED_AT_ONCE}
    removed = 0
    with connection.cursor() as cursor:
        for model, last in ((OpenRow, run.holder), (Finding, run.pk)):
            statement = _TIDY.format(table=model._meta.db_table, which=which)
            cursor.execute(statement, {**values, "run": last})
            removed = max(removed, cursor.rowcount)
    return removed == _TIDIED_AT_ONCE


def run_fail(job_id: UUID) -> None:
    """Show the run of a dead or cancelled job as failed."""
    runs = Run.objects.filter(job_id=job_id, state=Run.State.RUNNING)
    runs.update(state=Run.State.FAILED)


def _forget_rows(run_id: int) -> None:
    OpenRow.objects.filter(run_id=run_id).delete()
    Finding.objects.filter(run_id=run_id).delete()
