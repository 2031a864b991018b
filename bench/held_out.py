"""Traces that the rule was never shown, from public measurements: parts, clients, drives and hours other than those its
tables were made on. ``steerd replay FOLDER`` then judges each set.

``python -m bench.held_out CLONES FOLDER``: CLONES has clones of WenqinSHAO/rtt, uofa-rzhu3/NetLatency-Data,
NUWiNS/pam2025-multi-carrier-dataset and ds-kiel/FjordLink (which needs pyarrow to be read), each by its second name.
"""

import argparse
import random
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

Samples = Sequence[float | None]
"""RTTs of one path in ms, one a second; None: lost."""
Sets = dict[str, list[list[Samples]]]

SEED: Final = 7
_HALVES: Final = {"b": (2500, 5000), "c": (5000, 7500)}
_ANSWER: Final = re.compile(r"\[(\S+ \S+)\] .*icmp_seq=(\d+).*time=([\d.]+) ms")
_CARRIERS: Final = ("atnt", "tmobile", "verizon")
_APART: Final = 150.0
"""Seconds between the starts of three carriers' runs that are told as one moment, at most."""
_RUN: Final = 6150
_LATENCY, _DROPPED = "dish_status.pop_ping_latency_ms", "dish_status.pop_ping_drop_rate"


def atlas(clone: Path, chance: random.Random) -> Sets:
    """What RIPE Atlas probes measured after the 2,500 samples of each that the tables are made of: raw, and with each
    path's 5th percentile moved to 30 to 40 ms."""
    found: Sets = {}
    series = [[*_atlas_rows(file)] for file in sorted((clone / "dataset/real_trace_labelled").iterdir())]
    for half, (first, last) in _HALVES.items():
        parts = [one[first:last] for one in series if len(one) >= last]
        chance.shuffle(parts)
        groups: list[list[Samples]] = [[*parts[at : at + 4]] for at in range(0, len(parts) - 3, 4)]
        found[f"atlas-raw-{half}"] = groups
        found[f"atlas-levelled-{half}"] = [[_levelled(one, chance) for one in group] for group in groups]
    return found


def _atlas_rows(file: Path) -> Iterator[float | None]:
    for line in file.read_text().splitlines()[1:]:
        rtt = float(line.split(";")[1] or 0.0)
        yield rtt if 0.0 < rtt < 1000.0 else None


def _levelled(samples: Samples, chance: random.Random) -> Samples:
    known = sorted(rtt for rtt in samples if rtt is not None)
    moved = 30.0 + 10.0 * chance.random() - known[len(known) // 20]
    return [None if rtt is None else max(1.0, rtt + moved) for rtt in samples]


def seattle(clone: Path, chance: random.Random) -> Sets:
    """Twelve clients of the Seattle testbed, drawn by chance, and five peers of each."""
    files = sorted((clone / "Seattle").glob("SeattleData_*"), key=lambda file: int(file.name.rpartition("_")[2]))
    frames = [[[*map(float, row.split())] for row in file.read_text().splitlines() if row.strip()] for file in files]
    nodes = range(len(frames[0]))
    groups: list[list[Samples]] = []
    for client in chance.sample(nodes, len(nodes)):
        rows = [[1000.0 * frame[client][peer] or None for frame in frames] for peer in nodes if peer != client]
        heard = [row for row in rows if row.count(None) <= 0.2 * len(row)]
        if len(heard) >= 5 and len(groups) < 12:
            groups.append([*chance.sample(heard, 5)])
    return {"seattle-b": groups}


def lte(clone: Path) -> Sets:
    """Three carriers in a car, in May; the tables are made of a drive in August."""
    runs: dict[str, list[tuple[float, Samples]]] = {carrier: [] for carrier in _CARRIERS}
    for file in sorted((clone / "datasets/raw_files/ping/ping_data_drive_trip_2").rglob("*.out")):
        answers = [one for one in map(_ANSWER.match, file.read_text(errors="replace").splitlines()) if one]
        carrier = next((one for one in _CARRIERS if one in file.parts), None)
        if carrier and answers:
            heard = {int(one[2]): float(one[3]) for one in answers}
            began = datetime.fromisoformat(answers[0][1]).timestamp()
            runs[carrier].append((began, [heard.get(number) for number in range(1, max(heard) + 1)]))
    joined: list[list[float | None]] = [[] for _ in _CARRIERS]
    for began, _ in sorted(runs[_CARRIERS[0]], key=lambda run: run[0]):
        beside = [min(runs[carrier], key=lambda run: abs(run[0] - began)) for carrier in _CARRIERS]
        if all(abs(run[0] - began) <= _APART for run in beside):
            shortest = min(len(run[1]) for run in beside)
            for whole, run in zip(joined, beside, strict=True):
                whole.extend(run[1][:shortest])
    starts = range(0, len(joined[0]) - _RUN // 2, _RUN)
    return {"lte-b": [[whole[at : at + _RUN] for whole in joined] for at in starts]}


def starlink(clone: Path, chance: random.Random) -> Sets:
    """One terminal's hours, drawn by chance and told as paths: three at a time, and five."""
    import pyarrow.parquet  # type: ignore[import-not-found,import-untyped,unused-ignore] # noqa: PLC0415 (wanted by nothing else here)

    parts: list[Samples] = []
    for file in sorted((clone / "starlink-terminal-grpc-dump").rglob("*.gzip")):
        columns: Any = pyarrow.parquet.read_table(file, columns=[_LATENCY, _DROPPED]).to_pydict()
        rows = zip(columns[_LATENCY], columns[_DROPPED], strict=True)
        samples = [rtt if rtt and rtt > 0.0 and not dropped >= 0.5 else None for rtt, dropped in rows]
        if len(samples) >= 3600:
            parts.append(samples[:3600])
    chance.shuffle(parts)
    threes = [[*parts[at : at + 3]] for at in range(0, len(parts) - 2, 3)]
    fives = [[*parts[at : at + 5]] for at in range(0, len(parts) - 4, 5)]
    return {"starlink-b": threes[:12], "starlink-five": fives[:8]}


def write(folder: Path, groups: Iterable[Sequence[Samples]]) -> None:
    """A file for each group of paths, as `steerd replay` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, paths in enumerate(groups):
        with (folder / f"{number:02}.csv").open("w") as file:
            file.write("time_s,path,rtt_ms\n")
            for second, rtts in enumerate(zip(*paths, strict=False)):
                for path, rtt in enumerate(rtts):
                    file.write(f"{second},p{path},{'' if rtt is None else round(rtt, 3)}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.held_out", description=__doc__)
    parser.add_argument("clones", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    chance, clones = random.Random(SEED), options.clones
    sets = atlas(clones / "rtt", chance) | seattle(clones / "NetLatency-Data", chance)
    sets |= lte(clones / "pam2025-multi-carrier-dataset") | starlink(clones / "FjordLink", chance)
    for name, groups in sets.items():
        write(options.folder / name, groups)
        print(f"{name}: {len(groups)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
