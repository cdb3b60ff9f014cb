"""Charts as the theme draws them: JSON in the page, no script and no asset of ours."""

import json
from collections.abc import Sequence
from typing import Any, Final

#: The theme reads variables of the page; a chart's line keeps its colour in the dark.
BLUE: Final = "#3b82f6"
GREEN: Final = "#16a34a"
ORANGE: Final = "#ea8a1d"
GRAY: Final = "#94a3b8"
RED: Final = "#dc2626"
_TICKS: Final = {"color": "#94a3b8", "maxTicksLimit": 8, "maxRotation": 0}
#: Where every label has to be read; days may be left out.
_ALL: Final = {"maxTicksLimit": 40, "maxRotation": 50, "autoSkip": False}

Series = tuple[str, str, Sequence[float | None]]


def chart(
    *,
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    kind: str = "bar",
    note: str = "",
    **options: Any,
) -> dict[str, Any]:
    """Return a chart for the template; `series` are names, colours and values."""
    data = {
        "labels": labels,
        "datasets": [
            {
                "label": name,
                "data": list(values),
                "borderColor": colour,
                "backgroundColor": colour,
            }
            for name, colour, values in series
        ],
    }
    return {
        "title": title,
        "note": note,
        "type": kind,
        "data": json.dumps(data),
        "options": json.dumps(_options(has_legend=len(series) > 1, **options)),
        "is_empty": not any(value for _, _, values in series for value in values),
    }


def _options(
    *,
    has_legend: bool,
    is_stacked: bool = False,
    labels_all: bool = False,
    **scale: Any,
) -> dict[str, Any]:
    return {
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "datasets": {
            "bar": {"borderRadius": 3, "maxBarThickness": 22},
            "line": {"borderWidth": 2, "pointRadius": 2, "spanGaps": False},
        },
        "interaction": {"mode": "index", "intersect": False},
        "plugins": {
            "legend": {
                "display": has_legend,
                "align": "end",
                "labels": {"boxHeight": 8, "boxWidth": 8, "color": "#94a3b8"},
            }
        },
        "scales": {
            "x": {
                "stacked": is_stacked,
                "grid": {"display": False},
                "ticks": {**_TICKS, **(_ALL if labels_all else {})},
            },
            "y": {
                "stacked": is_stacked,
                "border": {"display": False},
                "grid": {},
                "ticks": _TICKS,
                "beginAtZero": True,
                **scale,
            },
        },
    }
