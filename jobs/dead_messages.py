"""Keeps the messages that nobody could work on, for a person to look at.

No tenant is known of such a message, so platform staff alone see it. What is kept is
bounded and made writable: a message comes from anywhere and may hold anything.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet

from jobs.models import DeadMessage

#: Bytes of a body that are kept, and characters of its headers.
MOST_KEPT: Final = 64 * 1024
MOST_HEADERS: Final = 16 * 1024
MOST_DETAIL: Final = 1000
MOST_NAME: Final = 255
MOST_IDS: Final = 1000

_KEEP = """
INSERT INTO jobs_deadmessage (queue, reason, detail, sha256, size, body, content_type,
                              content_encoding, headers, attempt_ids, seen_count)
VALUES (%(queue)s, %(reason)s, %(detail)s, %(sha256)s, %(size)s, %(body)s,
        %(content_type)s, %(content_encoding)s, %(headers)s::jsonb,
        %(attempt_ids)s::jsonb, 1)
ON CONFLICT (sha256, queue, reason) DO UPDATE
SET seen_count = jobs_deadmessage.seen_count + 1, last_seen_at = clock_timestamp(),
    detail = EXCLUDED.detail, headers = EXCLUDED.headers,
    discarded_at = NULL, discarded_by = ''
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A message as it was found: where, why it is dead, and what it was."""

    queue: str
    reason: str
    detail: str
    body: bytes
    content_type: str
    content_encoding: str
    headers: Mapping[str, Any]
    attempt_ids: Iterable[int] | None = None


def keep(found: Found) -> None:
    """Write the message down; one that was seen before is only counted.

    Raises django.db.Error.
    """
    ids = None if found.attempt_ids is None else list(found.attempt_ids)[:MOST_IDS]
    values: dict[str, Any] = {
        "queue": _text(found.queue, MOST_NAME),
        "reason": _text(found.reason, MOST_NAME),
        "detail": _text(found.detail, MOST_DETAIL),
        "sha256": sha256(found.body).hexdigest(),
        "size": len(found.body),
        "body": found.body[:MOST_KEPT],
        "content_type": _text(found.content_type, MOST_NAME),
        "content_encoding": _text(found.content_encoding, MOST_NAME),
        "headers": _headers(found.headers),
        "attempt_ids": None if ids is None else json.dumps(ids),
    }
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, values)


def messages_discard(rows: QuerySet[DeadMessage], *, by: str, now: datetime) -> int:
    """Note that a person is done with these messages; returns how many were open."""
    return rows.filter(discarded_at=None).update(discarded_at=now, discarded_by=by)


def _headers(headers: Any) -> str:
    """Return the headers as JSON that PostgreSQL can keep, cut where it is too long."""
    if not isinstance(headers, Mapping):
        return json.dumps({"headers": _text(repr(headers), MOST_HEADERS)})
    kept: dict[str, str] = {}
    left = MOST_HEADERS
    for name, value in headers.items():
        name = _text(str(name), MOST_NAME)
        kept[name] = _text(str(value), min(left, 2000))
        left -= len(name) + len(kept[name])
        if left <= 0:
            break
    return json.dumps(kept)


def _text(value: Any, most: int) -> str:
    """Return it as text without what PostgreSQL cannot keep, at most so long."""
    text = str(value or "")[:most].replace("\0", "\ufffd")
    return text.encode(errors="replace").decode()
