"""Bugs in what tenants own and see, in files and in the schema."""

from typing import Final

from tests.mutants.mutant import Mutant

_INGEST: Final = "tests/integration/test_ingest.py::"
_UPI: Final = "tests/unit/test_upi.py::"
_WALLS: Final = "tests/integration/test_walls.py::"
_EVENTS: Final = "tests/integration/test_events.py::"

_TWO_BEATS: Final = "tests/integration/test_two_beats.py::test_each_due_time_runs_once"

_ROUNDED: Final = """\
    sign, grouped, decimals = match.groups("")
    if len(decimals) > MAX_DECIMALS:
        decimals = f"{round(int(decimals[:3]) / 10):02}"
"""

MUTANTS: Final = (
    Mutant(
        15,
        "checkpoint in the middle of a row",
        "ingestion/progress.py",
        "position=chunk.position,",
        "position=replace(chunk.position, offset=chunk.position.offset - 5),",
        (_INGEST + "test_a_load_resumes_after_its_last_chunk",),
    ),
    Mutant(
        16,
        "hash over the raw text",
        "ingestion/sources/upi.py",
        "row_hash(HASH_VERSION, *payment, local, remarks)",
        "row_hash(HASH_VERSION, raw_row)",
        (_UPI + "test_the_same_payment_written_differently_has_the_same_hash",),
    ),
    Mutant(
        17,
        "conflict overwrites",
        "ingestion/loader.py",
        "ON CONFLICT (tenant_id, txn_id) DO NOTHING",
        "ON CONFLICT (tenant_id, txn_id) DO UPDATE\n"
        "SET amount = EXCLUDED.amount, row_hash = EXCLUDED.row_hash",
        (_INGEST + "test_a_conflict_is_kept_aside_and_never_overwrites",),
    ),
    Mutant(
        18,
        "totals compared as floats",
        "ingestion/sources/dialect/balances.py",
        "Decimal(item.value) != found[item.label]:",
        "float(item.value) != float(found[item.label]):",
        ("tests/unit/test_dialect_statements.py::test_a_cent_counts_whatever_the_sum",),
    ),
    Mutant(
        19,
        "NaN taken for an amount",
        "ingestion/sources/fields.py",
        "    match = _AMOUNT.fullmatch(text)\n",
        '    if text == "NaN":\n'
        "        return Decimal(text)\n"
        "    match = _AMOUNT.fullmatch(text)\n",
        (_UPI + "test_amounts_refused",),
    ),
    Mutant(
        20,
        "amounts rounded instead of rejected",
        "ingestion/sources/fields.py",
        '    sign, grouped, decimals = match.groups("")\n',
        _ROUNDED,
        (_UPI + "test_amounts_refused",),
    ),
    Mutant(
        23,
        "row-level security not forced on one table",
        "jobs/migrations/0001_initial.py",
        '        rls.protect("usage_events"),\n',
        '        rls.protect("usage_events"),\n'
        "        migrations.RunSQL(\n"
        '            "ALTER TABLE usage_events NO FORCE ROW LEVEL SECURITY",\n'
        "            migrations.RunSQL.noop,\n"
        "        ),\n",
        (_WALLS + "test_every_tenant_owned_table_is_protected",),
    ),
    # Without any WITH CHECK, PostgreSQL would check by USING: no bug at all.
    Mutant(
        24,
        "policy that checks nothing that is written",
        "tenants/rls.py",
        "USING ({own}) WITH CHECK ({own});",
        "USING ({own}) WITH CHECK (true);",
        (_WALLS + "test_a_row_of_another_tenant_cannot_be_written_blindly_either",),
    ),
    Mutant(
        26,
        "action trusts the ids that were posted",
        "jobs/decisions_admin.py",
        '    ids = list(rows.order_by().values_list("pk", flat=True)[: AT_ONCE + 1])\n',
        '    ids = request.POST.getlist("_selected_action") or list(\n'
        '        rows.order_by().values_list("pk", flat=True)\n'
        "    )\n",
        (
            "tests/integration/test_admin_actions.py::"
            "test_only_what_the_list_shows_is_retried_whatever_is_posted",
        ),
    ),
    Mutant(
        27,
        "worker takes the tenant from what the producer sent",
        "jobs/ledger.py",
        "        tenant=tenant,\n        attempt_id=attempt_id,\n",
        '        tenant=json.loads(payload).get("tenant", tenant),\n'
        "        attempt_id=attempt_id,\n",
        (
            "tests/integration/test_ledger.py::"
            "test_the_tenant_of_the_work_is_the_jobs_whatever_the_payload_says",
        ),
    ),
    Mutant(
        28,
        "unique without the tenant",
        "ingestion/migrations/0001_initial.py",
        '        rls.protect("fintech_transactions"),\n',
        '        rls.protect("fintech_transactions"),\n'
        "        migrations.RunSQL(\n"
        '            "CREATE UNIQUE INDEX ON fintech_transactions (txn_id)",\n'
        "            migrations.RunSQL.noop,\n"
        "        ),\n",
        (_INGEST + "test_tenants_do_not_share_ids",),
    ),
    Mutant(
        31,
        "log of events open to TRUNCATE",
        "tenants/rls.py",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {PLATFORM_ROLE};",
        "GRANT ALL ON {table} TO {PLATFORM_ROLE};",
        (_EVENTS + "test_what_happened_stays",),
    ),
    Mutant(
        33,
        "prefix of a path compared without its slash",
        "ingestion/storage.py",
        "if not path.is_relative_to(own):",
        "if not str(path).startswith(str(own)):",
        (
            "tests/integration/test_storage.py::"
            "test_a_link_out_of_the_tenants_folder_leads_nowhere",
        ),
    ),
    Mutant(
        35,
        "slot of a schedule not unique",
        "reconciliation/migrations/0004_mismatches_and_schedules.py",
        "fields=('schedule', 'due_at'), name='reconciliation_slot_once'",
        "fields=('schedule', 'due_at', 'id'), name='reconciliation_slot_once'",
        (_TWO_BEATS,),
    ),
    Mutant(
        46,
        "log of events open to UPDATE",
        "jobs/migrations/0006_events_and_switches.py",
        "CREATE TRIGGER job_event_kept BEFORE UPDATE ON jobs_jobevent",
        "CREATE TRIGGER job_event_kept BEFORE UPDATE OF attempt ON jobs_jobevent",
        (_EVENTS + "test_what_happened_stays",),
    ),
    Mutant(
        47,
        "moves of a job not written down",
        "jobs/migrations/0006_events_and_switches.py",
        "WHERE (o.state, o.event) IS DISTINCT FROM (n.state, n.event);",
        "WHERE o.state IS DISTINCT FROM n.state AND n.event <> 'cancel_requested'\n"
        "                    AND n.event <> 'lost';",
        (_EVENTS + "test_a_loss_says_why",),
    ),
    Mutant(
        48,
        "usage counted twice",
        "jobs/ledger.py",
        "SELECT %(tenant)s, 'job:' || %(job)s || ':' || meter || ':' || chunk, meter",
        "SELECT %(tenant)s, 'job:' || random() || meter || ':' || chunk, meter",
        (
            "tests/integration/test_ledger.py::test_a_checkpoint_is_where_the_next_attempt_resumes",
        ),
    ),
    Mutant(
        49,
        "bulk decision overrules who decided meanwhile",
        "jobs/bulk.py",
        "AND j.finished_at = struck.died_at\n",
        "\n",
        (
            "tests/integration/test_bulk.py::"
            "test_a_person_who_decided_meanwhile_is_not_overruled",
        ),
    ),
    Mutant(
        71,
        "schedule decided without its lock",
        "reconciliation/schedules.py",
        "rows = Schedule.objects.select_for_update(no_key=True)",
        "rows = Schedule.objects.all()",
        (_TWO_BEATS,),
    ),
    Mutant(
        72,
        "time that the clock shows twice is due twice",
        "reconciliation/slots.py",
        "        if cron.is_of_every_hour:\n            yield from _all",
        "        if wall:\n            yield from _all",
        ("tests/unit/test_slots.py::test_on_the_days_when_clocks_change",),
    ),
    Mutant(
        73,
        "slots of a pause made up for",
        "reconciliation/schedules.py",
        "            locked.decided_upto = max(decided_upto, locked.decided_upto)\n",
        "",
        (
            "tests/integration/test_schedules.py::"
            "test_slots_of_a_pause_are_neither_missed_nor_run",
        ),
    ),
)
