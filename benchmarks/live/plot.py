"""The picture of a run: how long a light tenant waits, and who gets the worker time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Any, Final

from benchmarks.live.catalogue import FAIRNESS
from benchmarks.live.results import OK, Report, Result
from benchmarks.live.tables import seconds

WIDTH: Final = 880
#: Where labels end and bars begin, and where bars end.
LEFT, RIGHT = 250, 760
ROW, GAP, HEAD = 20, 14, 34
COLOURS: Final = dict(
    zip(FAIRNESS, ("#0f8f7e", "#8a94a3", "#c2873a", "#5f72c9"), strict=True)
)
#: Tenants in the order of a scenario.
SHADES: Final = ("#0f8f7e", "#c2873a", "#5f72c9", "#8a94a3")
INK, PALE = "#1f2733", "#6b7686"


@dataclass(slots=True)
class Canvas:
    """Marks so far, and how far down they reach."""

    marks: list[str]
    y: float = 0.0

    def text(self, x: float, text: str, *, size: int = 12, **style: str) -> None:
        """Write at the middle of the row that begins here."""
        given = {"fill": INK, **style}
        attributes = " ".join(
            f'{name.replace("_", "-")}="{value}"' for name, value in given.items()
        )
        self.marks.append(
            f'<text x="{x:.1f}" y="{self.y + ROW * 0.68:.1f}" font-size="{size}" '
            f"{attributes}>{escape(text)}</text>"
        )

    def box(self, x: float, width: float, colour: str) -> None:
        """Fill a part of the row that begins here."""
        self.marks.append(
            f'<rect x="{x:.1f}" y="{self.y + 3:.1f}" width="{max(width, 0.5):.1f}" '
            f'height="{ROW - 6}" rx="2" fill="{colour}"/>'
        )

    def line(self, x: float, top: float, colour: str) -> None:
        """Draw a line from further up down to here."""
        self.marks.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{self.y:.1f}" '
            f'stroke="{colour}" stroke-width="1"/>'
        )

    def title(self, title: str, remark: str) -> None:
        """Head a panel."""
        self.y += HEAD - ROW
        self.text(20, title, size=15, font_weight="600")
        self.y += ROW
        self.text(20, remark, fill=PALE)
        self.y += ROW + 4


def draw(report: Report) -> str:
    """Return the run as an SVG file; a scenario that was not run is left out."""
    found = [one for one in report.results if one.status == OK]
    canvas = Canvas([])
    _waits(canvas, [one for one in found if one.measures.get("waits")])
    _shares(canvas, [one for one in found if one.measures.get("parts")])
    canvas.y += GAP
    canvas.text(20, _origin(report), size=11, fill=PALE)
    height = canvas.y + ROW + 10
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" '
            f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" role="img" '
            'font-family="system-ui, sans-serif">',
            "<title>Waits and shares, by queue</title>",
            f'<rect width="{WIDTH}" height="{height:.0f}" rx="8" fill="#ffffff"/>',
            *canvas.marks,
            "</svg>\n",
        ]
    )


# --- Waits ----------------------------------------------------------------------------


def _waits(canvas: Canvas, found: Sequence[Result]) -> None:
    values = [one.measures["waits"]["noisy"] for one in found]
    known = [v for one in values for v in (one["p50"], one["p99"]) if v]
    if not known:
        return
    canvas.title(
        "How long a light tenant waits while others flood",
        "From the producer's call to the start of the job. Bar: 99th percentile; "
        "white line: median. Scale: logarithmic.",
    )
    lo, hi = floor(log10(min(known))), ceil(log10(max(known)))
    scale = (LEFT, (RIGHT - LEFT) / max(1, hi - lo), lo)
    top = canvas.y
    for scenario, results in _by_scenario(found):
        canvas.text(20, scenario, font_weight="600")
        for result in results:
            _wait(canvas, result, scale)
        canvas.y += GAP
    for power in range(lo, hi + 1):
        x = LEFT + (power - lo) * scale[1]
        canvas.line(x, top, "#00000018")
        canvas.text(x, seconds(10.0**power), size=11, fill=PALE, text_anchor="middle")
    canvas.y += ROW


def _wait(canvas: Canvas, result: Result, scale: tuple[float, float, float]) -> None:
    left, per_power, lo = scale
    noisy = result.measures["waits"]["noisy"]
    if not noisy["p99"]:
        return

    def place(value: float) -> float:
        return left + max(0.0, log10(value) - lo) * per_power

    end = place(noisy["p99"])
    bound = "more than " if noisy["unstarted"] else ""
    canvas.text(LEFT - 10, result.system, text_anchor="end")
    canvas.box(left, end - left, COLOURS.get(result.system, PALE))
    if noisy["p50"]:
        canvas.box(place(noisy["p50"]) - 1, 2, "#ffffff")
    canvas.text(end + 8, f"{bound}{seconds(noisy['p99'])}", fill=PALE)
    canvas.y += ROW


# --- Shares ---------------------------------------------------------------------------


def _shares(canvas: Canvas, found: Sequence[Result]) -> None:
    if not found:
        return
    canvas.title(
        "Who gets the worker time while all have work waiting",
        "Share of each tenant, in per cent; the first bar of each group is the ideal.",
    )
    for scenario, results in _by_scenario(found):
        for index, part in enumerate(results[0].measures["parts"]):
            name = part["name"]
            title = scenario if len(results[0].measures["parts"]) == 1 else ""
            canvas.text(20, title or f"{scenario}: {name}", font_weight="600")
            _share(canvas, "ideal", part["ideal"], opacity="55")
            for result in results:
                had: Any = result.measures["parts"][index]["shares"]
                if had:
                    _share(canvas, result.system, had)
            canvas.y += GAP


def _share(
    canvas: Canvas, name: str, shares: dict[str, float], opacity: str = ""
) -> None:
    canvas.text(LEFT - 10, name, text_anchor="end")
    x, whole = float(LEFT), RIGHT - LEFT
    for (tenant, share), shade in zip(shares.items(), SHADES, strict=False):
        canvas.box(x, share * whole - 1, f"{shade}{opacity}")
        if share > 0.06:
            canvas.text(
                x + share * whole / 2,
                f"{tenant} {100 * share:.0f}",
                size=11,
                text_anchor="middle",
                fill=INK if opacity else "#ffffff",
            )
        x += share * whole
    canvas.y += ROW


# --- Both -----------------------------------------------------------------------------


def _by_scenario(found: Iterable[Result]) -> Iterator[tuple[str, list[Result]]]:
    groups: dict[str, list[Result]] = {}
    for result in found:
        groups.setdefault(result.scenario, []).append(result)
    yield from groups.items()


def _origin(report: Report) -> str:
    given, machine = report.parameters, report.machine
    return (
        f"{report.started_at[:10]}, revision {given['revision']}, "
        f"{given['slots']} slots, windows of {given['window_s']:g} s, "
        f"{machine['cores']} cores. make bench"
    )
