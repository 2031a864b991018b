"""What was found, for people and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from typing import Any, Final

from steerd.core.settings import PathId
from steerd.tune.knobs import Change, Knobs
from steerd.tune.rows import Kept
from steerd.tune.run import Judged, Tuning
from steerd.tune.sides import Result
from steerd.tune.verdict import Gain

NAMED: Final = 6
"""Traces that are named in one line; `--json` has all."""

HEAD: Final = ("", "J", "GAP LEFT", "SWITCHES/H", "MEAN RTT", "P95 RTT")
NOTHING: Final = "nothing better was found: keep the present configuration"


def text(tuning: Tuning) -> str:
    """The tables, the verdict and the keys to change."""
    lines = [*_parts(tuning), _search(tuning), "", *_figures(tuning), "", *_traces(tuning), ""]
    changes = tuning.changes
    if changes:
        assert tuning.judged is not None  # noqa: S101 (nothing changes otherwise)
        lines += [f"better on what was not searched: {_gain(tuning.judged.unseen)}", "", toml(changes)]
    else:
        lines.append(NOTHING)
        if tuning.judged is None:
            lines.append("  no candidate was better on the searched part, or by too little to be told from chance")
        else:
            lines += [f"  {objection}" for objection in tuning.judged.objections]
    return "\n".join(lines)


def toml(changes: Sequence[Change]) -> str:
    """The changed keys under their tables, with what they were."""
    lines: list[str] = []
    for table in dict.fromkeys(change.table for change in changes):
        lines += [*([""] if lines else []), f"[{table}]"]
        own = [change for change in changes if change.table == table]
        pairs = [f"{change.key} = {_value(change.new)}" for change in own]
        width = max(map(len, pairs))
        lines += [f"{pair:<{width}}  # was {_value(change.old)}" for pair, change in zip(pairs, own, strict=True)]
    return "\n".join(lines)


def _value(value: str | float) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _parts(tuning: Tuning) -> Iterator[str]:
    split = tuning.split
    how = "whole traces" if split.by == "files" else "the first half of each trace"
    yield f"searched: {_listed(split.seen)} ({how})"
    yield f"unseen:   {_listed(split.unseen)} ({'other ones' if split.by == 'files' else 'the rest of each'})"
    for name, why in split.left_out:
        yield f"left out: {name} {why}"


def _listed(parts: Sequence[Kept]) -> str:
    names = ", ".join(part.trace for part in parts[:NAMED])
    more = f" and {len(parts) - NAMED} more" if len(parts) > NAMED else ""
    return f"{sum(part.samples for part in parts)} samples of {names}{more}"


def _search(tuning: Tuning) -> str:
    found = tuning.found
    tried = f"{found.tried} candidate{'s' * (found.tried != 1)} tried, J at {tuning.present.price:g} ms a switch"
    if found.stopped is None:
        return tried
    limit = "--limit" if found.stopped == "time" else "--candidates"
    left = "; ".join(found.untried) or "fewer changes that would do as well"
    return f"{tried}; stopped by {limit} before all was tried, not done: {left}"


def _figures(tuning: Tuning) -> Iterator[str]:
    rows = [
        [f"{side} {name}", *_cells(of.results[knobs])]
        for side, of in (("searched,", tuning.seen), ("unseen,", tuning.unseen))
        for name, knobs in _tried(tuning)
    ]
    yield from _table([HEAD, *rows])


def _traces(tuning: Tuning) -> Iterator[str]:
    tried = _tried(tuning)
    head = ["UNSEEN", "FROM", "SAMPLES", *(f"J {name.upper()}" for name, _ in tried)]
    rows = [
        [
            part.trace,
            f"{part.times[0]:g} s",
            str(part.samples),
            *(_ms(tuning.unseen.js[knobs][n]) for _, knobs in tried),
        ]
        for n, part in enumerate(tuning.split.unseen)
    ]
    yield from _table([head, *rows])


def _tried(tuning: Tuning) -> list[tuple[str, Knobs]]:
    found = [("found", tuning.judged.knobs)] if tuning.judged is not None else []
    return [("present", tuning.present.knobs), *found]


def _gain(gain: Gain) -> str:
    return (
        f"J by {gain.ms:.2f} ms ({100.0 * gain.share:.1f} %), {100.0 * gain.of_excess:.0f} % of what it costs beyond "
        f"hindsight; chance would bring as much in {100.0 * gain.chance:.1f} of 100 cases"
    )


def _cells(result: Result) -> list[str]:
    gap = "-" if isnan(result.gap_left) else f"{result.gap_left:.3f}"
    return [_ms(result.j), gap, *(_ms(value) for value in result[2:])]


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        yield "  ".join(["", *cells]).rstrip()


def _ms(value: float) -> str:
    return "-" if isnan(value) else f"{value:.1f}"


def report(tuning: Tuning) -> dict[str, Any]:
    """The object that ``steerd tune --json`` prints."""
    split, found, changes = tuning.split, tuning.found, tuning.changes
    return {
        "better": bool(changes),
        "price": tuning.present.price,
        "split": {
            "by": split.by,
            "seen": [_part(part) for part in split.seen],
            "unseen": [_part(part) for part in split.unseen],
            "left_out": [{"trace": name, "reason": why} for name, why in split.left_out],
        },
        "search": {"tried": found.tried, "stopped": found.stopped, "untried": list(found.untried)},
        **{
            name: {what: _result(side.results[knobs]) for what, knobs in _tried(tuning)}
            for name, side in (("seen", tuning.seen), ("unseen", tuning.unseen))
        },
        "traces": [
            {"trace": part.trace, **{f"j_{name}": tuning.unseen.js[knobs][n] for name, knobs in _tried(tuning)}}
            for n, part in enumerate(split.unseen)
        ],
        "judged": _judged(tuning.judged, tuning.present.knobs),
        "changes": [_change(change) for change in changes],
        "toml": toml(changes) if changes else None,
    }


def _part(part: Kept) -> dict[str, Any]:
    return {
        "trace": part.trace,
        "from_s": part.times[0],
        "to_s": part.times[-1],
        "samples": part.samples,
        "paths": [part.names[path] for path in _paths(part)],
    }


def _paths(part: Kept) -> Mapping[PathId, None]:
    return dict.fromkeys(path for group in part.groups for path in group)


def _result(result: Result) -> dict[str, float | None]:
    return {name: None if isnan(value) else value for name, value in result._asdict().items()}


def _judged(judged: Judged | None, present: Knobs) -> dict[str, Any] | None:
    if judged is None:
        return None
    return {
        "knobs": [_change(change) for change in present.changes(judged.knobs)],
        **{
            side: {
                "gain_ms": gain.ms,
                "gain_ratio": gain.share,
                "gain_of_excess": gain.of_excess,
                "chance": gain.chance,
                "chance_against_staying": gain.chance_of_staying,
            }
            for side, gain in (("seen", judged.seen), ("unseen", judged.unseen))
        },
        "objections": list(judged.objections),
    }


def _change(change: Change) -> dict[str, Any]:
    return {"key": f"{change.table}.{change.key}", "old": change.old, "new": change.new}
