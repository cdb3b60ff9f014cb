"""Tells apart what no rule matched: which mismatch it is, and what differs, in words.

The open rows of one key are looked at together. Each kind of mismatch is one SELECT;
the first difference in this order names a pair: currency, amount (or fee), status,
date.
"""

from datetime import datetime
from typing import Any, Final

from django.db import connection

from reconciliation.fragments import (
    SET_BASED,
    days_between,
    less_fee,
    tolerance,
    values_of,
)
from reconciliation.matching import MOST_OF_A_KEY, Rule, Terms
from reconciliation.scope import Range, Scope

_OPEN: Final = """
    SELECT o.transaction_id, o.side, o.key, o.amount, o.currency, o.status, o.at, o.day,
           o.is_held, o.match, o.match IS NULL AS is_free,
           COALESCE('k' || o.key, 'r' || o.transaction_id) AS lot
    FROM reconciliation_openrow o
    WHERE o.run_id = %(holder)s AND {within} AND {is_asked}
"""
# Of a run of changes: all rows of a reference of which it has touched one.
_IS_TOUCHED: Final = """
    (o.touched_by = %(run)s OR o.key IN (
        SELECT x.key FROM reconciliation_openrow x
        WHERE x.run_id = %(holder)s AND x.touched_by = %(run)s))
"""
_COUNTED: Final = f"""
WITH asked AS MATERIALIZED ({_OPEN}), counted AS MATERIALIZED (
    SELECT asked.*, lots.ours, lots.theirs
    FROM asked JOIN (
        SELECT lot, count(*) FILTER (WHERE is_free AND side = 'I') AS ours,
               count(*) FILTER (WHERE is_free AND side = 'E') AS theirs
        FROM asked GROUP BY lot
    ) AS lots USING (lot)
)
"""  # noqa: S608 - constants
# Of rows that nobody can tell apart, the first of each side stands for all.
_AMBIGUOUS: Final = """
    SELECT 'ambiguous' AS kind, min(transaction_id) FILTER (WHERE side = 'I') AS ours,
           min(transaction_id) FILTER (WHERE side = 'E') AS theirs,
           format('%%s rows here and %%s there share the key %%s', min(o.ours),
                  min(o.theirs), min(key)) AS notes, min(key) AS key
    FROM counted o
    WHERE is_free AND (GREATEST(o.ours, o.theirs) > %(most)s
        OR LEAST(o.ours, o.theirs) > 0 AND o.ours + o.theirs > 2)
    GROUP BY lot
"""
_IS_STALE: Final = "({row}.status = 'PENDING' AND {row}.at <= %(stale_before)s)"
_PAIRS: Final = """
    SELECT told.kind, told.ours, told.theirs, CASE told.kind
        WHEN 'currency' THEN format('%%s here, %%s there', told.i_currency,
                                    told.e_currency)
        WHEN 'date' THEN format('%%s here, %%s there', told.i_day, told.e_day)
        WHEN 'status' THEN format('%%s here, %%s there', told.i_status, told.e_status)
        WHEN 'stale_pending' THEN format('%%s here, %%s there, pending since %%s',
                                         told.i_status, told.e_status,
                                         told.pending_day)
        WHEN 'ambiguous' THEN CASE WHEN told.is_held THEN 'A person took them apart'
                                   ELSE 'Nothing differs, and no rule matches them' END
        ELSE format('%%s here, %%s there: %%s %%s apart', told.i_amount, told.e_amount,
                    abs(told.i_amount - told.e_amount), told.i_currency)
        END AS notes, told.key
    FROM (
        SELECT i.transaction_id AS ours, e.transaction_id AS theirs, i.key,
               i.is_held OR e.is_held AS is_held,
               i.currency AS i_currency, e.currency AS e_currency, i.day AS i_day,
               e.day AS e_day, i.status AS i_status, e.status AS e_status,
               i.amount AS i_amount, e.amount AS e_amount,
               LEAST(CASE i.status WHEN 'PENDING' THEN i.day END,
                     CASE e.status WHEN 'PENDING' THEN e.day END) AS pending_day,
               CASE WHEN i.currency <> e.currency THEN 'currency'
                    WHEN abs(i.amount - e.amount) > {tolerance}
                        THEN CASE WHEN {is_fee} THEN 'fee' ELSE 'amount' END
                    WHEN {i_stale} OR {e_stale} THEN 'stale_pending'
                    WHEN i.status <> e.status AND 'PENDING' IN (i.status, e.status)
                        THEN NULL
                    WHEN i.status <> e.status THEN 'status'
                    WHEN {days} > %(days)s THEN 'date'
                    WHEN i.status = 'PENDING' THEN NULL
                    ELSE 'ambiguous' END AS kind
        FROM counted i JOIN counted e ON e.lot = i.lot
        WHERE i.side = 'I' AND e.side = 'E' AND i.is_free AND e.is_free
          AND i.ours = 1 AND i.theirs = 1
    ) AS told WHERE told.kind IS NOT NULL
"""
# A row alone on its side may stand beside a matched one that tells of the same money.
_ALONE: Final = """
    SELECT told.kind,
           CASE WHEN told.side = 'I' THEN told.transaction_id ELSE told.partner END,
           CASE WHEN told.side = 'I' THEN told.partner ELSE told.transaction_id END,
           CASE told.kind
               WHEN 'duplicate' THEN format('%%s %%s once more', told.amount,
                                            told.currency)
               WHEN 'status' THEN 'Matched as SUCCESS, and REVERSED here'
               WHEN 'stale_pending' THEN format('Pending since %%s', told.day)
               ELSE format('%%s %%s of %%s', told.amount, told.currency, told.day)
           END, told.key
    FROM (
        SELECT o.transaction_id, o.side, o.amount, o.currency, o.day, o.key,
               partner.first AS partner, CASE
            WHEN twin.status = o.status THEN 'duplicate'
            WHEN twin.status = 'SUCCESS' AND o.status = 'REVERSED' THEN 'status'
            WHEN twin.status IS NOT NULL OR o.status = 'FAILED' THEN NULL
            WHEN o.status = 'PENDING' THEN CASE WHEN {o_stale} THEN 'stale_pending' END
            WHEN o.side = 'I' THEN 'missing_external'
            ELSE 'missing_internal' END AS kind
        FROM counted o
        LEFT JOIN twin USING (lot, side, currency, amount)
        LEFT JOIN partner ON partner.match = twin.match AND partner.side <> o.side
        WHERE o.is_free AND LEAST(o.ours, o.theirs) = 0
          AND GREATEST(o.ours, o.theirs) <= %(most)s
    ) AS told WHERE told.kind IS NOT NULL
"""


# The first matched row of each side and amount, and the first row of a match's sides,
# which may be in another range.
_MATCHED: Final = """
    twin AS (
        SELECT DISTINCT ON (lot, side, currency, amount) lot, side, currency, amount,
               status, match
        FROM counted WHERE NOT is_free
        ORDER BY lot, side, currency, amount, transaction_id
    ), partner AS (
        SELECT match, side, min(transaction_id) AS first
        FROM reconciliation_openrow
        WHERE run_id = %(holder)s AND match IN (SELECT match FROM twin)
        GROUP BY match, side
    )
"""
_WRITE: Final = """
    INSERT INTO reconciliation_finding (
        tenant_id, run_id, mismatch_type, internal_id, external_id, notes, key)
    SELECT r.tenant_id, r.id, told.kind, told.ours, told.theirs, told.notes, told.key
    FROM told, reconciliation_run r WHERE r.id = %(run)s
"""


def tell(
    scope: Scope, terms: Terms, keys: Range | None = None, *, as_of: datetime
) -> int:
    """Write down what the open rows of a run disagree on; returns how many mismatches.

    Only of a range of references, if there is one.
    """
    rule = terms.rules[0]
    values: dict[str, Any] = {
        **values_of(rule, terms),
        **(Range() if keys is None else keys).bounds,
        **scope.values,
        "most": MOST_OF_A_KEY,
        "stale_before": as_of - terms.stale_after,
    }
    within = "true" if keys is None else keys.holds("o.key")
    with connection.cursor() as cursor:
        cursor.execute(SET_BASED)
        is_asked = "true" if scope.is_whole else _IS_TOUCHED
        counted = _COUNTED.format(within=within, is_asked=is_asked)
        cursor.execute(_statement(rule, terms, counted), values)
        return int(cursor.rowcount)


def _statement(rule: Rule, terms: Terms, counted: str) -> str:
    is_fee = "false" if terms.fee is None else f"{less_fee('i.amount')} = e.amount"
    pairs = _PAIRS.format(
        tolerance=tolerance("i.amount"),
        is_fee=is_fee,
        days=days_between("i.day", "e.day", rule),
        i_stale=_IS_STALE.format(row="i"),
        e_stale=_IS_STALE.format(row="e"),
    )
    alone = _ALONE.format(o_stale=_IS_STALE.format(row="o"))
    return (
        f"{counted}, {_MATCHED}, told AS ("
        f"{_AMBIGUOUS} UNION ALL {pairs} UNION ALL {alone}) {_WRITE}"
    )
