"""What a change of a tenant's settings would have done, as its page shows it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from fairshare.explain import in_words
from fairshare.whatif import Outcome, TenantChange
from jobs import previews
from jobs.backlog import TenantConfig
from jobs.previews import NothingToReplayError, NoWorkersError, Preview

#: Jobs that are replayed at most, so that the page takes seconds, and tenants shown.
MOST_JOBS: Final = 20_000
MOST_ROWS: Final = 50
#: The shorter one first: if it holds too many jobs, the longer one adds none.
WINDOWS: Final = (("hour", timedelta(hours=1)), ("24 hours", timedelta(hours=24)))

#: Left out on a narrow screen.
_WIDE: Final = "dtq-wide-only"
NO_MORE_JOBS: Final = "The same jobs: none arrived before the last hour."


def context(
    before: TenantConfig, after: TenantConfig, *, now: datetime
) -> dict[str, Any]:
    """Return the tables of the preview, or the reason why there are none."""
    changes = list(_changes(before, after))
    found = list(_previews(before, after, now)) if before != after else []
    return {
        "slug": before.slug,
        "changes": changes,
        "changes_nothing": before == after,
        "previews": found,
        "most_jobs": f"{MOST_JOBS:,}",
    }


def _previews(
    before: TenantConfig, after: TenantConfig, now: datetime
) -> Iterator[dict[str, Any]]:
    settings = previews.settings()
    slots = previews.live_slots()
    replayed = 0
    for title, window in WINDOWS:
        try:
            found = previews.preview(
                before={**settings, before.slug: before},
                after={**settings, after.slug: after},
                slots=slots,
                now=now,
                window=window,
                most_jobs=MOST_JOBS,
            )
        except (NoWorkersError, NothingToReplayError) as refusal:
            yield {"title": title, "refusal": str(refusal)}
            if isinstance(refusal, NoWorkersError):
                return
            continue
        if found.jobs == replayed:
            yield {"title": title, "refusal": NO_MORE_JOBS}
            return
        replayed = found.jobs
        yield _shown(title, found)
        if found.is_cut:
            return


def _shown(title: str, found: Preview) -> dict[str, Any]:
    return {
        "title": title,
        "jobs": found.jobs,
        "jobs_text": f"{found.jobs:,}",
        "sentences": found.sentences,
        "rows": [_row(each, found) for each in found.tenants[:MOST_ROWS]],
        "more": max(0, len(found.tenants) - MOST_ROWS),
        "slots": found.slots,
        "notes": found.notes,
    }


def _row(change: TenantChange, found: Preview) -> dict[str, Any]:
    was, would = change.before, change.after
    return {
        "tenant": change.tenant,
        "is_changed": change.tenant in found.changed,
        "jobs": f"{was.jobs:,}",
        "cells": [
            _cell(_wait(was.wait_p50_us), _wait(would.wait_p50_us), _waits(was, would)),
            _cell(_wait(was.wait_p99_us), _wait(would.wait_p99_us), "", _WIDE),
            _cell(_share(was), _share(would), ""),
            _cell(_ends(was), _ends(would), ""),
        ],
    }


def _cell(was: str, would: str, tone: str, css: str = "") -> dict[str, str]:
    return {"was": was, "would": would, "tone": tone, "css": css}


def _waits(was: Outcome, would: Outcome) -> str:
    """Return the tone of a wait that got shorter or longer."""
    old, new = (
        float("inf") if outcome.wait_p50_us is None else outcome.wait_p50_us
        for outcome in (was, would)
    )
    return "succeeded" if new < old else "retryable"


def _wait(wait_us: int | None) -> str:
    return "for ever" if wait_us is None else in_words(wait_us)


def _share(outcome: Outcome) -> str:
    return "–" if outcome.share is None else f"{outcome.share:.1%}"


def _ends(outcome: Outcome) -> str:
    ends = outcome.backlog_ends_us
    if ends is None:
        return "never"
    return f"{previews.moment(ends):%m-%d %H:%M}"


def _changes(
    before: TenantConfig, after: TenantConfig
) -> Iterator[tuple[str, str, str]]:
    """Yield each setting that differs: its name, its old and its new value."""
    pairs = (
        ("weight", f"{before.weight / 1000:.9g}", f"{after.weight / 1000:.9g}"),
        ("tier", before.tier, after.tier),
        ("pool", before.pool, after.pool),
        ("cap", _limit(before.cap), _limit(after.cap)),
        ("elastic cap", _limit(before.elastic_cap), _limit(after.elastic_cap)),
        ("rate per second", _rate(before), _rate(after)),
        ("burst", _limit(before.burst), _limit(after.burst)),
        ("pause", _on(before), _on(after)),
    )
    for name, was, would in pairs:
        if was != would:
            yield name, was, would


def _limit(value: int | None) -> str:
    return "none" if value is None else str(value)


def _rate(config: TenantConfig) -> str:
    return "none" if config.rate is None else f"{config.rate / 1000:g}"


def _on(config: TenantConfig) -> str:
    return "on" if config.is_paused else "off"
