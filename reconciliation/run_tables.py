"""What the page of a run shows as tables and bars."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ingestion.masking import mask_id
from ingestion.models import IngestedFile
from reconciliation.matching import Terms
from reconciliation.measures import (
    match_rate,
    matched_rows,
    percent_text,
    plain_rows,
    ratio,
)
from reconciliation.models import OpenRow, Run
from reconciliation.periods import days_of
from reconciliation.terms import terms_from_json
from reconciliation.wording import rule_words, terms_words
from tenants.adminkit import pill, row_link, subtle

#: Files and open rows shown on a page.
MOST_FILES: Final = 50
ROWS_A_PAGE: Final = 50
_HEAD: Final = (
    '<div class="dtq-table-scroll"><table class="dtq-table">{}{}</table></div>'
)
_BAR: Final = '<span class="dtq-share" title="{}"><i style="width: {}%"></i></span>'
_NUMBER: Final = "dtq-number dtq-nowrap"
_PLAIN: Final[Mapping[int, str]] = MappingProxyType({})
_SIDES: Final = {"I": "ours", "E": "theirs"}


def table(
    heads: Iterable[str],
    rows: Iterable[Iterable[object]],
    styles: Mapping[int, str] = _PLAIN,
) -> SafeString:
    """Return a table, with the styles of some columns; unsafe cells are escaped."""
    lines = [(_cells("td", row, styles),) for row in rows]
    return format_html(
        _HEAD,
        format_html("<thead><tr>{}</tr></thead>", _cells("th", heads, styles)),
        format_html("<tbody>{}</tbody>", format_html_join("", "<tr>{}</tr>", lines)),
    )


def _cells(tag: str, cells: Iterable[object], styles: Mapping[int, str]) -> SafeString:
    made = ((tag, styles.get(n, ""), cell, tag) for n, cell in enumerate(cells))
    return format_html_join("", '<{} class="{}">{}</{}>', made)


def bar(part: float | None, hint: str) -> SafeString:
    """Return a bar of so much of the whole."""
    return format_html(_BAR, hint, f"{100 * (part or 0.0):.2f}")


def terms_of_run(run: Run) -> Terms | None:
    """Return the terms that a run went by; None if they are not to be read."""
    try:
        return terms_from_json(run.terms)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None


def terms_table(run: Run) -> SafeString:
    """Return what the run went by, in words."""
    terms = terms_of_run(run)
    if terms is None:
        return subtle("–")
    return table((), terms_words(terms), {0: "dtq-nowrap"})


def counts_table(run: Run) -> SafeString:
    """Return what the run counted, by rules, with a bar for each."""
    counts = run.counts
    if not counts:
        return subtle("Nothing is counted yet.")
    rows, rate = int(counts.get("rows", 0)), percent_text(match_rate(counts))
    if not run.is_whole:
        # It looks at few rows of its period, which are no measure of the others.
        unmatched = int(counts.get("unmatched", 0))
        told = ("New rows", f"{rows:,}"), ("Rows that match nothing", f"{unmatched:,}")
        return table((), told, {1: _NUMBER})
    lines = [
        _line("Rows of the period", rows, rows),
        _line("That plainly match", plain_rows(counts), rows),
        *_rule_lines(run, rows),
        _line("Match rate", matched_rows(counts), rows, rate),
    ]
    return table(("", "Rows", "", "Part"), lines, {1: _NUMBER, 3: _NUMBER})


def _rule_lines(run: Run, rows: int) -> list[tuple[object, ...]]:
    terms = terms_of_run(run)
    lines = []
    for place, count in sorted(run.counts.get("matched", {}).items(), key=_place):
        known = terms is not None and 0 < int(place) <= len(terms.rules)
        words = rule_words(terms.rules[int(place) - 1]) if terms and known else ""
        title = f"By rule {place}" if int(place) else "By matches that stood before"
        told = format_html("{} {}", title, subtle(words)) if words else title
        lines.append(_line(told, count, rows))
    return lines


def _place(item: tuple[str, Any]) -> int:
    return int(item[0])


def _line(title: object, count: int, rows: int, text: str = "") -> tuple[object, ...]:
    part = ratio(count, rows)
    shown = text or percent_text(part)
    return title, f"{count:,}", bar(part, shown), shown


def mismatches_table(run: Run) -> SafeString:
    """Return what the run told, by types, with links to the rows."""
    told = run.counts.get("mismatches", {})
    if not told:
        return subtle("None." if run.counts else "–")
    most = max(told.values())
    lines = [
        (
            _mismatch_link(run, name),
            f"{count:,}",
            bar(ratio(count, most), f"{count:,}"),
        )
        for name, count in sorted(told.items(), key=lambda item: -item[1])
    ]
    told_of = "Told" if run.is_whole else "Told of what was new"
    return table(("Type", told_of, ""), lines, {1: _NUMBER})


def _mismatch_link(run: Run, mismatch_type: str) -> object:
    words = mismatch_type.replace("_", " ")
    if run.is_dry:
        return words
    url = mismatches_url(run, mismatch_type=mismatch_type)
    return format_html('<a class="dtq-link" href="{}">{}</a>', url, words)


def mismatches_url(run: Run, **more: str) -> str:
    """Return where the mismatches of a run's profile and days are, in any state.

    Not those that the run wrote last: a later one tells them once more.
    """
    asked: dict[str, object] = {
        "profile__id__exact": run.profile_id,
        "state": "all",
        **more,
    }
    terms = terms_of_run(run)
    if terms is not None:
        days = days_of(terms, run.period_starts_at, run.period_ends_at)
        asked |= dict(zip(("day_from", "day_to"), days, strict=True))
    url = reverse("admin:reconciliation_reconciliation_changelist")
    return f"{url}?{urlencode(asked)}"


def files_table(run: Run) -> SafeString:
    """Return the files that the run reads, the first of them, as links."""
    ids = sorted(run.file_ids)
    if not ids:
        return subtle("No file.")
    found = IngestedFile.objects.filter(pk__in=ids[:MOST_FILES]).order_by("pk")
    lines: list[tuple[object, ...]] = [
        (row_link(IngestedFile, file.pk, file.path), file.source, f"{file.rows:,}")
        for file in found
    ]
    rest = len(ids) - MOST_FILES
    if rest > 0:
        lines.append((subtle(f"and {rest:,} more"), "", ""))
    return table(("File", "Source", "Rows"), lines, {2: _NUMBER})


# --- Open rows ------------------------------------------------------------------------


def open_rows(run: Run, *, after: int) -> tuple[SafeString, int | None]:
    """Return a page of a run's open rows, and where the next one begins."""
    found = OpenRow.objects.filter(run_id=run.holder, transaction_id__gt=after)
    rows = list(found.order_by("transaction_id")[: ROWS_A_PAGE + 1])
    shown = rows[:ROWS_A_PAGE]
    following = shown[-1].transaction_id if len(rows) > ROWS_A_PAGE else None
    heads = ("Transaction", "Side", "Amount", "Status", "Day", "Reference", "Matched")
    styles = {0: "dtq-id", 2: _NUMBER, 4: "dtq-nowrap", 5: "dtq-nowrap"}
    return table(heads, (_open_row(row) for row in shown), styles), following


def _open_row(row: OpenRow) -> tuple[object, ...]:
    url = reverse("admin:ingestion_transaction_change", args=[row.transaction_id])
    link = format_html('<a class="dtq-link" href="{}">{}</a>', url, mask_id(row.txn_id))
    return (
        link,
        _SIDES.get(row.side, row.side),
        _amount(row),
        row.status,
        row.day.isoformat(),
        mask_id(row.reference_id) if row.reference_id else subtle("–"),
        _matched(row),
    )


def _amount(row: OpenRow) -> str:
    sign = "−" if row.direction == "D" else ""
    return f"{sign}{row.amount:,.2f} {row.currency}"


def _matched(row: OpenRow) -> SafeString:
    if row.is_held:
        return pill("held", "paused")
    if row.match is None:
        return pill("not", "retryable")
    if row.rule:
        return pill(f"by rule {row.rule}", "succeeded")
    return pill("stood before", "info")
