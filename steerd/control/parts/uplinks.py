"""What uplinks have carried, what they cost, and who uses one that is to be spared: as steerctl's JSON and in words."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from steerd.core.views import PolicyView
from steerd.status.snapshot import Snapshot, UplinkView
from steerd.text.sizes import show
from steerd.text.times import milliseconds

HEADER: Final = ("UPLINK", "STATE", ">CARRIED", ">CAP", "UNTIL", ">COSTS", "METERED", "NOTE")
_SPARED: Final = ("last-resort", "reached")
_METERED: Final = {True: "yes", False: "no", None: "-"}


def figures(seen: Snapshot) -> list[dict[str, Any]]:
    """What `status` says of each, with the paths that leave by it."""
    return [
        {
            "uplink": one.name,
            "state": one.state,
            "bytes": one.bytes,
            "cap_bytes": one.cap,
            "used": None if one.cap is None else round(one.bytes / one.cap, 6),
            "began": one.began or None,
            "ends": one.ends or None,
            "price_ms": round(one.price, 3),
            "scarcity_ms": round(one.scarcity, 3),
            "metered": one.metered,
            "device": one.device,
            "paths": [path.path for path in seen.view.paths if path.uplink == one.name],
        }
        for one in seen.uplinks
    ]


def rows(uplinks: Iterable[Mapping[str, Any]], mark: Callable[[str], str]) -> Sequence[Sequence[str]]:
    """Those of a table; ``mark`` shows a state."""
    return [
        [
            one["uplink"],
            mark(one["state"]),
            show(one["bytes"]),
            "-" if one["cap_bytes"] is None else show(one["cap_bytes"]),
            (one["ends"] or "-") if one["cap_bytes"] is not None else "-",
            milliseconds(one["price_ms"] + one["scarcity_ms"]),
            _METERED[one["metered"]],
            "" if one["device"] else "no such device: not counted",
        ]
        for one in uplinks
    ]


def notes(answer: Mapping[str, Any]) -> Iterator[str]:
    """Of a status: which policies use an uplink that is to be spared."""
    uplinks = {path: one for one in answer.get("uplinks", ()) for path in one["paths"]}
    for policy in answer["policies"]:
        one = uplinks.get(policy["choice"])
        if one is not None and one["state"] in _SPARED:
            others = any(
                path["state"] == "up" and policy["policy"] in path["cost_ms"] and not _spared(uplinks.get(path["path"]))
                for path in answer["paths"]
            )
            carried = _carried(one["bytes"], one["cap_bytes"])
            yield f"! {policy['policy']} uses {policy['choice']} over {one['uplink']}, which {carried}{_why(others)}"


def words(policy: PolicyView, seen: Snapshot) -> list[str]:
    """What `why` says of uplinks whose cap is near: a sentence or two each."""
    uplinks = {path.path: one for one in seen.uplinks for path in seen.view.paths if path.uplink == one.name}
    usable = [one.path for one in policy.candidates if one.excluded is None and "total" in one.terms]
    others = any(uplinks[path].state not in _SPARED if path in uplinks else True for path in usable)
    mine = {one.path for one in policy.candidates if one.terms}
    return [
        _sentence(one, used=uplinks.get(policy.choice) is one if policy.choice else False, others=others)
        for one in seen.uplinks
        if one.state != "open" and any(uplinks[path] is one for path in mine if path in uplinks)
    ]


def _sentence(one: UplinkView, *, used: bool, others: bool) -> str:
    until = f" until {one.ends}" if one.ends else ""
    carried = f"{one.name} {_carried(one.bytes, one.cap)}."
    if one.state not in _SPARED:
        more = milliseconds(one.scarcity)
        return f"{carried} Its paths cost {more} more now, and twice as much with each further percent{until}."
    if used:
        return f"{carried} It is used all the same{_why(others)}."
    return f"{carried} Its paths are used only if nothing else is up{until}."


def _why(others: bool) -> str:
    return ", though others could be" if others else ": nothing else is up"


def _carried(count: int, cap: int | None) -> str:
    return f"has carried {show(count)} of its cap of {show(cap or 0)}"


def _spared(one: Mapping[str, Any] | None) -> bool:
    return one is not None and one["state"] in _SPARED
