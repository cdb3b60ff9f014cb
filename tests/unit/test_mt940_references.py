"""MT940: the references and the other side that an entry tells of."""

import json

import pytest

from ingestion.sources import mt940
from ingestion.sources.base import Row
from tests.readings import records

pytestmark = pytest.mark.unit
HEAD = (":20:REF1", ":25:0099887766", ":28C:5/1", ":60F:C260104EUR1000,00")


def entry(*lines):
    """Return the one row of a statement with this entry."""
    found = records(mt940.read_940, ["\n".join([*HEAD, *lines, ""]).encode()])
    (row,) = (one.record for one in found if isinstance(one.record, Row))
    return row


@pytest.mark.parametrize(
    ("line", "reference", "source"),
    [
        ("NTRFNONREF//B-1", None, "B-1"),
        ("NTRFINV 17", "INV 17", None),
        ("NTRFINV 17//NONREF", "INV 17", None),
        ("NTRF//B-1", None, "B-1"),
        ("NMSC341241773/1XX//O/341241774", "341241773/1XX", "O/341241774"),
        (
            "NTRFA-REFERENCE-LONGER-THAN-16//2022070616391534000",
            "A-REFERENCE-LONGER-THAN-16",
            "2022070616391534000",
        ),
        ("N0440121470966      W.P. Jansen", "0121470966", None),
        ("NCOMNONREF          //CIOB220117990193/IACC/D3/", None, "CIOB220117990193"),
        ("NOV NONREF", None, None),
        ("S   X", "X", None),
    ],
)
def test_references_of_the_line(line, reference, source):
    row = entry(f":61:2601050105C1,00{line}")
    assert row.reference_id == reference
    assert row.source_txn_id == (source or row.txn_id)


@pytest.mark.parametrize(
    ("details", "reference"),
    [
        ("/TRTP/SEPA/IBAN/NL71RABO0123456789/EREF/E2E 17/REMI/x", "E2E 17"),
        ("/EREF/SCT/1/2//CNTP/NL71RABO0123456789/RABONL2U/Shop///", "SCT/1/2"),
        ("/EREF/NOTPROVIDED/KREF/K-17/", "K-17"),
        ("EREF: 17 MREF: 9", "17"),
        ("166?00GUTSCHRIFT?20EREF+E2E17?21SVWZ+EREF+later", "E2E17"),
        (
            "166?00X?20EREF+EndToEndIdTFNR20004000?2101?22SVWZ+y",
            "EndToEndIdTFNR2000400001",
        ),
        ("166?00X?20EREF+TFNR 40005 00005?21MTLG:Grund", "TFNR 40005 00005"),
        (
            "191?00X?20KREF+TFNr 01007 PayId CTSc-?2101 EBB?22MTLG:Datei",
            "TFNr 01007 PayId CTSc-01 EBB",
        ),
        ("NEFT CR-HDFC0001234-ASHA-HDFCN12345678901", "HDFCN12345678901"),
        ("RTGS HDFCR52026010512345678 ASHA", "HDFCR52026010512345678"),
        ("UPI-CHAI POINT-chai@ybl-HDFC0001234-600512345678-TEA", "600512345678"),
        ("IMPS-600512345678-ASHA-HDFC-XX17", "600512345678"),
        ("account 600512345678", "LINE"),
        ("END-TO-END-REF.:\n17-AB IBAN: DE42", "17-AB"),
        ("005?20BELASTUNG?21END-TO-END-REF.:?2217/AB", "LINE"),
        ("005?20BELASTUNG?21END-TO-END-REF.:?2217.AB?23CORE", "17.AB"),
        ("no reference at all", "LINE"),
    ],
)
def test_references_of_the_details(details, reference):
    row = entry(":61:2601050105C1,00NTRFLINE//B", f":86:{details}")
    assert row.reference_id == reference


@pytest.mark.parametrize(
    ("details", "account", "bank"),
    [
        ("166?30HDFCINBB?310099887766?32Asha", "0099887766", "HDFCINBB"),
        ("166?3010020030?31DE12?3212?38PL08106000760000 0777777", None, None),
        ("/CNTP/NL71RABO0123456789/RABONL2U/Shop///", "NL71RABO0123456789", "RABONL2U"),
        (
            "/IBAN/NL71RABO0123456789/BIC/RABONL2U/NAME/x",
            "NL71RABO0123456789",
            "RABONL2U",
        ),
        ("NEFT CR-HDFC0001234-ASHA", None, "HDFC0001234"),
        ("000>100987654321>20rent>310390123456", "0390123456", None),
    ],
)
def test_the_other_side_of_the_details(details, account, bank):
    row = entry(":61:2601050105C1,00NTRFX", f":86:{details}")
    if account or bank:
        assert (row.counterparty_account, row.vpa_or_ifsc) == (account, bank)
    else:
        assert row.counterparty_account == "PL081060007600000777777"


def test_an_account_in_the_place_of_a_reference_is_the_other_side():
    row = entry(":61:2601050105C1,00NOVBNL71RABO0123456789")
    assert (row.reference_id, row.counterparty_account) == (None, "NL71RABO0123456789")
    row = entry(":61:2601050105C1,00N102EREF            ", "NL71RABO0123456789")
    assert (row.reference_id, row.counterparty_account) == (None, "NL71RABO0123456789")


def test_details_in_parts_are_named():
    told = "166?00CREDIT?100399?20SVWZ+Inv?21oice 17?31DE42?32Asha ?33Traders?34914"
    row = entry(":61:2601050105C100,00NTRFX", f":86:{told}")
    named = json.loads(row.raw_row)
    assert named["details"] == told
    assert named["transaction_code"] == "166"
    assert named["posting_text"] == "CREDIT"
    assert named["purpose"] == "SVWZ+Invoice 17"
    assert named["applicant_name"] == "Asha Traders"
