"""`manage.py doctor`: what is wrong with the ledger and around it, and what to do."""

import sys
from argparse import ArgumentTypeError
from typing import Any, Final

from django.core.management.base import CommandParser

from jobs.audit import TIMEOUT_SECONDS, Finding, audit
from jobs.surroundings import Sign, Verdict, look_around
from tenants.management.product_command import ProductCommand, command_errors
from tenants.scoping import all_tenants
from tenants.selectors import UnknownTenantError, tenant_get

#: Examples that a person is shown; --json has more.
MOST_SHOWN: Final = 3


#: A day: PostgreSQL knows no timeout of more than 24 of them.
MOST_SECONDS: Final = 86_400


def seconds(text: str) -> int:
    """Return a number of seconds. Raises ArgumentTypeError."""
    if not text.isdecimal() or len(text) > 5 or not 1 <= int(text) <= MOST_SECONDS:
        raise ArgumentTypeError(f"{text!r} is not from 1 to {MOST_SECONDS} seconds")
    return int(text)


class Command(ProductCommand):
    help = (
        "Check the servers, the processes and every invariant of the ledger. Changes "
        "nothing; exits 1 when something is wrong."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        self.add_common_arguments(parser)
        parser.add_argument(
            "--tenant", metavar="SLUG", help="audit the rows of this tenant only"
        )
        parser.add_argument(
            "--at-rest",
            action="store_true",
            help="all work has come to its end: complain of jobs that have not",
        )
        parser.add_argument(
            "--timeout",
            type=seconds,
            default=TIMEOUT_SECONDS,
            metavar="SECONDS",
            help=f"for each invariant; one that takes longer counts as wrong "
            f"({TIMEOUT_SECONDS})",
        )

    def handle(
        self,
        *_: Any,
        tenant: str | None,
        at_rest: bool,
        timeout: int,
        as_json: bool,
        **__: Any,
    ) -> None:
        """Look, report, and exit 1 when something is wrong."""
        signs = look_around()
        findings: list[Finding] = []
        # Without its database, or with another layout, there is nothing to audit.
        is_audited = signs[0].verdict is Verdict.OK
        if is_audited:
            with command_errors(UnknownTenantError):
                if tenant is not None:
                    with all_tenants(reason="doctor"):
                        tenant_get(slug=tenant)
                findings = audit(
                    tenant=tenant, at_rest=at_rest, timeout_seconds=timeout
                )
        is_well = not findings and all(s.verdict is not Verdict.WRONG for s in signs)
        report = {
            "is_well": is_well,
            "is_audited": is_audited,
            "signs": [sign.to_json() for sign in signs],
            "findings": [finding.to_json() for finding in findings],
        }
        text = _text(signs, findings, is_audited=is_audited)
        self.write(text, report, as_json=as_json)
        if not is_well:
            sys.exit(1)


def _text(signs: list[Sign], findings: list[Finding], *, is_audited: bool) -> str:
    lines = [line for sign in signs for line in _of_sign(sign)]
    lines += [line for finding in findings for line in _of_finding(finding)]
    if not is_audited:
        lines.append("The ledger was not audited.")
    elif not findings:
        lines.append(f"{Verdict.OK:<6} ledger: every invariant holds")
    return "\n".join(lines)


def _of_sign(sign: Sign) -> list[str]:
    remedy = [f"       {sign.remedy}"] if sign.remedy else []
    return [f"{_shown(sign.verdict)} {sign.part}: {sign.text}", *remedy]


def _of_finding(finding: Finding) -> list[str]:
    wrong = _shown(Verdict.WRONG)
    if finding.count is None:
        return [
            f"{wrong} {finding.name}: not known, looking took too long",
            "       Give it more time with --timeout, or one tenant with --tenant.",
        ]
    rows = "row" if finding.count == 1 else "rows"
    examples = finding.examples[:MOST_SHOWN]
    return [
        f"{wrong} {finding.name}: {finding.count:,} {rows} against it",
        f"       {finding.meaning}",
        *(f"       - {_example(example)}" for example in examples),
        f"       {finding.remedy}",
    ]


def _example(example: dict[str, Any]) -> str:
    return ", ".join(
        f"{name.removesuffix('_id')} {value}"
        for name, value in example.items()
        if value is not None
    )


def _shown(verdict: Verdict) -> str:
    return f"{verdict.upper() if verdict is Verdict.WRONG else verdict:<6}"
