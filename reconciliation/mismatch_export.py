"""Mismatches as CSV: what of each, masked, and safe for a spreadsheet."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from django.db.models import QuerySet

from ingestion.masking import mask_id, mask_text
from ingestion.transaction_export import (
    Cell,
    csv_lines,
    plain_cell,
    text_cell,
    time_cell,
)

_CELLS: Final[Mapping[str, Cell]] = MappingProxyType(
    {
        "id": plain_cell,
        "tenant_id": text_cell(),
        "profile__name": text_cell(),
        "mismatch_type": text_cell(),
        "state": text_cell(),
        "day": plain_cell,
        "amount": plain_cell,
        "difference": plain_cell,
        "currency": text_cell(),
        "key": text_cell(mask_id),
        "internal_txn_id": text_cell(mask_id),
        "external_txn_id": text_cell(mask_id),
        "notes": text_cell(mask_text),
        "assignee__username": text_cell(),
        "reason_code": text_cell(),
        "resolved_by": text_cell(),
        "resolved_at": time_cell,
        "approved_by": text_cell(),
        "approved_at": time_cell,
        "created_at": time_cell,
    }
)


def mismatch_lines(rows: QuerySet[Any], *, most: int, reason: str) -> Iterator[bytes]:
    """Yield the head and at most so many mismatches, latest found first, as lines."""
    return csv_lines(rows, most=most, reason=reason, cells=_CELLS)
