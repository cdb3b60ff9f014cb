"""Write a UPI CSV file of any size: the same arguments give the same bytes.

    python samples/generate.py --rows 200000 --seed 7 --bad-every 1000 > big.csv

`--bad-every M` damages every M-th row, each time in the next way of `BAD_CELLS`.
`--repeat-every K` makes every K-th row repeat an earlier id: by turns the same payment
written differently, and another amount under the same id. `--faults` writes one row of
each fault between good ones. `--truth FILE` writes what a right reader finds, as JSON.
"""

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from random import Random

HEADER = (
    "txn_id",
    "rrn",
    "payer_vpa",
    "payee_vpa",
    "amount",
    "currency",
    "status",
    "txn_timestamp",
    "remarks",
)
START = datetime(2026, 1, 5, 3, 30, tzinfo=UTC)
INDIA = timezone(timedelta(hours=5, minutes=30))
REPEAT_DISTANCE = 5
#: What a conflicting row says instead of its amount.
OTHER = Decimal("1.23")

HANDLES = ("okicici", "okhdfcbank", "okaxis", "oksbi", "ybl", "paytm", "upi", "ibl")
PEOPLE = (
    "asha",
    "ravi.k",
    "meena_s",
    "john-p",
    "fatima",
    "gurpreet",
    "li.wei",
    "98450",
)
SHOPS = ("chai.point", "metro-rail", "kirana42", "bookshop", "pharmacy", "powerbill")
REMARKS = (
    "groceries",
    "order {n}",
    "",
    "rent, flat 4B",
    'said "thank you"',
    "चाय और समोसा",
    "மின் கட்டணம்",
    "two lines:\nfirst and second",
    "🚕 ride home",
)
STATUSES = ("SUCCESS",) * 12 + ("Success", "S", "00", "FAILED", "PENDING", "REVERSED")

Cells = dict[str, str]

#: (cells to overwrite in a good row, column at fault, reason)
BAD_CELLS: tuple[tuple[Cells, str, str], ...] = (
    ({"amount": "1e5"}, "amount", "invalid_amount"),
    ({"amount": "-25.00"}, "amount", "negative_amount"),
    ({"amount": "10.005"}, "amount", "unsupported_precision"),
    ({"txn_timestamp": "2026-02-31 10:00:00"}, "txn_timestamp", "invalid_timestamp"),
    ({"payee_vpa": "no address"}, "payee_vpa", "invalid_vpa"),
    ({"txn_id": "1.23457E+15"}, "txn_id", "excel_damaged_id"),
    ({"rrn": "12345678901"}, "rrn", "invalid_rrn"),
    ({"status": "DONE"}, "status", "invalid_status"),
    ({"currency": "RUPEE"}, "currency", "invalid_currency"),
    ({"amount": "0.00"}, "amount", "zero_amount"),
    ({"txn_id": ""}, "txn_id", "missing_value"),
    ({"txn_id": "TXN 17"}, "txn_id", "invalid_id"),
    ({"amount": "12345678901234567.00"}, "amount", "amount_too_large"),
    ({"currency": "JPY", "amount": "100.50"}, "amount", "unsupported_precision"),
    ({"currency": "KWD", "amount": "1.234"}, "amount", "unsupported_precision"),
    ({"amount": "-0.00"}, "amount", "negative_amount"),
    ({"amount": "NaN"}, "amount", "invalid_amount"),
    ({"amount": "1_000"}, "amount", "invalid_amount"),
    ({"amount": "1,2345.00"}, "amount", "invalid_amount"),
    ({"amount": "\uff11\uff12.00"}, "amount", "invalid_amount"),
    ({"payer_vpa": "asha@"}, "payer_vpa", "invalid_vpa"),
    ({"rrn": ""}, "rrn", "missing_value"),
    ({"txn_timestamp": "05/01/2026 10:00"}, "txn_timestamp", "invalid_timestamp"),
    ({"txn_timestamp": "2026-01-05T23:59:60Z"}, "txn_timestamp", "invalid_timestamp"),
)


def raw_faults(line: bytes) -> Iterator[tuple[bytes, str | None, str]]:
    """Yield `(bytes, column, reason)`: damage below the level of cells."""
    body = line.rstrip(b"\n")
    yield body.rpartition(b",")[0] + b"\n", None, "wrong_field_count"
    yield body + b",one more\n", None, "wrong_field_count"
    yield body + b" NUL \0 here\n", "remarks", "nul_byte"
    yield body + b" caf\xe9\n", "remarks", "invalid_utf8"
    yield body + b' 5" pipe\n', None, "malformed_csv"
    yield body + b"a\rb\n", None, "malformed_csv"
    yield body + b"x" * 70_000 + b"\n", "remarks", "field_too_long"
    yield body.rpartition(b",")[0] + b',"never closed\n', None, "unclosed_quote"


@dataclass
class Truth:
    """What a right reader finds in the file."""

    rows: int = 0
    good: int = 0
    same_again: int = 0
    conflicting: int = 0
    rejects: list[tuple[int, str | None, str]] = field(default_factory=list)


class Writer:
    """Yields the lines of one file and keeps the truth about them."""

    def __init__(self, seed: int):
        self.seed = seed
        self.truth = Truth()
        self._line = 1

    def file(self, rows: int, bad_every: int, repeat_every: int) -> Iterator[bytes]:
        """Yield the header and `rows` rows."""
        yield self._count(csv_line(dict(zip(HEADER, HEADER, strict=True))))
        for number in range(1, rows + 1):
            if bad_every and number % bad_every == 0:
                yield self._bad(number, number // bad_every - 1)
            elif (
                repeat_every
                and number % repeat_every == 0
                and not (
                    # A row that is refused cannot be repeated.
                    bad_every and (number - REPEAT_DISTANCE) % bad_every == 0
                )
            ):
                yield self._repeated(number, number // repeat_every)
            else:
                yield self._good(good_cells(self.seed, number))

    def faults(self) -> Iterator[bytes]:
        """Yield the header and one row of each fault, a good row after each."""
        yield self._count(csv_line(dict(zip(HEADER, HEADER, strict=True))))
        number = 0
        for index in range(len(BAD_CELLS)):
            number += 2
            yield self._bad(number - 1, index)
            yield self._good(good_cells(self.seed, number))
        plain = csv_line(plain_cells(self.seed, number + 1))
        for line, column, reason in raw_faults(plain):
            number += 2
            yield self._rejected(line, column, reason)
            yield self._good(good_cells(self.seed, number))

    def _good(self, cells: Cells) -> bytes:
        self.truth.rows += 1
        self.truth.good += 1
        return self._count(csv_line(cells))

    def _bad(self, number: int, index: int) -> bytes:
        overwrite, column, reason = BAD_CELLS[index % len(BAD_CELLS)]
        line = csv_line(plain_cells(self.seed, number) | overwrite)
        return self._rejected(line, column, reason)

    def _rejected(self, line: bytes, column: str | None, reason: str) -> bytes:
        self.truth.rows += 1
        self.truth.rejects.append((self._line, column, reason))
        return self._count(line)

    def _repeated(self, number: int, turn: int) -> bytes:
        cells = good_cells(self.seed, number - REPEAT_DISTANCE)
        if turn % 2:
            self.truth.same_again += 1
            return self._good(written_differently(cells))
        self.truth.conflicting += 1
        return self._good(cells | {"amount": another_amount(cells), "currency": "INR"})

    def _count(self, line: bytes) -> bytes:
        self._line += line.count(b"\n")
        return line


def good_cells(seed: int, number: int) -> Cells:
    """Return the cells of the good row `number`, drawn from `seed`."""
    rng = Random(f"{seed}:{number}")  # noqa: S311 - samples, no secrets
    return {
        "txn_id": f"ICI{number:08d}{rng.getrandbits(96):024x}",
        "rrn": f"{rng.randrange(10**12):012d}",
        "payer_vpa": f"{rng.choice(PEOPLE)}{number % 97}@{rng.choice(HANDLES)}",
        "payee_vpa": _payee(rng),
        "amount": _amount(rng),
        "currency": rng.choice(("INR",) * 9 + ("",)),
        "status": rng.choice(STATUSES),
        "txn_timestamp": _moment(rng, number),
        "remarks": rng.choice(REMARKS).format(n=number),
    }


def plain_cells(seed: int, number: int) -> Cells:
    """Return good cells that need no quotes and leave room for exactly one fault."""
    return good_cells(seed, number) | {
        "amount": "250.00",
        "currency": "INR",
        "status": "SUCCESS",
        "remarks": "to be refused",
    }


def written_differently(cells: Cells) -> Cells:
    """Return the same payment as another bank system would print it."""
    amount = Decimal(cells["amount"].replace(",", ""))
    return cells | {
        "amount": f" {amount:,.2f} ",
        "currency": cells["currency"] or "inr",
        "payer_vpa": cells["payer_vpa"].upper(),
    }


def another_amount(cells: Cells) -> str:
    """Return an amount that is not the one in the cells."""
    return "3.21" if Decimal(cells["amount"].replace(",", "")) == OTHER else str(OTHER)


def _payee(rng: Random) -> str:
    if rng.random() < 0.1:
        account, branch = rng.randrange(10**11, 10**12), rng.randrange(10**6)
        return f"{account}@HDFC0{branch:06d}.ifsc.npci"
    return f"{rng.choice(SHOPS)}@{rng.choice(HANDLES)}"


def _amount(rng: Random) -> str:
    paise = int(10 ** rng.uniform(2, 7.5))
    whole, cents = divmod(paise, 100)
    if rng.random() < 0.15:
        return f"{_indian(whole)}.{cents:02d}"
    return f"{whole}.{cents:02d}"


def _indian(whole: int) -> str:
    """Return digits grouped as 12,34,567."""
    head, tail = divmod(whole, 1000)
    if not head:
        return str(whole)
    groups = [f"{tail:03d}"]
    while head:
        head, pair = divmod(head, 100)
        groups.append(f"{pair:02d}" if head else str(pair))
    return ",".join(reversed(groups))


def _moment(rng: Random, number: int) -> str:
    moment = START + timedelta(seconds=number * 7 + rng.randrange(7))
    if rng.random() < 0.2:
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return moment.astimezone(INDIA).strftime("%Y-%m-%d %H:%M:%S")


def csv_line(cells: Cells) -> bytes:
    """Return one line of CSV, quoted where it must be, as UTF-8."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells[name] for name in HEADER)
    return out.getvalue().encode()


def main() -> None:
    """Write the file that the command line asks for to standard output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bad-every", type=int, default=0, metavar="M")
    parser.add_argument("--repeat-every", type=int, default=0, metavar="K")
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--truth", type=Path, metavar="FILE")
    options = parser.parse_args()
    writer = Writer(options.seed)
    lines = (
        writer.faults()
        if options.faults
        else writer.file(options.rows, options.bad_every, options.repeat_every)
    )
    sys.stdout.buffer.writelines(lines)
    if options.truth:
        options.truth.write_text(json.dumps(vars(writer.truth)) + "\n")


if __name__ == "__main__":
    main()
