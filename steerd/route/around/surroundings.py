"""What others have set up that routing depends on. Synchronous: runs on routing's worker thread."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import monotonic
from types import MappingProxyType

from steerd.config.route_settings import RouteSettings
from steerd.route.around import remarks
from steerd.route.around.detours import Trouble, detours
from steerd.route.around.gateways import Gateways, automatic, learn, resolve
from steerd.route.around.networkd import networkd_advice
from steerd.route.around.rules import Met, Surrounding, foreign
from steerd.route.kernel.main_table import Main, MainTable
from steerd.route.model.objects import Device, Rule
from steerd.status.snapshot import Underlay

_RP_FILTER = "/proc/sys/net/ipv4/conf/{}/rp_filter"
_NONE: Mapping[str, tuple[str, int]] = MappingProxyType({})
_TOLD_WITHIN = 10.0  # seconds in which WireGuard devices are read, whatever hangs
_ADVICE_EVERY = 60.0  # seconds between two looks at what other programs run: main may change many times a second

Lookup = Callable[[str, int], tuple[int, int] | None]
"""By address and mark: the number of the device that own packets leave by, and the deciding table; None: none does."""


class Surroundings(ExitStack):
    """Reads, never writes. From the last `look`: ``remarks``, one line each; ``takers``, the rules of others that take
    traffic away from policies; ``underlays`` of tunnels, by device."""

    def __init__(self) -> None:
        super().__init__()
        self.remarks: tuple[str, ...] = ()
        self.takers: Sequence[Met] = ()
        self.underlays: Mapping[str, Underlay] = {}
        self._gateways: Gateways = {}
        self._advice: str | None = None
        self._advice_due = 0.0
        self._advised: RouteSettings | None = None
        self._marks: Mapping[str, int] = {}
        self._unknown: dict[str, float] = {}  # tunnels whose mark is missing, since when
        self._troubles: Sequence[Trouble] = ()
        self._main_table = self.enter_context(MainTable())

    def resolve(self, settings: RouteSettings) -> RouteSettings:
        """The settings in effect now. Raises `NetlinkError`."""
        if not automatic(settings):
            return settings
        self._gateways = learn(self._main_table.read(), self._gateways)
        return self._led(resolve(settings, self._gateways), self._main_table.rules())

    def look(
        self,
        settings: RouteSettings,
        *,
        pinned: bool,
        guarded: bool,
        far_ends: Mapping[str, tuple[str, int]] = _NONE,
    ) -> RouteSettings:
        """As `resolve`, and collects remarks. ``pinned``: connections are; ``guarded``: policies can be; ``far_ends``:
        address and mark of the outer packets of devices that do not tell them. Raises `NetlinkError`."""
        main = self._main_table.read()
        self._gateways = learn(main, self._gateways)
        self._marks = {name: mark for name, (_, mark) in far_ends.items()}
        names = (path.device for path in settings.paths)
        self.underlays = underlays(told(main.devices, far_ends), names, self._main_table.leaves)
        every = self._main_table.rules()
        rules = list(foreign(settings, self._rules(every, main, guarded=guarded)))
        self.takers = [rule for rule in rules if rule.takes]
        found = [
            *remarks.waiting(settings, main, self._gateways),
            *remarks.incoming(settings, main.devices),
            *remarks.shadowed(settings, main),
            *remarks.pieces(settings, main),
            *remarks.shared_uplinks(settings, based(main.devices, self.underlays)),
            *remarks.circles(settings, self.underlays),
            *(rule.words for rule in rules),
        ]
        if pinned:
            found += remarks.strict(settings, {path.device: _rp_filter(path.device) for path in settings.paths})
        if advice := self._networkd(settings):
            found.append(advice)
        effective = self._led(resolve(settings, self._gateways), every)
        self.remarks = (*found, *map(str, self._troubles))
        return effective

    def _led(self, settings: RouteSettings, rules: Sequence[tuple[int, Rule]]) -> RouteSettings:
        """With the tunnels that can be led over the uplinks that the settings name."""
        overs = {path.over[0] for path in settings.paths} - {""}
        strict = {device for device in overs if _rp_filter(device) == 1}
        now, tunnels = monotonic(), {path.device for path in settings.paths if path.over[0]}
        self._unknown = {name: self._unknown.get(name, now) for name in tunnels - self._marks.keys()}
        silent = {name for name, since in self._unknown.items() if now - since >= _TOLD_WITHIN}
        led, self._troubles = detours(settings, self._gateways, self._marks, rules, strict, silent)
        return replace(settings, detours=led) if led else settings

    def _rules(self, rules: Sequence[tuple[int, Rule]], main: Main, *, guarded: bool) -> Surrounding:
        read = cache(lambda family, number: self._main_table.table(family, number, main.devices))
        uplinks = {one.device for one in main.defaults}
        return Surrounding(rules, self._main_table.own(), uplinks, read, guarded=guarded)

    def _networkd(self, settings: RouteSettings) -> str | None:
        now = monotonic()
        if now >= self._advice_due or settings is not self._advised:
            self._advice = networkd_advice(nexthops=settings.nexthop_objects)
            self._advised, self._advice_due = settings, now + _ADVICE_EVERY
        return self._advice


def _rp_filter(device: str) -> int:
    """What is in effect: the larger of the device's and that of all."""
    try:
        return max(int(Path(_RP_FILTER.format(name)).read_text()) for name in ("all", device))
    except (OSError, ValueError):  # no such device now, or no IPv4
        return 0


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
