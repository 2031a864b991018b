"""Keeps our nftables table as settings, devices and main want it; reports once what this gateway cannot do.

Synchronous: runs on routing's worker thread.
"""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from steerd.config.settings import Flows, Guard, RouteSettings
from steerd.core.settings import PathId
from steerd.route.error import RouteError
from steerd.route.kernel.main_table import Main, MainTable
from steerd.route.model.objects import Device
from steerd.route.nft.firewall import Firewall, FirewallError, collision, ours
from steerd.route.nft.guard import ExtraDevices
from steerd.route.nft.ruleset import Inputs, ruleset
from steerd.route.nft.table import Table, removal
from steerd.route.wanted.selection import Selection

log = logging.getLogger(__name__)

_TRIALS: Final = {
    "guard": "type filter hook forward priority filter + 5; meta nfproto ipv4 oifname lo counter accept",
    "pin": "type filter hook forward priority mangle + 5; ct direction original ct mark set ct mark and 0xff or 0x100",
    "clamp": "type filter hook forward priority mangle + 5; tcp flags syn tcp option maxseg size set 1400",
}
"""A chain for each of our uses of nftables: a kernel may have some and lack others."""


class Protection(ExitStack):
    """The leak guard, pinned connections and clamped segment sizes. ``can`` says which of these work here; ``readonly``
    takes no privileges, and assumes that all do. ``table`` is the one described last."""

    def __init__(self, *, readonly: bool = False) -> None:
        super().__init__()
        self._firewall = self.enter_context(Firewall())
        self._main_table = self.enter_context(MainTable())
        self._refusals = {
            name: None if readonly else self._firewall.refusal(_trial(chain)) for name, chain in _TRIALS.items()
        }
        self.can = {name for name, refusal in self._refusals.items() if refusal is None}
        self.main = Main()
        self._sizes: dict[PathId, int] = {}
        self._complained: set[str] = set()
        self._inputs: tuple[object, ...] = ()
        self.table: Table | None = None

    def check(self, settings: RouteSettings) -> None:
        """Raises `RouteError` where the settings insist on what this gateway cannot do; logs once what it will not."""
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

    def stands(self, settings: RouteSettings) -> bool:
        """Whether a table of ours is in place, whatever is in it. Raises `NetlinkError`."""
        return ours(self._firewall, settings)

    def size(self, path: PathId, mtu: int) -> None:
        """The largest packet, in bytes, that passed this path; at times less than its device's MTU."""
        self._sizes[path] = mtu

    def trial(self, table: Table | None) -> None:
        """Raises `FirewallError` with the kernel's objection, if it would not accept this table. Changes nothing."""
        if table is not None and table != self._firewall.wanted and (words := self._firewall.refusal(table.whole)):
            raise FirewallError(words)

    def hold(self, name: str, table: Table | None) -> bool:
        """As `Firewall.hold`."""
        return self._firewall.hold(name, table)

    def describe(
        self,
        settings: RouteSettings,
        selections: tuple[Selection, ...],
        devices: Mapping[str, Device],
        extra: ExtraDevices,
    ) -> Table | None:
        """The table that there should be now. Raises `NetlinkError`."""
        if self.follows_main(settings):
            self.main = self._main_table.read()
            if not self.main.complete:
                self._complain("main", "the main table is too big for the leak guard: some of it is guarded too")
        mtus = self._mtus(settings, devices)
        # A policy may have a hundred thousand prefixes: made anew only if an input changed.
        uplinks = frozenset(one.device for one in self.main.defaults)
        inputs = (settings, selections, Inputs(self.main.specific, dict(extra), mtus, uplinks, frozenset(self.can)))
        if inputs != self._inputs:
            self.table = ruleset(*inputs)
            self._inputs = inputs
        return self.table

    def changes(self, settings: RouteSettings, table: Table | None) -> list[str]:
        """What `nft` would be given now, transaction by transaction, to get this table; nothing if the table in the
        kernel has its version already. Without privileges: as if there was none."""
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
        """Remove the table of this name. Raises `FirewallError`."""
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


def _trial(chain: str) -> str:
    hook, rule = chain.rsplit("; ", 1)
    return f"table inet steerd_trial {{\n\tchain trial {{\n\t\t{hook};\n\t\t{rule}\n\t}}\n}}\n"
