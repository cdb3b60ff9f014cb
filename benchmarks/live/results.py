"""The JSON file of a run: one object per scenario, queue and round."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.live.workspace import ROOT

FOLDER: Final = ROOT / "benchmarks" / "results"
PUBLISHED: Final = FOLDER / "published.json"

OK, FAILED, NOT_OFFERED = "ok", "failed", "not offered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one queue did in one scenario."""

    scenario: str
    what: str
    system: str
    settings: str
    status: str
    #: Why it has not been measured.
    reason: str = ""
    round: int = 1
    #: As in benchmarks/live/evaluation.py or benchmarks/live/throughput_run.py.
    measures: Mapping[str, Any] = field(default_factory=dict)
    load: Mapping[str, Any] = field(default_factory=dict)
    took_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole run."""

    started_at: str
    parameters: Mapping[str, Any]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    results: Sequence[Result]

    def write(self, path: Path) -> None:
        """Write the run as JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".part")
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        scratch.write_text(f"{text}\n", encoding="utf-8")
        scratch.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Return the run that was written to a file."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        results = [Result(**result) for result in fields.pop("results")]
        return cls(results=results, **fields)
