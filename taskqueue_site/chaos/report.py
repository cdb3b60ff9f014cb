"""The table of a run: for the screen, for a page in Markdown, and as JSON."""

import platform
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from taskqueue_site.chaos.verdict import Verdict

_COLUMNS: Final = (
    "scenario",
    "seed",
    "minutes",
    "faults",
    "kills",
    "accepted",
    "succeeded",
    "dead",
    "cancelled",
    "lost",
    "dup_exec",
    "dup_effect",
    "units_billed",
    "units_true",
    "stuck",
    "recovery_p50/p99/max",
)
_MOST_LINES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What was run, and on what."""

    scenario: str
    seed: int
    minutes: float
    broker: str
    lease_seconds: float
    kills: int
    #: How often each fault came.
    faults: Mapping[str, int]
    refused: Mapping[str, int]
    versions: Mapping[str, str]
    commit: str


def as_json(verdict: Verdict, around: Circumstances) -> dict[str, Any]:
    """Return everything that a table or a test could ask for."""
    evidence, states = verdict.evidence, verdict.states
    return {
        "scenario": around.scenario,
        "seed": around.seed,
        "minutes": around.minutes,
        "broker": around.broker,
        "lease_seconds": around.lease_seconds,
        "faults": dict(around.faults),
        "kills": around.kills,
        "accepted": verdict.accepted,
        "succeeded": states["succeeded"],
        "dead": states["dead"],
        "cancelled": states["cancelled"],
        "died_of": dict(Counter(j.error_code for j in evidence.jobs if j.error_code)),
        "unknown_posts": evidence.unknown_posts,
        "unseen": verdict.unseen,
        "refused": dict(around.refused),
        "lost": len(verdict.lost),
        "dup_exec": verdict.dup_exec,
        "dup_effect": len(verdict.dup_effect),
        "units_billed": verdict.units_billed,
        "units_true": verdict.units_true,
        "stuck": len(verdict.stuck),
        "interrupted": len(evidence.recoveries) + evidence.unrecovered,
        "recovery_s": {
            "p50": verdict.recovery(0.5),
            "p99": verdict.recovery(0.99),
            "max": verdict.recovery(1.0),
        },
        "is_good": verdict.is_good,
        "findings": verdict.faults,
        "versions": dict(around.versions),
        "commit": around.commit,
    }


def as_text(report: Mapping[str, Any]) -> list[str]:
    """Return the lines for the screen: head, row, units by meter, what is wrong."""
    cells = _cells(report)
    widths = [max(len(c), len(h)) for c, h in zip(cells, _COLUMNS, strict=True)]
    lines = [
        "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
        for row in (_COLUMNS, cells)
    ]
    lines += ["", "faults     " + _counts(report["faults"])]
    billed, true = report["units_billed"], report["units_true"]
    units = ", ".join(f"{m} {billed[m]:,} of {true[m]:,}" for m in true)
    lines += [f"units      {units}"]
    lines += [
        f"recovery   of {report['interrupted']} interrupted attempts; "
        f"lease {report['lease_seconds']:g} s",
        f"producers  {report['unknown_posts']} posts without an answer, of which "
        f"{report['unseen']} were taken; refused: {_counts(report['refused'])}",
        f"died of    {_counts(report['died_of'])}",
        f"versions   {_versions(report)}",
    ]
    findings = report["findings"]
    lines += ["", *findings[:_MOST_LINES]]
    if len(findings) > _MOST_LINES:
        lines.append(f"and {len(findings) - _MOST_LINES} more; --json has them all")
    if not findings:
        lines.append("good: nothing lost, nothing doubled, nothing stuck")
    return lines


def as_markdown(report: Mapping[str, Any]) -> str:
    """Return the row as a table of Markdown."""
    rows = (_COLUMNS, tuple("---" for _ in _COLUMNS), _cells(report))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _cells(report: Mapping[str, Any]) -> tuple[str, ...]:
    recovery = report["recovery_s"]
    numbers = {
        **{name: report[name] for name in _COLUMNS if name in report},
        "faults": sum(report["faults"].values()),
        "units_billed": sum(report["units_billed"].values()),
        "units_true": sum(report["units_true"].values()),
        "recovery_p50/p99/max": "/".join(
            "–" if value is None else f"{value:.1f}s" for value in recovery.values()
        ),
    }
    return tuple(_cell(name, numbers[name]) for name in _COLUMNS)


def _cell(name: str, value: Any) -> str:
    if name in ("scenario", "seed") or isinstance(value, str):
        return str(value)
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}"


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items())
    return ", ".join(f"{name} {number}" for name, number in ordered) or "none"


def _versions(report: Mapping[str, Any]) -> str:
    found = ", ".join(f"{name} {text}" for name, text in report["versions"].items())
    return f"commit {report['commit']}; {found}"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that matter here."""
    libraries = ("celery", "kombu", "Django", "psycopg2-binary")
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in libraries},
    }


def commit(project: Path) -> str:
    """Return the commit that was run, with a mark if files were changed since."""
    git = ["git", "-C", str(project), "-c", f"safe.directory={project}"]
    try:
        done = subprocess.run(
            [*git, "describe", "--always", "--dirty", "--abbrev=12", "--match="],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
