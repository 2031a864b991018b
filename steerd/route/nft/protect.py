"""Has our table of nftables be as settings, devices and main want it; says once what this gateway cannot do.

Synchronous: runs on routing's worker thread.
"""

import logging
from collections.abc import Mapping
from typing import Final, Self

from steerd.config.settings import Flows, Guard, RoutePath, RouteSettings
from steerd.core.settings import PathId, PolicyId
from steerd.route.error import RouteError
from steerd.route.kernel.main_table import Main, MainTable
from steerd.route.model.objects import Device
from steerd.route.nft.belonging import devices as devices_of
from steerd.route.nft.firewall import Firewall, FirewallError, collision
from steerd.route.nft.ruleset import Surroundings, ruleset
from steerd.route.nft.table import Table, removal
from steerd.route.wanted.choice import BLOCKED, Choice
from steerd.route.wanted.selection import Selection

log = logging.getLogger(__name__)

_TRIALS: Final = {
    "guard": "type filter hook forward priority filter + 5; meta nfproto ipv4 oifname lo counter accept",
    "pin": "type filter hook forward priority mangle + 5; ct direction original ct mark set ct mark and 0xff or 0x100",
    "clamp": "type filter hook forward priority mangle + 5; tcp flags syn tcp option maxseg size set 1400",
}
"""A chain for each of our uses of nftables, which a kernel may have or lack apart from the others."""

Carrying = Mapping[PolicyId, frozenset[str]]


class Protection:
    """The leak guard, pinned connections and clamped segment sizes. ``can`` says which of these work here; with
    ``readonly``, which takes no privileges, it is taken for granted that all do. ``table`` is the one made last."""

    def __init__(self, *, readonly: bool = False) -> None:
        self._firewall = Firewall()
        self._main_table = MainTable()
        self._refusals = {
            name: None if readonly else self._firewall.refusal(_trial(chain)) for name, chain in _TRIALS.items()
        }
        self.can = {name for name, refusal in self._refusals.items() if refusal is None}
        self.main = Main()
        self._sizes: dict[PathId, int] = {}
        self._complained: set[str] = set()
        self._inputs: tuple[object, ...] = ()
        self.table: Table | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._firewall.close()
        self._main_table.close()

    def check(self, settings: RouteSettings) -> None:
        """Raises `RouteError` where the settings insist on what cannot be done; says once what will not be done."""
        if found := collision(self._firewall, settings):
            raise RouteError(found)
        for policy in settings.policies:
            if policy.guard is Guard.ALWAYS and "guard" not in self.can:
                raise RouteError(f"policy {policy.policy}: leak_guard cannot be had: {self._refusals['guard']}")
            if policy.flows is Flows.PIN and "pin" not in self.can:
                raise RouteError(f'policy {policy.policy}: flows = "pin" cannot be had: {self._refusals["pin"]}')
        for name, wanted, without in (
            ("guard", settings.guards, "no leak guard: routes alone keep traffic within its paths"),
            ("pin", settings.pins, "established connections move with their policy"),
            ("clamp", settings.clamp_mss, "TCP segment sizes are not clamped to the paths' MTU"),
        ):
            if wanted and name not in self.can:
                self._complain(name, f"{without} ({self._refusals[name]})")

    def pins(self, settings: RouteSettings) -> bool:
        """Whether connections are pinned under these settings."""
        return "pin" in self.can and settings.pins

    def follows_main(self, settings: RouteSettings) -> bool:
        """Whether what others write into main matters."""
        return self.pins(settings) or ("guard" in self.can and settings.guards)

    def size(self, path: PathId, mtu: int) -> None:
        """The largest packet, in bytes, that was seen to pass this path; less than its device's MTU, at times."""
        self._sizes[path] = mtu

    def trial(self, table: Table | None) -> None:
        """Ask the kernel whether it would take this table; nothing is changed. Raises `FirewallError` with what it says
        against it."""
        if table is not None and table != self._firewall.wanted and (words := self._firewall.refusal(table.whole)):
            raise FirewallError(words)

    def hold(self, name: str, table: Table | None) -> bool:
        """Have the table of this name be this one. Returns whether somebody had changed it. Raises `FirewallError`."""
        return self._firewall.hold(name, table)

    def describe(
        self,
        settings: RouteSettings,
        selections: tuple[Selection, ...],
        devices: Mapping[str, Device],
        carry: Carrying,
    ) -> Table | None:
        """The table that there should be now."""
        if self.follows_main(settings):
            self.main = self._main_table.read()
            if not self.main.complete:
                self._complain("main", "the main table is too big for the leak guard: some of it is guarded too")
        mtus = self._mtus(settings, devices)
        # A policy may have a hundred thousand prefixes: made anew only for a reason.
        uplinks = frozenset(one.device for one in self.main.defaults)
        inputs = (settings, selections, self.main.specific, uplinks, dict(carry), mtus)
        if inputs != self._inputs:
            surroundings = Surroundings(
                self.main.specific,
                carry,
                mtus,
                uplinks,
                can_guard="guard" in self.can,
                can_pin="pin" in self.can,
                can_clamp="clamp" in self.can,
            )
            self.table = ruleset(settings, selections, surroundings)
            self._inputs = inputs
        return self.table

    def changes(self, settings: RouteSettings, table: Table | None) -> list[str]:
        """What `nft` would be given now, transaction by transaction, to have this table; nothing where the one in the
        kernel says of itself that it is the one. Asked without privileges: as if there was none."""
        try:
            there = self._firewall.contents(settings.nft_table)
        except OSError:
            there = None
        if table is None:
            return [] if there is None else [removal(settings.nft_table)]
        if there is not None and ("chain", table.version) in there:
            return []
        return table.changes(there or ())

    def remove(self, table: str) -> None:
        """Have no table of this name. Raises `FirewallError`."""
        self._inputs = ()
        self._firewall.hold(table, None)

    def _mtus(self, settings: RouteSettings, devices: Mapping[str, Device]) -> dict[str, int]:
        found: dict[str, int] = {}
        for path in settings.paths:
            device = devices.get(path.device)
            if device and device.mtu:
                passes = min(self._sizes.get(path.path, device.mtu), device.mtu)
                found[path.device] = min(found.get(path.device, passes), passes)
        return found

    def _complain(self, about: str, words: str) -> None:
        if about not in self._complained:
            self._complained.add(about)
            log.warning("%s", words)


def carrying(
    settings: RouteSettings,
    choices: Mapping[PolicyId, Choice],
    paths: Mapping[PathId, RoutePath],
    *,
    everything: bool = False,
) -> dict[PolicyId, frozenset[str]]:
    """The devices that carry each policy's traffic though none of its own paths has them: left over from another
    configuration. ``everything``: all of its devices, for while a new configuration takes over."""
    found: dict[PolicyId, frozenset[str]] = {}
    for policy in settings.policies:
        own = devices_of(settings, policy)
        used = {paths[one].device for one in choices.get(policy.policy, BLOCKED).paths if one in paths}
        more = own | used if everything else used - own
        if more:
            found[policy.policy] = frozenset(more)
    return found


def _trial(chain: str) -> str:
    hook, rule = chain.rsplit("; ", 1)
    return f"table inet steerd_trial {{\n\tchain trial {{\n\t\t{hook};\n\t\t{rule}\n\t}}\n}}\n"
