"""Which device the outer packets of a tunnel leave by: what the tunnel really depends on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from steerd.route.model.objects import Device
from steerd.status.snapshot import Underlay

Lookup = Callable[[str, int], tuple[int, int] | None]
"""By address and mark: the number of the device that own packets leave by, and the deciding table; None: none does."""


def underlays(devices: Mapping[str, Device], names: Iterable[str], lookup: Lookup) -> dict[str, Underlay]:
    """Of those of the named devices that are tunnels with one far end."""
    numbered = {one.index: one.name for one in devices.values()}
    found: dict[str, Underlay] = {}
    for name in sorted(set(names)):
        device = devices.get(name)
        if device is not None and device.remote:
            index, table = lookup(device.remote, device.mark) or (device.lower, 0)
            found[name] = Underlay(device.remote, numbered.get(index, ""), table)
    return found


def told(devices: Mapping[str, Device], far_ends: Mapping[str, tuple[str, int]]) -> dict[str, Device]:
    """The devices, with the far ends and marks of those that do not say it themselves."""
    return {
        name: replace(one, remote=far_ends[name][0], mark=far_ends[name][1]) if name in far_ends else one
        for name, one in devices.items()
    }


def based(devices: Mapping[str, Device], found: Mapping[str, Underlay]) -> dict[str, Device]:
    """The devices, with tunnels on what their outer packets leave by."""
    return {
        name: replace(one, lower=devices[found[name].device].index) if name in found and found[name].device else one
        for name, one in devices.items()
    }
