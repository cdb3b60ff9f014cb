"""What the page of a mismatch shows: both sides, what is around them, its history."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from ingestion.masking import mask_account, mask_id, mask_text
from ingestion.models import IngestedFile, Transaction
from ingestion.transaction_search import TooSlowError, bounded
from reconciliation.matching import Side, Terms
from reconciliation.mismatch_rows import (
    Pair,
    candidates,
    pair_of,
    same_key,
    side_of,
    terms_of,
    touching,
)
from reconciliation.models import Match, MatchRow, Reconciliation
from reconciliation.wording import grouped
from tenants.adminkit import pill, row_link
from tenants.wording import age

TONES: Final = {
    "open": "retryable",
    "assigned": "running",
    "resolved": "succeeded",
    "approved": "succeeded",
    "closed": "queued",
}
_ACTION_TONES: Final = {
    "found": "retryable",
    "changed": "retryable",
    "reopened": "retryable",
    "assigned": "running",
    "resolved": "succeeded",
    "approved": "succeeded",
}
#: What a run wrote of them, and nobody else.
_TOLD_BY_RUNS: Final = ("found", "changed")
MOST_EVENTS: Final = 100


@dataclass(frozen=True, slots=True)
class Line:
    """A property of both rows beside each other."""

    title: str
    ours: str | SafeString
    theirs: str | SafeString
    differs: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """A row that may be matched by hand, and what is known of it."""

    row: Transaction
    side: str
    txn: SafeString
    at: str
    amount: str
    reference: str
    why: str
    marks: list[SafeString]
    is_chosen: bool


def sides(mismatch: Reconciliation, pair: Pair) -> list[Line]:
    """Return both rows property by property; what should agree and does not is told."""
    terms = terms_of(mismatch.profile)
    return [
        _line(title, pair, show, is_told)
        for title, show, is_told in (
            ("Transaction", _txn, False),
            ("Source", lambda row: row.source, False),
            ("Reference", lambda row: mask_id(row.reference_id or "–"), False),
            ("Id at its source", lambda row: mask_id(row.source_txn_id), False),
            ("Amount", _amount, True),
            ("Currency", lambda row: row.currency, True),
            ("Direction", _direction, False),
            ("Status", lambda row: row.status, True),
            ("Day", lambda row: _day(terms, row), True),
            ("Time", lambda row: _moment(row.txn_timestamp), False),
            ("Account", lambda row: mask_account(row.account_id) or "–", False),
            ("Counterparty", lambda row: _counterparty(row), False),
            ("File", _file, False),
        )
    ]


def around(
    mismatch: Reconciliation, pair: Pair, chosen: Sequence[int]
) -> tuple[list[Choice], str]:
    """Return the rows that may be matched by hand; and why there are no more of them.

    Its own rows and those of its key first.
    """
    trouble = ""
    kin: list[Transaction] = []
    near: list[Transaction] = []
    try:
        with bounded():
            kin = same_key(mismatch, pair)
            near = candidates(mismatch, pair, but=kin)
    except TooSlowError:
        trouble = "Looking for rows that are alike takes too long here."
    reasons = [
        *((row, "of this mismatch") for row in pair.rows),
        *((row, "same key") for row in kin),
        *((row, "about this amount") for row in near),
    ]
    marks = _marks(mismatch, [row for row, _ in reasons])
    picked = set(chosen) or {row.pk for row in pair.rows}
    return [
        _choice(mismatch, row, why, marks.get(row.pk, []), is_chosen=row.pk in picked)
        for row, why in reasons
    ], trouble


def told(notes: str) -> str:
    """Return what a run told as screens show it: amounts grouped, accounts masked."""
    return mask_text(grouped(notes))


def history(mismatch: Reconciliation, now: datetime) -> list[dict[str, Any]]:
    """Return who did what and what they said, latest first."""
    events = mismatch.events.order_by("-pk")[:MOST_EVENTS]
    return [
        {
            "action": event.get_action_display(),
            "actor": event.actor,
            "text": told(event.text) if event.action in _TOLD_BY_RUNS else event.text,
            "at": _moment(event.at),
            "age": age(event.at, now=now),
            "tone": _ACTION_TONES.get(event.action, "queued"),
        }
        for event in events
    ]


def page(
    mismatch: Reconciliation, *, now: datetime, chosen: Sequence[int] = ()
) -> dict[str, Any]:
    """Return the context of the page."""
    pair = pair_of(mismatch)
    choices, trouble = around(mismatch, pair, chosen)
    return {
        "mismatch": mismatch,
        "state": pill(mismatch.state, TONES[mismatch.state]),
        "kind": mismatch.mismatch_type.replace("_", " "),
        "sides": sides(mismatch, pair) if pair.rows else [],
        "choices": choices,
        "trouble": trouble,
        "lines": history(mismatch, now),
        "file_fault": mismatch.fault_id,
        "matches": _matches(mismatch, pair),
    }


def _choice(
    mismatch: Reconciliation,
    row: Transaction,
    why: str,
    marks: list[SafeString],
    *,
    is_chosen: bool,
) -> Choice:
    is_ours = side_of(mismatch.profile, row) is Side.INTERNAL
    return Choice(
        row=row,
        side="ours" if is_ours else "theirs",
        txn=_txn(row),
        at=_moment(row.txn_timestamp),
        amount=f"{_amount(row)} {row.currency}",
        reference=mask_id(row.reference_id or "–"),
        why=why,
        marks=marks,
        is_chosen=is_chosen,
    )


def _marks(
    mismatch: Reconciliation, rows: list[Transaction]
) -> dict[int, list[SafeString]]:
    """Return which of the rows are in a match, held, or told as mismatches."""
    marks: dict[int, list[SafeString]] = {}
    if not rows:
        return marks
    ids = [row.pk for row in rows]
    kept = MatchRow.objects.filter(
        profile_id=mismatch.profile_id, transaction_id__in=ids
    )
    # The latest match of a row says how it stands.
    latest = {m.transaction_id: m for m in kept.select_related("match").order_by("pk")}
    for pk, each in latest.items():
        tone = {"confirmed": "succeeded", "suggested": "running"}
        word = {"confirmed": "match", "suggested": "suggested", "undone": "held"}
        state = each.match.state
        text = pill(f"{word[state]} {each.match_id}", tone.get(state, "paused"))
        marks[pk] = [row_link(Match, each.match_id, text)]
    told = touching(mismatch.profile_id, rows).filter(state__in=("open", "assigned"))
    for other in told.exclude(pk=mismatch.pk):
        label = pill(other.mismatch_type.replace("_", " "), "retryable")
        link = row_link(Reconciliation, other.pk, label)
        for pk in {other.internal_id, other.external_id}.intersection(ids):
            marks.setdefault(pk, []).append(link)
    return marks


def _matches(mismatch: Reconciliation, pair: Pair) -> list[SafeString]:
    """Return links to the live matches of its rows."""
    ids = MatchRow.objects.filter(
        profile_id=mismatch.profile_id,
        transaction_id__in=[row.pk for row in pair.rows],
        is_live=True,
    )
    found = sorted(set(ids.values_list("match_id", flat=True)))
    return [row_link(Match, pk, f"match {pk}") for pk in found]


# --- Cells ----------------------------------------------------------------------------


def _line(
    title: str, pair: Pair, show: Callable[[Transaction], Any], is_told: bool
) -> Line:
    ours, theirs = (
        "–" if row is None else show(row) for row in (pair.ours, pair.theirs)
    )
    both = pair.ours is not None and pair.theirs is not None
    return Line(title, ours, theirs, is_told and both and ours != theirs)


def _txn(row: Transaction) -> SafeString:
    return row_link(Transaction, row.pk, mask_id(row.txn_id))


def _file(row: Transaction) -> SafeString:
    return row_link(IngestedFile, row.file_id, row.file.path)


def _amount(row: Transaction) -> str:
    return f"{row.amount:,.2f}"


def _direction(row: Transaction) -> str:
    return "credit" if row.direction == "C" else "debit"


def _counterparty(row: Transaction) -> str:
    return mask_account(row.counterparty_account) or "–"


def _day(terms: Terms, row: Transaction) -> str:
    at = row.txn_timestamp
    return str(terms.day(at))


def _moment(at: datetime) -> str:
    return format_html("{}", f"{localtime(at):%Y-%m-%d %H:%M:%S %Z}")
