"""Bugs in the ledger's protocol, in publishing and in how workers end."""

from typing import Final

from tests.mutants.mutant import Mutant

_LEDGER: Final = "tests/integration/test_ledger.py::"
_BROKER: Final = "tests/integration/test_broker.py::"
_DRAIN: Final = "tests/integration/test_drain.py::"
_CANCEL: Final = "tests/integration/test_cancel.py::"
_CRASH: Final = (
    "tests/integration/test_crash_points.py::"
    "test_an_attempt_struck_at_any_point_leaves_no_trace"
    "[ingest-settled at once-killed]"
)

_COMMIT: Final = """\
        with tenant_scope(self.assignment.tenant):
            checkpoint = step()
            is_cancelled = ledger.commit_checkpoint(
                self.assignment, checkpoint, lease_seconds=settings.LEASE_SECONDS
            )
"""
_USAGE_APART: Final = """\
        from dataclasses import replace
        with tenant_scope(self.assignment.tenant):
            checkpoint = step()
            is_cancelled = ledger.commit_checkpoint(
                self.assignment,
                replace(checkpoint, usage={}),
                lease_seconds=settings.LEASE_SECONDS,
            )
        if checkpoint.usage:
            with tenant_scope(self.assignment.tenant):
                ledger._count_usage(self.assignment, checkpoint)
"""
# Rows come after the checkpoint wherever the step can be done twice.
_CHECKPOINT_FIRST: Final = """\
        with tenant_scope(self.assignment.tenant):
            checkpoint = step()
            if checkpoint.usage:
                connection.set_rollback(True)
            else:
                is_cancelled = ledger.commit_checkpoint(
                    self.assignment, checkpoint, lease_seconds=settings.LEASE_SECONDS
                )
        if checkpoint.usage:
            with tenant_scope(self.assignment.tenant):
                is_cancelled = ledger.commit_checkpoint(
                    self.assignment, checkpoint, lease_seconds=settings.LEASE_SECONDS
                )
            with tenant_scope(self.assignment.tenant):
                step()
"""
_SAME_JOB: Final = (
    "a.job_id = (SELECT o.job_id FROM jobs_attempt o WHERE o.id = asked.id)"
)
_RENEW: Final = """\
WHERE a.id = asked.id AND COALESCE(a.outcome, '') = ''
  AND a.lease_expires_at > clock_timestamp()
"""
_CLAIM: Final = "WHERE a.id = asked.id AND a.started_at IS NULL"

MUTANTS: Final = (
    Mutant(
        1,
        "usage committed apart from the checkpoint",
        "jobs/runner.py",
        _COMMIT,
        _USAGE_APART,
        (_CRASH,),
    ),
    Mutant(
        2,
        "fence without the attempt",
        "jobs/ledger.py",
        _RENEW,
        _RENEW.replace("a.id = asked.id", _SAME_JOB),
        (_LEDGER + "test_a_zombie_writes_neither_checkpoint_nor_end",),
    ),
    Mutant(
        3,
        "fence without the lease",
        "jobs/ledger.py",
        _RENEW,
        _RENEW.splitlines(keepends=True)[0],
        (_LEDGER + "test_an_expired_lease_fences_before_any_sweep_came",),
    ),
    Mutant(
        4,
        "claim by the job instead of the attempt",
        "jobs/ledger.py",
        _CLAIM,
        _CLAIM.replace("a.id = asked.id", _SAME_JOB),
        (_LEDGER + "test_a_stale_message_starts_no_later_attempt",),
    ),
    Mutant(
        5,
        "message acknowledged before the claim",
        "taskqueue_site/settings.py",
        "CELERY_TASK_ACKS_LATE = True",
        "CELERY_TASK_ACKS_LATE = False",
        (
            "tests/integration/test_worker_command.py::"
            "test_a_message_outlives_a_worker_that_is_killed",
        ),
    ),
    Mutant(
        6,
        "publish without confirms",
        "jobs/broker.py",
        "if self._confirms is not None:",
        "if False:",
        (_BROKER + "test_a_queue_that_vanished_is_an_error_once_and_declared_anew",),
    ),
    Mutant(
        7,
        "publish without mandatory",
        "jobs/broker.py",
        "mandatory=True",
        "mandatory=False",
        (_BROKER + "test_a_queue_that_vanished_is_an_error_once_and_declared_anew",),
    ),
    Mutant(
        8,
        "confirms and answers waited for without a timeout of the socket",
        "jobs/broker.py",
        '"read_timeout": CONFIRM_SECONDS,',
        "",
        (_BROKER + "test_a_broker_that_freezes_is_given_up",),
    ),
    Mutant(
        9,
        "sweep by the worker's clock",
        "jobs/sweeps.py",
        "return _lose(_EXPIRED, max_losses=max_losses)",
        'return _lose("lease_expires_at < to_timestamp(%(now)s)", '
        'max_losses=max_losses, now=__import__("time").time())',
        (_LEDGER + "test_leases_run_out_by_the_clock_of_the_database",),
    ),
    Mutant(
        10,
        "sweep without SKIP LOCKED",
        "jobs/sweeps.py",
        "ORDER BY lease_expires_at LIMIT 500 FOR UPDATE SKIP LOCKED",
        "ORDER BY lease_expires_at LIMIT 500 FOR UPDATE",
        (_LEDGER + "test_a_sweep_passes_over_what_somebody_is_changing",),
    ),
    Mutant(
        11,
        "sweep stuck on a page of long jobs",
        "jobs/sweeps.py",
        "WHERE outcome IS NULL AND {condition}\n",
        "WHERE id IN (SELECT id FROM jobs_attempt WHERE outcome IS NULL\n"
        "                 ORDER BY id LIMIT 500) AND {condition}\n",
        (_LEDGER + "test_an_expired_lease_is_found_behind_a_page_of_live_ones",),
    ),
    Mutant(
        12,
        "dispatch without the leader's term",
        "jobs/ledger.py",
        "AND holder = %(holder)s AND term = %(term)s",
        "AND holder = %(holder)s",
        (_LEDGER + "test_only_the_leader_dispatches",),
    ),
    Mutant(
        13,
        "what was published and not started stays",
        "jobs/sweeps.py",
        "AND a.dispatched_at < clock.now",
        "AND a.finished_at < clock.now",
        (_LEDGER + "test_a_published_attempt_is_replaced_only_while_a_slot_is_free",),
    ),
    Mutant(
        14,
        "checkpoint committed before the rows",
        "jobs/runner.py",
        _COMMIT,
        _CHECKPOINT_FIRST,
        (_CRASH,),
    ),
    Mutant(
        36,
        "give-back lowers the number of the attempt",
        "jobs/sweeps.py",
        "UPDATE jobs_job j SET state = %(to)s, event = %(event)s FROM settled s\n",
        "UPDATE jobs_job j SET state = %(to)s, event = %(event)s,\n"
        "    attempt_count = j.attempt_count - 1 FROM settled s\n",
        (_DRAIN + "test_what_is_in_the_middle_of_a_step_is_given_back_and_not_billed",),
    ),
    Mutant(
        37,
        "retry without jitter",
        "jobs/runner.py",
        "jitter=random.random(),",
        "jitter=0.5,",
        (
            "tests/integration/test_bundles.py::"
            "test_jobs_that_fail_together_do_not_come_back_together",
        ),
    ),
    Mutant(
        38,
        "cancel ignored while dispatched",
        "jobs/cancelling.py",
        "SELECT id FROM jobs_job WHERE finished_at IS NULL AND {condition}",
        "SELECT id FROM jobs_job WHERE finished_at IS NULL AND {condition}\n"
        "      AND state <> 'dispatched'",
        (_CANCEL + "test_a_published_job_is_cancelled_and_its_message_finds_nothing",),
    ),
    Mutant(
        39,
        "consumer of dead letters marks jobs dead",
        "jobs/dead_letter_consumer.py",
        "max_losses=settings.MAX_LOSSES",
        "max_losses=0",
        (
            "tests/integration/test_dead_messages.py::"
            "test_a_job_whose_message_is_given_up_once_is_queued_again",
        ),
    ),
    Mutant(
        40,
        "end of unknown fate written again without bound",
        "jobs/settling.py",
        "for pause in (*_TRY_AGAIN_AFTER, None):",
        "for pause in iter(lambda: _TRY_AGAIN_AFTER[0], None):",
        (_DRAIN + "test_an_end_that_can_never_be_written_is_given_up",),
    ),
    Mutant(
        41,
        "settlement given up at the first error",
        "jobs/settling.py",
        "if pause is None or not isinstance(error, Error):",
        "if True:",
        (_DRAIN + "test_an_end_that_could_not_be_written_is_written_again",),
    ),
    Mutant(
        42,
        "stop of the worker unseen at a checkpoint",
        "jobs/runner.py",
        "        if draining.is_on():\n            raise SlotWantedError",
        "        if False:\n            raise SlotWantedError",
        (_DRAIN + "test_a_job_comes_back_at_its_checkpoint_and_goes_on_elsewhere",),
    ),
    Mutant(
        43,
        "worker that stops takes new messages",
        "jobs/tasks.py",
        "if draining.is_on():",
        "if False:",
        (_DRAIN + "test_a_message_that_comes_now_goes_back_to_the_broker",),
    ),
    Mutant(
        44,
        "cancel ignored between publishing and start",
        "jobs/runner.py",
        "if self.claim.is_cancelled:",
        "if False:",
        (_CANCEL + "test_a_job_asked_for_between_publishing_and_start_is_not_begun",),
    ),
    Mutant(
        45,
        "request to cancel dropped when the worker is lost",
        "jobs/cancelling.py",
        'AND state <> %(running)s"',
        "AND state = 'scheduled' AND state <> %(running)s\"",
        (_CANCEL + "test_a_job_that_lost_its_worker_is_cancelled_by_the_sweep",),
    ),
)
