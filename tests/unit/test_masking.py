"""Account numbers are recognised, never shown."""

import pytest

from ingestion.masking import mask_account, mask_id, mask_row, mask_text


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("50100012345678", "••••5678"),
        ("navin@okbank", "na***@okbank"),
        ("ab@okbank", "***@okbank"),
        ("50100012345678@HDFC0000001.ifsc.npci", "••••5678@HDFC0000001.ifsc.npci"),
        ("GB29NWBK60161331926819", "••••6819"),
        ("1234", "••••34"),
        ("7", "••••"),
        ("", ""),
        (None, ""),
        ("not@ a vpa", "•••• vpa"),
    ],
)
def test_an_account_keeps_only_what_recognises_it(value: str | None, masked: str):
    assert mask_account(value) == masked


@pytest.mark.parametrize(
    ("txn_id", "masked"),
    [
        ("HDFC:50100098765432:2026-01-05:abc.2", "HDFC:••••5432:2026-01-05:abc.2"),
        ("MT940:NL91ABNA0417164300:5/1:2", "MT940:••••4300:5/1:2"),
        ("AXIS:-:2026-01-05:abc", "AXIS:••••:2026-01-05:abc"),
        ("LEDGER:70001", "LEDGER:70001"),
        ("YBL0a1b2c3d4e5f6", "YBL0a1b2c3d4e5f6"),
        ("", ""),
    ],
)
def test_an_id_made_of_an_account_does_not_tell_it(txn_id: str, masked: str):
    assert mask_id(txn_id) == masked


def test_a_text_loses_whatever_looks_like_an_account():
    text = "rent to 50100012345678 by asha.rao@okbank, IFSC HDFC0001234, Rs 1200.50"
    assert mask_text(text) == (
        "rent to ••••5678 by as***@okbank, IFSC HDFC0001234, Rs 1200.50"
    )


def test_a_row_is_masked_by_key_and_else_by_shape():
    row = {
        "txn_id": "600000000001",
        "rrn": "600000000001",
        "payer_vpa": "asha.rao@okbank",
        "Beneficiary Account No": "001234",
        "account_type": "savings",
        "payer_ifsc": "HDFC0001234",
        "transaction_account": "50100012345678",
        "amount": "1234567890",
        "remarks": "to navin@okbank",
        "nested": {"iban": "GB29NWBK60161331926819", "list": ["navin@okbank", None]},
        "flag": True,
        "count": 3,
    }
    assert mask_row(row) == {
        "txn_id": "600000000001",
        "rrn": "600000000001",
        "payer_vpa": "as***@okbank",
        "Beneficiary Account No": "••••234",
        "account_type": "savings",
        "payer_ifsc": "HDFC0001234",
        "transaction_account": "••••5678",
        "amount": "1234567890",
        "remarks": "to na***@okbank",
        "nested": {"iban": "••••6819", "list": ["na***@okbank", None]},
        "flag": True,
        "count": 3,
    }


def test_an_account_that_was_read_as_a_number_is_masked_too():
    assert mask_row({"account": 50100012345678}) == {"account": "••••5678"}
    assert mask_row({"unnamed": 50100012345678}) == {"unnamed": "••••5678"}
