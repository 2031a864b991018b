"""`steerd replay`: the rule over recorded samples."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steerd.cli.configuration import read
from steerd.config.problem import EX_CONFIG
from steerd.core.settings import Settings
from steerd.replay.run import replay as replay_one
from steerd.replay.trace import TraceError


def replay(config: Path | None, traces: Sequence[Path], *, as_json: bool) -> int:
    """Replay each trace. Returns 0, 1 for a trace that can not be replayed, 78 for a bad configuration."""
    settings = Settings()
    if config is not None:
        loaded = read(config, require_pops=False)
        if loaded is None:
            return EX_CONFIG
        settings = loaded.core
    reports = []
    try:
        for trace in traces:
            reports.append(replay_one(trace, settings))
            if not as_json:
                _print(reports[-1])
    except TraceError as error:
        print(f"steerd replay: {error}", file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps(reports[0] if len(reports) == 1 else reports))
    return 0


def _print(report: dict[str, Any]) -> None:
    summary = report["summary"]
    print(f"{report['trace']}: {summary['rows']} rows, {len(summary['paths'])} paths")
    for switch in report["switches"]:
        origin = "first" if switch["from"] is None else f"{switch['from']} ->"
        print(f"  {switch['time_s']:>10g} s  {origin} {switch['to']}  ({switch['reason']})")
    print(f"  {summary['switches']} switches after the first choice, each at {summary['price']:g} ms*s")
    if summary["j"] is None:
        print("  too short to be priced: the first 20 samples are free")
        return
    print(
        f"  J in ms a sample: {summary['j']:.2f} had, {summary['j_start']:.2f} staying at the start, "
        f"{summary['j_optimum']:.2f} the best in hindsight"
    )
    if summary["gap_left"] is not None:
        print(f"  gap left: {summary['gap_left']:.3f} (0: as good as hindsight; 1: as good as staying)")
