"""Keeps our nftables table as settings, devices and main want it; reports once what this gateway cannot do.

Synchronous: runs on routing's worker thread.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from steerd.config.route_settings import Flows, Guard, Prefixes, RoutePolicy, RouteSettings
from steerd.core.settings import PathId, PolicyId
from steerd.route.error import RouteError
from steerd.route.kernel.main_table import Main, MainTable
from steerd.route.model.leads import Lead
from steerd.route.model.objects import Device
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft import words
from steerd.route.nft.counted import Counted
from steerd.route.nft.examples import logging_rule
from steerd.route.nft.firewall import Firewall, FirewallError, collision, ours
from steerd.route.nft.guard import ExtraDevices, allowed
from steerd.route.nft.ingress import inside
from steerd.route.nft.pins import clients
from steerd.route.nft.ruleset import Inputs, left_out, ruleset
from steerd.route.nft.table import DYNAMIC, Table, removal
from steerd.route.wanted.coverage import ALL, covered, doubtful
from steerd.route.wanted.selection import Selection

log = logging.getLogger(__name__)

_TRIALS: Final = {
    "guard": "type filter hook forward priority filter + 5; meta nfproto ipv4 oifname lo counter accept",
    "ingress": "type filter hook prerouting priority raw + 5; iifname lo ip daddr 127.0.0.1 counter accept",
    "pin": "type filter hook forward priority mangle + 5; ct direction original ct mark set ct mark and 0xff or 0x100",
    "client": "type filter hook prerouting priority filter + 900; fib daddr . mark oif missing "
    "update @clients { ip saddr timeout 1m }",
    "log": f"type filter hook forward priority filter + 5; {logging_rule(0, 4000)}",
    "clamp": "type filter hook forward priority mangle + 5; tcp flags syn tcp option maxseg size set 1400",
}
"""A chain for each of our uses of nftables: a kernel may have some and lack others."""
TOO_MANY: Final = (
    "main has too many routes for the leak guard: {} ranges of addresses that main knows better than by a default "
    "route cannot be reached where they belong to a guarded policy; list them in except, or have main summarize them"
)


@dataclass(frozen=True, slots=True)
class Described:
    """What a table was made from. ``pinned``: connections are."""

    settings: RouteSettings
    selections: tuple[Selection, ...]
    inputs: Inputs
    main: Main
    pinned: bool


class Protection(ExitStack):
    """The leak guard, pinned connections and clamped segment sizes. ``can`` says which of these work here, ``refusals``
    why the others do not; ``readonly`` takes no privileges, and assumes that all do. ``table`` is the one described
    last, ``remarks`` what is wrong with it, one line each; ``main`` is as it was then. ``held``: what the table in
    place was made from."""

    def __init__(self, *, readonly: bool = False) -> None:
        super().__init__()
        self._firewall = self.enter_context(Firewall())
        self._main_table = self.enter_context(MainTable())
        self.refusals = {
            name: None if readonly else self._firewall.refusal(_trial(chain)) for name, chain in _TRIALS.items()
        }
        self.can = {name for name, refusal in self.refusals.items() if refusal is None}
        self.main = Main()
        self._sizes: dict[PathId, int] = {}
        self._complained: set[str] = set()
        self._inputs: tuple[object, ...] = ()
        self.table: Table | None = None
        self.held: Described | None = None
        self._described: Described | None = None
        self.remarks: tuple[str, ...] = ()

    def check(self, settings: RouteSettings) -> None:
        """Raises `RouteError` where the settings insist on what this gateway cannot do; logs once what it will not."""
        if found := collision(self._firewall, settings):
            raise RouteError(found)
        for policy in settings.policies:
            if policy.guard is Guard.ALWAYS and "guard" not in self.can:
                raise RouteError(f"policy {policy.policy}: leak_guard cannot be had: {self.refusals['guard']}")
            for use in {Flows.PIN: ("pin",), Flows.CLIENT: ("pin", "client")}.get(policy.flows, ()):
                if use not in self.can:
                    flows = f'policy {policy.policy}: flows = "{policy.flows}" cannot be had'
                    raise RouteError(f"{flows}: {self.refusals[use]}")
        for name, wanted, without in (
            ("guard", settings.guards, "no leak guard: routes alone keep traffic within its paths"),
            ("ingress", settings.guards, "what is addressed to a path's own address may come in by any device"),
            ("pin", settings.pins, "established connections move with their policy"),
            ("clamp", settings.clamp_mss, "TCP segment sizes are not clamped to the paths' MTU"),
        ):
            if wanted and name not in self.can:
                self._complain(name, f"{without} ({self.refusals[name]})")

    def pins(self, settings: RouteSettings) -> bool:
        """Whether connections are pinned under these settings."""
        return "pin" in self.can and settings.pins

    def clients(self, marks: Collection[int], policy: RoutePolicy | None = None) -> list[str]:
        """The sets in which clients, or those of one policy, are remembered for paths with these marks."""
        return clients(self._firewall.wanted, marks, policy)

    def guards(self, policy: RoutePolicy) -> bool:
        """Whether the policy's packets can leave by its paths only."""
        return "guard" in self.can and policy.guard is not Guard.OFF

    def others(self, family: int) -> Mapping[str, str]:
        """As `Firewall.others`."""
        return self._firewall.others(family)

    def counted(self, chains: Iterable[str]) -> Counted:
        """As `Firewall.counted`."""
        return self._firewall.counted(chains)

    def stands(self, settings: RouteSettings) -> bool:
        """Whether a table of ours is in place, whatever is in it. Raises `NetlinkError`."""
        return ours(self._firewall, settings)

    def size(self, path: PathId, mtu: int) -> None:
        """The largest packet, in bytes, that passed this path; at times less than its device's MTU."""
        self._sizes[path] = mtu

    def trial(self, table: Table | None) -> None:
        """Raises `FirewallError` with the kernel's objection, if it would not accept this table. Changes nothing."""
        if table is not None and table != self._firewall.wanted and (said := self._firewall.refusal(table.whole)):
            raise FirewallError(said)

    def hold(self, name: str, table: Table | None) -> bool:
        """As `Firewall.hold`, with a look at the tables of others."""
        try:
            changed = self._firewall.hold(name, table)
        finally:
            self._firewall.look_at_others()
        self.held = self._described
        return changed

    def describe(
        self,
        settings: RouteSettings,
        selections: tuple[Selection, ...],
        devices: Mapping[str, Device],
        extra: ExtraDevices,
    ) -> Table | None:
        """The table that there should be now. Raises `NetlinkError`."""
        self.main = self._main_table.read()
        taken = self._taken(settings, extra)
        culprits = frozenset(lead for leads in taken.values() for lead in leads)
        unsure = Prefixes(*(doubtful(self.main.leads, culprits, family) for family in FAMILIES))
        mtus = self._mtus(settings, devices)
        # A policy may have a hundred thousand prefixes: made anew only if an input changed.
        uplinks = frozenset(one.device for one in self.main.defaults)
        around = Inputs(
            self.main.specific,
            self.main.attached,
            unsure,
            taken,
            dict(extra),
            mtus,
            uplinks,
            self._bridges(settings),
            inside(settings, self._main_table.addresses(self.main.devices), uplinks) if settings.guards else {},
            frozenset(self.can),
        )
        self._described = Described(settings, selections, around, self.main, self.pins(settings))
        inputs = (settings, selections, around)
        if inputs != self._inputs:
            self.table = ruleset(*inputs)
            self._inputs = inputs
            number = left_out(around) if self.table else 0
            self.remarks = (TOO_MANY.format(number),) if number else ()
        return self.table

    def _taken(self, settings: RouteSettings, extra: ExtraDevices) -> dict[tuple[PolicyId, int], frozenset[Lead]]:
        """What main's routes take away altogether from guarded policies, by policy and family."""
        found: dict[tuple[PolicyId, int], frozenset[Lead]] = {}
        for policy in filter(self.guards, settings.policies):
            ways = allowed(settings, policy, extra)
            for family in FAMILIES:
                part = covered(settings, self.main.leads, policy, family, ways)
                if part.share >= ALL:
                    found[policy.policy, family] = frozenset(part.leads)
        return found

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

    def _bridges(self, settings: RouteSettings) -> dict[str, frozenset[str]]:
        """The Ethernet addresses of each bridge that no path leaves by, with those of its ports."""
        known = self.main.devices.values()
        paths = {path.device for path in settings.paths}
        found = {
            bridge.name: frozenset(one.hardware for one in known if bridge.index in (one.index, one.master))
            for bridge in known
            if bridge.bridge and bridge.name not in paths
        }
        return {name: addresses - {""} for name, addresses in found.items() if addresses - {""}}

    def _mtus(self, settings: RouteSettings, devices: Mapping[str, Device]) -> dict[str, int]:
        found: dict[str, int] = {}
        for path in settings.paths:
            device = devices.get(path.device)
            if device and device.mtu:
                passes = min(self._sizes.get(path.path, device.mtu), device.mtu)
                found[path.device] = min(found.get(path.device, passes), passes)
        return found

    def _complain(self, about: str, said: str) -> None:
        if about not in self._complained:
            self._complained.add(about)
            log.warning("%s", said)


def _trial(chain: str) -> str:
    hook, rule = chain.rsplit("; ", 1)
    blocks = [words.block("set clients", ["type ipv4_addr", "size 16", DYNAMIC])] if "@clients" in rule else []
    return "\n".join(["table inet steerd_trial {", *blocks, words.chain("trial", [f"{hook};", rule]), "}\n"])
