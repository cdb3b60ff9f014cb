"""Draw who gets the worker time under three policies, from one simulated workload.

    python -m benchmarks.picture [FILE]

The drawing depends on nothing but the code, so a test compares it with the one in the
documents.
"""

import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from random import Random
from typing import Final

from fairshare.measures import shares
from fairshare.policies import CountFair, FairShare, Fifo
from fairshare.simulation import Change, Policy, Setup, Simulation, Stream, TenantConfig
from fairshare.workloads import SECOND_US, flood, uniform

FILE: Final = Path(__file__).parents[1] / "docs" / "images" / "fair_share.svg"
SECONDS, WINDOW, ARRIVES, REWEIGHED = 180, 6, 30, 102
LEFT, TOP, WIDTH, HEIGHT, GAP = 52, 78, 262, 170, 22
SHORT_COLOUR, LONG_COLOUR = "#0f8f7e", "#c2873a"
INK, PALE = "#1f2733", "#6b7686"

PANELS: Final = (
    ("A plain queue", Fifo),
    ("Fair by the number of jobs", CountFair),
    ("Fair share of worker time", FairShare),
)


def workload(random: Random) -> Setup:
    """Return eight slots, a flood of long jobs, and short ones that come later."""
    return Setup(
        slots=8,
        until_us=SECONDS * SECOND_US,
        tenants=[TenantConfig(tenant="long"), TenantConfig(tenant="short")],
        loads=[
            Stream("long", flood(random, uniform(3, 5), jobs=600)),
            Stream("short", flood(random, uniform(0.2, 0.6), jobs=4000, at=ARRIVES)),
        ],
        changes=[
            Change(REWEIGHED * SECOND_US, TenantConfig(tenant="short", weight=3000))
        ],
    )


def short_shares(policy: Policy) -> list[float]:
    """Return the share of the tenant with the short jobs, window by window."""
    trace = Simulation(workload(Random(1)), policy).run()
    return [
        shares(trace, start * SECOND_US, (start + WINDOW) * SECOND_US)["short"]
        for start in range(0, SECONDS, WINDOW)
    ]


def draw() -> str:
    """Return the picture as SVG."""
    width = LEFT + len(PANELS) * (WIDTH + GAP)
    height = TOP + HEIGHT + 62
    marks = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" role="img">',
        "<title>Who gets the worker time under three policies</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_legend(),
    ]
    for number, (title, policy) in enumerate(PANELS):
        x = LEFT + number * (WIDTH + GAP)
        marks += _panel(x, title, short_shares(policy()))
    for percent in (0, 50, 100):
        y = TOP + HEIGHT * (1 - percent / 100) + 4
        marks.append(_text(LEFT - 8, y, f"{percent}%", anchor="end", colour=PALE))
    return "\n".join([*marks, "</svg>"]) + "\n"


def _legend() -> Iterator[str]:
    for x, colour, text in (
        (LEFT, LONG_COLOUR, "600 jobs of about 4 s, all there at the start"),
        (LEFT + 310, SHORT_COLOUR, "4,000 jobs of about 0.4 s, from 30 s on"),
    ):
        yield f'<rect x="{x}" y="16" width="12" height="12" fill="{colour}"/>'
        yield _text(x + 18, 26, text)


def _panel(x: int, title: str, short: Sequence[float]) -> Iterator[str]:
    yield _text(x, TOP - 14, title, size=14, weight="600")
    yield (
        f'<rect x="{x}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" '
        f'fill="{LONG_COLOUR}"/>'
    )
    step = WIDTH / len(short)
    for place, share in enumerate(short):
        if share:
            yield (
                f'<rect x="{x + place * step:.2f}" '
                f'y="{TOP + HEIGHT * (1 - share):.2f}" width="{step + 0.1:.2f}" '
                f'height="{HEIGHT * share:.2f}" fill="{SHORT_COLOUR}"/>'
            )
    for second, text in ((ARRIVES, "short jobs arrive"), (REWEIGHED, "weight 1 to 3")):
        at = x + WIDTH * second / SECONDS
        yield (
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{TOP + HEIGHT + 8}" '
            f'stroke="{INK}" stroke-dasharray="3 3"/>'
        )
        yield _text(at, TOP + HEIGHT + 22, f"{second} s", anchor="middle", colour=PALE)
        yield _text(at, TOP + HEIGHT + 38, text, anchor="middle", colour=PALE)


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 12,
    anchor: str = "start",
    weight: str = "400",
    colour: str = INK,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'font-weight="{weight}" fill="{colour}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    target.write_text(draw(), encoding="utf-8")
