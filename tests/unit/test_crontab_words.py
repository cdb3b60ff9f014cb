"""Crontabs in plain words."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from reconciliation.crontab_words import in_words
from reconciliation.crontabs import FIELDS, crontab_of

NOW = datetime(2026, 3, 27, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 6 * * *", "Every day at 06:00, Europe/Berlin"),
        ("30 6,18 * * *", "Every day at 06:30 and 18:30, Europe/Berlin"),
        ("30 * * * *", "At minute 30 of every hour, Europe/Berlin"),
        ("5,35 * * * *", "At minutes 5 and 35 of every hour, Europe/Berlin"),
        ("*/15 * * * *", "Every 15 minutes, Europe/Berlin"),
        ("* * * * *", "Every minute, Europe/Berlin"),
        ("*/15 * * * 1-5", "Every 15 minutes, Monday to Friday, Europe/Berlin"),
        (
            "0 * 1 * *",
            "At minute 0 of every hour, on day 1 of every month, Europe/Berlin",
        ),
        ("0 6 * * 1-5", "Monday to Friday at 06:00, Europe/Berlin"),
        ("0 6 * * 0,6", "Every Saturday and Sunday at 06:00, Europe/Berlin"),
        (
            "0 6 * * sun,wed,mon",
            "Every Monday, Wednesday and Sunday at 06:00, Europe/Berlin",
        ),
        ("0 6 1 * *", "On day 1 of every month at 06:00, Europe/Berlin"),
        (
            "0 6 1,15 1,7 *",
            "On days 1 and 15 of January and July at 06:00, Europe/Berlin",
        ),
        (
            "0 6 1-7 * 1",
            "0 6 1-7 * 1, Europe/Berlin: 2026-04-06 06:00, 2026-05-04 06:00, "
            "2026-06-01 06:00",
        ),
        (
            "*/7 * * * *",
            "*/7 * * * *, Europe/Berlin: 2026-03-27 01:07, 2026-03-27 01:14, "
            "2026-03-27 01:21",
        ),
        ("0 0 31 2 0", "0 0 31 2 0, Europe/Berlin: never"),
    ],
)
def test_in_words(text: str, words: str):
    names = [field[0] for field in FIELDS]
    fields = dict(zip(names, text.split(), strict=True))
    cron = crontab_of(**fields, zone=ZoneInfo("Europe/Berlin"))
    assert in_words(cron, NOW) == words


def test_without_a_moment_what_has_no_words_is_told_as_written():
    fields = {name: "*" for name, *_ in FIELDS} | {"minute": "*/7"}
    cron = crontab_of(**fields, zone=ZoneInfo("Europe/Berlin"))
    assert in_words(cron) == "*/7 * * * *, Europe/Berlin"
