"""Bugs in reconciliation: what matches, what is told of the rest, what runs leave."""

from typing import Final

from tests.mutants.mutant import Mutant

_PINNED: Final = "tests/integration/test_reconcile_pinned.py::"
_AGAIN: Final = "tests/integration/test_reconcile_again.py::"
_RUNS: Final = "tests/integration/test_reconcile_runs.py::"
_IN_ORDER: Final = "tests/integration/test_reconcile_in_order.py::"
_PLANS: Final = "tests/integration/test_reconcile_plans.py::"
_DAYS: Final = "tests/integration/test_file_days.py::"
_SPANS: Final = "tests/unit/test_findings.py::"

MUTANTS: Final = (
    Mutant(
        74,
        "row of a match used twice",
        "reconciliation/matching.py",
        "            internal.add(one)\n            external.add(other)\n",
        "            internal.add(one)\n",
        (_PINNED + "test_no_row_is_in_two_matches",),
    ),
    Mutant(
        75,
        "ties of equally near pairs left to the database",
        "reconciliation/passes.py",
        "GREATEST(i.at - e.at, e.at - i.at), i.transaction_id, e.transaction_id",
        "GREATEST(i.at - e.at, e.at - i.at)",
        (_PINNED + "test_of_equal_rows_the_first_ones_match",),
    ),
    Mutant(
        76,
        "days of a sum counted from the nearest row",
        "reconciliation/passes.py",
        "           GREATEST(max(number) FILTER (WHERE side = 'I')",
        "           LEAST(max(number) FILTER (WHERE side = 'I')",
        (_PINNED + "test_the_days_of_a_sum_count_to_its_farthest_row",),
    ),
    Mutant(
        77,
        "duplicate told beside the last of its equals",
        "reconciliation/telling.py",
        "ORDER BY lot, side, currency, amount, transaction_id\n",
        "ORDER BY lot, side, currency, amount, transaction_id DESC\n",
        (_PINNED + "test_a_duplicate_names_the_first_of_its_equals",),
    ),
    Mutant(
        78,
        "plain match without a look at the status",
        "reconciliation/opening.py",
        "               AND our_status = their_status AND our_status <> 'PENDING'\n",
        "               AND our_status <> 'PENDING'\n",
        (_PINNED + "test_what_failed_on_one_side_is_no_plain_match",),
    ),
    Mutant(
        79,
        "day of a payment told without the cut-off",
        "reconciliation/fragments.py",
        'return f"(({moment} AT TIME ZONE %(zone)s) + %(shift)s)::date"',
        'return f"({moment} AT TIME ZONE %(zone)s)::date"',
        (
            _PINNED + "test_a_day_ends_at_the_cut_off[17:59:59-2026-01-15]",
            _PINNED + "test_a_day_ends_at_the_cut_off[18:00:00-2026-01-16]",
        ),
    ),
    Mutant(
        80,
        "open questions not taken over",
        "reconciliation/handlers.py",
        "opened = 0 if is_dry else carry(self.scope, self.terms, keys)",
        "opened = 0",
        (_PINNED + "test_an_open_question_stands_until_it_is_answered",),
    ),
    Mutant(
        81,
        "mismatch closed without a line of its history",
        "reconciliation/applying.py",
        "Told as ' || now_told || ' by now' END, now()\n    FROM moved\n",
        "Told as ' || now_told || ' by now' END, now()\n    FROM moved WHERE false\n",
        (_AGAIN + "test_each_change_that_a_run_makes_is_a_line_of_history",),
    ),
    Mutant(
        82,
        "dry run that changes mismatches",
        "reconciliation/handlers.py",
        "        if self.run.is_dry:\n            return self._next(",
        "        if False:\n            return self._next(",
        (_PINNED + "test_a_dry_run_changes_nothing",),
    ),
    Mutant(
        83,
        "files that came while a run is at work are read",
        "reconciliation/runs.py",
        "        files=run.file_ids,\n",
        '        files=list(IngestedFile.objects.values_list("pk", flat=True)),\n',
        (_PINNED + "test_what_comes_while_a_run_is_at_work_is_for_the_next",),
    ),
    Mutant(
        84,
        "suggestion kept as confirmed",
        "reconciliation/keeping.py",
        "CASE WHEN rule = ANY(%(confirmed)s) THEN 'confirmed' ELSE 'suggested' END",
        "'confirmed'",
        (_AGAIN + "test_a_suggestion_is_confirmed_once_its_rule_is",),
    ),
    Mutant(
        85,
        "match by hand forgotten by runs",
        "reconciliation/carrying.py",
        "min(every.transaction_id) FILTER (WHERE every.side = 'I') AS lead",
        "min(m.lead) AS lead",
        (_AGAIN + "test_rows_that_a_person_matched_stay_matched",),
    ),
    Mutant(
        86,
        "what people took apart not told",
        "reconciliation/carrying.py",
        "AND (m.state = 'suggested' OR m.decided_at >= (",
        "AND (m.state = 'suggested' OR false AND m.decided_at >= (",
        (
            _AGAIN
            + "test_rows_that_a_person_took_apart_are_told_by_the_next_run[plain]",
        ),
    ),
    Mutant(
        87,
        "late rows behind the period left out",
        "reconciliation/counting.py",
        " OR d.day BETWEEN {ends} AND {until})",
        ")",
        (
            _AGAIN
            + "test_late_rows_are_looked_at_though_an_older_day_was_run_in_between",
        ),
    ),
    Mutant(
        88,
        "run that failed by other terms not made good",
        "reconciliation/runs.py",
        "all(one == run.terms for one in gone_by)",
        "last.terms == run.terms",
        (
            _AGAIN
            + "test_what_a_run_of_other_rules_closed_before_it_failed_is_opened_again",
        ),
    ),
    Mutant(
        89,
        "totals of a file taken though some of its rows were known",
        "reconciliation/counting.py",
        "  AND f.inserted = (SELECT sum((every ->> 3)::bigint)\n"
        "                    FROM jsonb_array_elements(f.totals) AS every)\n",
        "",
        (_DAYS + "test_rows_that_an_earlier_file_brought_are_its_alone",),
    ),
    Mutant(
        90,
        "totals of a file of two days taken for its first",
        "reconciliation/counting.py",
        '  AND {day_of("f.first_at")} = {day_of("f.last_at")}\n',
        '  AND {day_of("f.first_at")} IS NOT NULL\n',
        (_DAYS + "test_a_file_of_two_days[True]",),
    ),
    Mutant(
        91,
        "span of a file forgotten by an interruption",
        "ingestion/findings.py",
        'return EVER if data["totals"] else None',
        "return None",
        (_SPANS + "test_a_span_that_was_not_noted_is_not_known",),
    ),
    Mutant(
        92,
        "references beside a sample taken for none",
        "reconciliation/handlers.py",
        "return counting.rows_of_period(self.scope, self.terms) == seen",
        "return seen > 0",
        (_IN_ORDER + "test_rows_that_no_sample_showed_are_found_beside",),
    ),
    Mutant(
        93,
        "rows of other days counted as seen of the period",
        "reconciliation/opening.py",
        "{{is_counted}} AS is_counted",
        "true AS is_counted",
        (
            _IN_ORDER
            + "test_late_rows_without_a_reference_do_not_stand_for_rows_unseen",
        ),
    ),
    Mutant(
        94,
        "open references asked for one by one",
        "reconciliation/opening.py",
        "AND kept.key IS NULL AS is_plain\n",
        "AND kept.key IS NULL AND NOT EXISTS (\n"
        "                   SELECT 1 FROM reconciliation_openrow o\n"
        "                   WHERE o.run_id = %(holder)s AND o.key = grouped.key\n"
        "               ) AS is_plain\n",
        (_PLANS + "test_references_that_are_kept_are_joined_set_by_set[in order]",),
    ),
    Mutant(
        95,
        "end of a period taken for a moment of it",
        "reconciliation/opening.py",
        't.txn_timestamp >= %(starts)s AND t.txn_timestamp < %(ends)s"\n',
        't.txn_timestamp >= %(starts)s AND t.txn_timestamp <= %(ends)s"\n',
        (
            _IN_ORDER + "test_each_moment_is_of_one_period[in order]",
            _IN_ORDER + "test_each_moment_is_of_one_period[by time]",
        ),
    ),
    Mutant(
        96,
        "what a person has reopened resolved by rule",
        "reconciliation/applying.py",
        "e.action = 'reopened'",
        "e.action = ''",
        (_RUNS + "test_a_wider_rounding_resolves_what_is_open_and_nobodys",),
    ),
    Mutant(
        97,
        "answers of days that no run has told of unseen",
        "reconciliation/carrying.py",
        "AND EXISTS ({_WITH_OTHER_DAYS}) AND {{answered}}",
        "AND false",
        (_AGAIN + "test_an_answer_of_a_day_never_told_of_closes_its_question[before]",),
    ),
)
