"""Where a policy's packets went, in figures and in words."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from steerd.status.snapshot import Packets
from steerd.text.times import span

_SHOWN: Final = 2
_GOOD: Final = ("choice", "path")

Json = dict[str, Any]


def figures(seen: Packets | None) -> Json | None:
    """As the documented JSON; None: nothing was counted lately."""
    if seen is None:
        return None
    return {
        "seconds": round(seen.seconds, 3),
        "wrong": seen.wrong,
        "went": [
            {"family": f"ipv{one.family}", "where": one.where, "device": one.device or None, "packets": one.packets}
            for one in seen.went
        ],
    }


def shortly(seen: Mapping[str, Any] | None) -> str:
    """For a column: ``100 % by ams1``, or ``! 38 % astray by wan``."""
    if seen is None:
        return "-"
    parts = [(one["where"], one["device"] or "", one["packets"]) for one in seen["went"]]
    return ("! " if seen["wrong"] else "") + ", ".join(_shares(parts, wrong=seen["wrong"]))


def sentence(seen: Packets | None) -> str:
    """In whole sentences; empty: nothing was counted lately."""
    if seen is None:
        return ""
    parts = [(one.where, one.device, one.packets) for one in seen.went]
    shares = ", ".join(_shares(parts, wrong=seen.wrong, most=len(parts)))
    return f"Of its {sum(part[2] for part in parts)} packets in the last {span(seen.seconds)}: {shares}."


def _shares(parts: list[tuple[str, str, int]], *, wrong: bool, most: int = _SHOWN) -> list[str]:
    """The greatest shares, of what is wrong if something is."""
    sums: Counter[tuple[str, str]] = Counter()
    for where, device, packets in parts:
        sums[where, device] += packets
    total = sums.total()
    order = sorted(sums, key=lambda place: ((place[0] in _GOOD) is wrong, -sums[place]))
    return [f"{_percent(sums[place] / total)} {_words(*place)}" for place in order[:most]]


def _percent(share: float) -> str:
    """Whole, but neither all nor nothing unless it is so."""
    if share < 0.01 or 0.99 < share < 1.0:
        return f"{min(max(share * 100, 0.1), 99.9):.1f} %"
    return f"{share * 100:.0f} %"


def _words(where: str, device: str) -> str:
    if where == "choice":
        return f"by {device}"
    if where == "path":
        return f"still by {device}"
    if where == "astray":
        return f"astray by {device}"
    return "dropped by the guard" if where == "guard" else "nowhere"
