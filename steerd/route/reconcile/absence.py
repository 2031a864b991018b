"""Why no packet can be routed to a path. Pure."""

from collections.abc import Mapping

from steerd.config.route_settings import RoutePath
from steerd.route.model.numbers import WayOut
from steerd.route.model.objects import Seen
from steerd.route.wanted.choice import ways_out


def why_not(path: RoutePath, seen: Seen, refused: Mapping[WayOut, str]) -> str:
    """In words; empty: one can, in one family at least. ``refused``: ways out that the kernel does not take, with its
    own words."""
    if (device := seen.devices.get(path.device)) is None:
        return f"device {path.device} does not exist"
    if not device.up:
        return f"device {path.device} is down"
    ways = ways_out([path])
    if not ways:
        return f"it has no next hop: main has no default route by {path.device}"
    if ways <= refused.keys():
        return "; ".join(sorted({_refusal(way, refused[way]) for way in ways}))
    return ""


def _refusal(way: WayOut, words: str) -> str:
    return f"the kernel refused {f'next hop {way.via}' if way.via else f'device {way.device}'}: {words}"
