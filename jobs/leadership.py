"""Who leads: a lease row whose term fences every write of the leader.

A leader renews before its lease runs out; a standby takes an expired lease and raises
the term. jobs/ledger.py checks holder and term in the statement that dispatches, so a
leader that was frozen and wakes up writes nothing.
"""

from django.db import connection

_ACQUIRE = """
INSERT INTO jobs_leaderlease (name, holder, term, expires_at)
VALUES (%(name)s, %(holder)s, 1, clock_timestamp() + %(ttl)s * interval '1 second')
ON CONFLICT (name) DO UPDATE
SET holder = EXCLUDED.holder,
    expires_at = EXCLUDED.expires_at,
    term = jobs_leaderlease.term
         + CASE WHEN jobs_leaderlease.holder = EXCLUDED.holder THEN 0 ELSE 1 END
WHERE jobs_leaderlease.holder = EXCLUDED.holder
   OR jobs_leaderlease.expires_at < clock_timestamp()
RETURNING term
"""

_RELEASE = """
UPDATE jobs_leaderlease SET expires_at = clock_timestamp()
WHERE name = %s AND holder = %s
"""


def acquire(*, name: str, holder: str, ttl_seconds: float) -> int | None:
    """Take or renew the lease; returns the term, or None while another one leads."""
    with connection.cursor() as cursor:
        cursor.execute(_ACQUIRE, {"name": name, "holder": holder, "ttl": ttl_seconds})
        row = cursor.fetchone()
    return None if row is None else row[0]


def release(*, name: str, holder: str) -> None:
    """Give the lease up at once, so that a standby need not wait for it to expire."""
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE, [name, holder])
