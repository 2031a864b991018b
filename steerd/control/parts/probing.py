"""How a path is probed, and what its tunnel says of itself, as steerctl's JSON and in words."""

from collections.abc import Mapping
from typing import Any, Final

from steerd.core.views import Directions, ProbingView, TunnelView
from steerd.text.times import milliseconds

QUEUE_SHOWN: Final = 5.0
"""A wait in our own queue, in ms, that is worth a line."""


def words(probing: ProbingView | None, outcomes: Mapping[str, int]) -> dict[str, Any]:
    """What is added to a path's status. `outcomes`: how many probes became what."""
    if probing is None:
        return {}
    return {
        "method": probing.method,
        "targets": list(probing.targets),
        "names": list(probing.names),
        "every_s": None if probing.every is None else round(probing.every, 3),
        "local_queue_ms": round(probing.local_queue * 1e3, 3),
        "probes": dict(outcomes),
        "findings": {finding.value: text for finding, text in probing.findings.items()},
        "directions": [None if leg is None else _directions(leg) for leg in probing.directions],
    }


def tunnel(view: TunnelView | None) -> dict[str, Any] | None:
    """The path's WireGuard tunnel; None: it has none."""
    if view is None:
        return None
    return {
        "peer": view.peer,
        "handshake_age_s": None if view.handshake is None else round(view.handshake, 3),
        "rx_bytes": view.rx,
        "tx_bytes": view.tx,
        "stale": view.stale,
    }


def _directions(leg: Directions) -> dict[str, float | None]:
    return {
        "loss_out": _rounded(leg.loss_out, 1.0),
        "loss_back": _rounded(leg.loss_back, 1.0),
        "variation_out_ms": _rounded(leg.variation_out, 1e3),
        "variation_back_ms": _rounded(leg.variation_back, 1e3),
    }


def _rounded(value: float | None, scale: float) -> float | None:
    return None if value is None else round(value * scale, 6)


def notes(path: Mapping[str, Any]) -> list[str]:
    """What of a path's status needs a line of its own."""
    said = [f"! {path['path']}: {text}" for text in path.get("findings", {}).values()]
    if path.get("local_queue_ms", 0.0) >= QUEUE_SHOWN:
        waits = milliseconds(path["local_queue_ms"])
        said.append(f"! {path['path']}: its probes wait {waits} in this machine's own queue; no part of its RTT")
    return said + _loss_by_way(path)


def _loss_by_way(path: Mapping[str, Any]) -> list[str]:
    said = []
    for leg in path.get("directions", ()):
        if leg and (leg["loss_out"] or leg["loss_back"]):
            ways = [
                f"{leg[key] * 100:.1f} % {way}"
                for key, way in (("loss_out", "on the way out"), ("loss_back", "on the way back"))
                if leg[key] is not None
            ]
            said.append(f"  {path['path']}: loses {', '.join(ways)}")
    return said
