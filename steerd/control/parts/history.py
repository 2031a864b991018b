"""What happened: decisions and the notes beside them, as they are kept; as JSON, in words, and what is wanted of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from steerd.control.parts.figures import at, gain, rounded
from steerd.status.notes import Kind
from steerd.text.times import milliseconds, span

KINDS: Final = ("switch", *Kind, "packets", "uplink")
"""Of what a history has."""

Json = dict[str, Any]
_LOUD: Final = {"error", "warning"}
_TABLES: Final = {"switches": "switch", "packets": "packets", "uplinks": "uplink"}


def history(
    rows: Iterable[Mapping[str, Any]],
    packets: Iterable[Mapping[str, Any]] = (),
    caps: Iterable[Mapping[str, Any]] = (),
    events: Iterable[Mapping[str, Any]] = (),
) -> Json:
    """Kept decisions, in the order of `rows`: those of `Store.history`; and, of `Store.notes`, when ``packets`` went
    wrong, ``caps`` of uplinks were neared or reached, and all other ``events``. What a bad disk made of some is left
    out."""
    found: dict[str, list[Json]] = {"switches": [], "packets": [], "uplinks": [], "events": []}
    for name, make, kept in (
        *(("switches", _row, rows), ("packets", _went, packets)),
        *(("uplinks", _turned, caps), ("events", _event, events)),
    ):
        for row in kept:
            with suppress(Exception):
                found[name].append(make(row))
    return found


def wanted(found: Mapping[str, Any], *, kind: object, policy: object, path: object) -> Json:
    """Of a history what is of this kind, and concerns this policy and this path or PoP; None: of any."""

    def fits(one: Mapping[str, Any], its: str) -> bool:
        paths = [one[key] for key in ("path", "from", "to") if one.get(key)]
        of_path = path is None or any(path in (name, name.partition("/")[0]) for name in paths)
        return kind in (None, its) and policy in (None, one.get("policy")) and of_path

    return {
        table: [one for one in rows if fits(one, _TABLES.get(table) or one["kind"])] for table, rows in found.items()
    }


def lines(answer: Mapping[str, Any]) -> list[str]:
    """All but the switches, in local time, newest first."""
    found = sorted(_beside(answer), key=lambda one: -one[0]["wall_ms"])
    return [f"{when(entry['wall_ms'])}  {text}" for entry, text in found]


def entries(answer: Mapping[str, Any]) -> Sequence[tuple[Json, str]]:
    """All of it, with its ``kind`` and a line in local time, oldest first."""
    found = [({"kind": "switch", **one}, _switched(one)) for one in answer.get("switches", ())]
    found.extend(_beside(answer))
    found.sort(key=lambda one: one[0]["wall_ms"])
    return [(entry, f"{when(entry['wall_ms'])}  {text}") for entry, text in found]


def _beside(answer: Mapping[str, Any]) -> Iterator[tuple[Json, str]]:
    for one in answer.get("events", ()):
        yield one, f"{'! ' if one['level'] in _LOUD else ''}{one['text']}"
    for one in answer.get("packets", ()):
        over = f"{one['policy']}: packets are right again, after {span(one['lasted_s'])}"
        yield {"kind": "packets", **one}, f"! {one['policy']}: {one['why']}" if one["wrong"] else over
    for one in answer.get("uplinks", ()):
        yield {"kind": "uplink", **one}, one["why"]


def _switched(one: Mapping[str, Any]) -> str:
    gain = "" if one["gain_ms"] is None else f", {milliseconds(one['gain_ms'])}"
    where = f"{one['from'] or 'nothing'} -> {one['to'] or 'blocked'}"
    return f"{one['policy']}: {where}: {one['reason']} (rule: {one['rule']}{gain}), event {one['event_id']}"


def when(wall_ms: int) -> str:
    """A Unix time in ms as local time."""
    return datetime.fromtimestamp(wall_ms / 1000).astimezone().strftime("%F %T")


def _row(row: Mapping[str, Any]) -> Json:
    return {
        **at(row["wall_ms"]),
        **{key: row.get(key) for key in ("event_id", "policy")},
        "from": row.get("old"),
        "to": row.get("new"),
        **{key: row.get(key) for key in ("reason", "by", "rule")},
        **({"paper": True} if row.get("paper") else {}),
        "gain_ms": gain(row.get("evidence") or {}, row.get("old"), row.get("new")),
        "trace": (row.get("trace") or {}).get("verdict"),
    }


def _went(row: Mapping[str, Any]) -> Json:
    lasted = row["lasted"]
    return {
        **at(row["wall_ms"]),
        "policy": row["policy"],
        "wrong": lasted is None,
        "why": row["why"],
        "lasted_s": None if lasted is None else rounded(lasted),
    }


def _turned(row: Mapping[str, Any]) -> Json:
    return {**at(row["wall_ms"]), **{key: row[key] for key in ("uplink", "state", "why")}}


def _event(row: Mapping[str, Any]) -> Json:
    return {
        **at(row["wall_ms"]),
        **{key: str(row[key]) for key in ("kind", "level", "text")},
        **{key: row.get(key) for key in ("policy", "path")},
        "lasted_s": rounded(row.get("lasted")),
    }
