"""The number of the account, however a bank writes it above its rows."""

import pytest

from ingestion.sources.dialect.notes import account_in


@pytest.mark.parametrize(
    ("text", "account"),
    [
        ("50100098765432", "50100098765432"),
        ("9170-1001-2345 for the period (From : 01-01-2026", "917010012345"),
        ("0004 0112 3456", "000401123456"),
        ("50/0098/1", "5000981"),
        ("XX-1234", "XX1234"),
        ("XXXX XXXX 1234", "XXXXXXXX1234"),
        ("****1234", "****1234"),
        ("_00000020123456789", "00000020123456789"),
        ("000401123456 ( INR ) - ASHA RAO", "000401123456"),
        ("GB29 NWBK 6016 1331 9268 19", "GB29NWBK60161331926819"),
        ("of ASHA RAO 00112233 01-01-2026", "00112233"),
        ("01-01-2026 00112233", "00112233"),
        ("as on 01 Jan 2026", "2026"),
        ("ASHA RAO", ""),
        ("H1", ""),
        ("1" * 35, ""),
        ("", ""),
    ],
)
def test_a_number_is_taken_whole(text: str, account: str):
    assert account_in(text.split()) == account
