"""Counts what policies' packets do: keeps the counters in nftables, and reads them every few seconds.

On a thread of its own: a table of many prefixes takes `nft` seconds, and no switch is to wait for that.
"""

import logging
import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Final

from steerd.config.route_settings import Prefixes, RouteSettings
from steerd.route.model import prefixes
from steerd.route.model.leads import Lead
from steerd.route.model.objects import REJECTS
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft.counters import CAME, HERE, LEFT, TRIAL, Counters, TooManyError, counters, table_name
from steerd.route.nft.examples import Example, Examples, group
from steerd.route.nft.firewall import Firewall, FirewallError, ours
from steerd.route.nft.guard import allowed
from steerd.route.nft.protect import Described
from steerd.route.nft.ruleset import Inputs
from steerd.route.observed.ledger import Key
from steerd.route.observed.where import OTHER, Seen
from steerd.route.wanted.coverage import ALL, covered, doubtful, wide
from steerd.route.wanted.selection import LOOPBACK, Selection

log = logging.getLogger(__name__)

_NAMED: Final = 32
"""Devices besides the paths' own that packets are told apart by: of more, the rest counts as one."""
_PLAIN: Final = re.compile(r"[\w.@:-]+")
"""A device's name that `nft` takes within quotes."""
_REST: Final = 20.0
"""Times as long as `nft` took for the table it is left as it is, at least."""
_BUSY: Final = 50_000.0
_CALM: Final = 20_000.0
"""Packets a second from which on one of many is counted, and below which every one is again."""
_AGAIN: Final = 60.0
"""Seconds until what `nft` refused is tried again."""


_Given = tuple[RouteSettings, tuple[Selection, ...], Inputs]
_Inputs = tuple[_Given, tuple[str, ...], bool, bool]
"""What the table is made from: with the devices told apart, whether connections are pinned, and whether it is busy."""


class Counting:
    """``every``: how many packets each that is counted stands for; ``named``: devices told apart; ``remarks``: why
    nothing is counted. Synchronous; for one thread."""

    def __init__(self) -> None:
        self.every = 1
        self.named: AbstractSet[str] = frozenset()
        self.remarks: tuple[str, ...] = ()
        self._opened: Firewall | None = None
        self._trial: str | None = None
        self._name = ""
        self._inputs: _Inputs | None = None
        self._around: tuple[Described, _Given] | None = None  # what was found for it: of many routes it takes a while
        self._wanted: Counters | None = None
        self._others: tuple[str, ...] = ()
        self._due = 0.0
        self._before: dict[str, int] = {}
        self._read_at = 0.0
        self._listener: tuple[int, Examples | None] = (0, None)
        self._busy = False

    @property
    def counts(self) -> bool:
        """Whether packets are counted now."""
        return bool(self._name)

    def close(self) -> None:
        """Remove the table, and what is open."""
        self._listen(0)
        with suppress(OSError):
            self._clear()
        if self._opened is not None:
            self._opened.close()

    @property
    def _firewall(self) -> Firewall:
        """Opened by whoever asks first: nothing is left open where nothing is counted."""
        if self._opened is None:
            self._opened = Firewall(listed=False)
        return self._opened

    def hold(self, given: Described | None) -> bool:
        """Have the table as it should be. Returns whether it changed, or is not yet what it should be."""
        if given is None or not given.settings.count:
            with suppress(OSError):  # tried again with the next look
                self._clear()
            return False
        if self._trial is None:
            self._trial = self._firewall.refusal(f"table inet steerd_trial {{\n{TRIAL}}}\n") or ""
            if self._trial:
                log.info("packets are not counted (%s)", self._trial)
        if self._trial:
            return False
        self._others = others(given, self._others)
        if self._around is None or self._around[0] is not given:
            self._around = given, _inputs(given)
        inputs = (self._around[1], self._devices(given), given.pinned, self._busy)
        if monotonic() < self._due:
            return inputs != self._inputs
        try:
            moved = self._hold(inputs, changed=inputs != self._inputs)
        except OSError as error:
            self._refuse(str(error))
            self._inputs, self._due = None, monotonic() + _AGAIN
            return True
        self._inputs = inputs
        return moved

    def _hold(self, inputs: _Inputs, *, changed: bool) -> bool:
        (settings, selections, around), devices, pinned, busy = inputs
        name = table_name(settings)
        if self._name not in ("", name):
            self._clear()
        if changed:
            if self._firewall.owner(name) is not None and not ours(self._firewall, settings, name):
                raise FirewallError(f"there is a table inet {name} of nftables that is not steerd's")
            try:
                self._wanted = counters(settings, selections, around, devices, answers=pinned, busy=busy)
            except TooManyError as error:
                self._wanted = None
                self._refuse(str(error))
        if self._wanted is None:
            self._clear()
            return False
        left = not self._name and self._firewall.owner(name) is not None
        before, began = self._firewall.wanted, monotonic()
        mended = self._firewall.hold(name, self._wanted.table)
        if not self._name:  # what an earlier run has counted is not new
            self._before = self._firewall.counters() if left else {}
        self._name, self.every, self.named, self.remarks = name, self._wanted.every, frozenset(devices), ()
        if moved := mended or before != self._wanted.table:
            self._due = monotonic() + _REST * (monotonic() - began)
        return moved

    def _devices(self, given: Described) -> tuple[str, ...]:
        paths = {path.device for path in given.settings.paths}
        paths |= {device for devices in given.inputs.extra.values() for device in devices}
        return *sorted(filter(_PLAIN.fullmatch, paths)), *(name for name in self._others if name not in paths)

    def _clear(self) -> None:
        if self._name:
            self._firewall.hold(self._name, None)
        self._name, self._inputs, self._before = "", None, {}

    def _refuse(self, why: str) -> None:
        remark = f"packets are not counted: {why}"
        if remark not in self.remarks:
            log.warning("%s", remark)
        self.remarks = (remark,)

    def examples(self, given: Described | None) -> list[Example]:
        """Of what the guard dropped since last asked; none where the kernel does not tell. Raises `OSError`."""
        logged = given is not None and given.settings.guards and "log" in given.inputs.can
        self._listen(group(given.settings) if given is not None and logged else 0)
        listener = self._listener[1]
        return listener.read() if listener else []

    def _listen(self, number: int) -> None:
        before, listener = self._listener
        if number == before:
            return
        if listener is not None:
            listener.close()
        self._listener = number, None
        try:
            self._listener = number, Examples(number) if number else None
        except OSError as error:
            log.info("no examples of what the leak guard drops: nflog group %d: %s", number, error)

    def read(self) -> dict[Key, Seen]:
        """What is new since the last reading. Raises `OSError`."""
        found: dict[Key, Seen] = {}
        if self._wanted is None or not self._name:
            return found
        counted = self._firewall.counters()
        for name, cell in self._wanted.cells.items():
            total, before = counted.get(name, 0), self._before.get(name, 0)
            # A counter that has less than before is another one.
            new = (total - before if total >= before else total) * self.every
            if not new:
                continue
            seen = found.setdefault((cell.policy, cell.family), Seen())
            if cell.what == CAME:
                seen.came += new
            elif cell.what == HERE:
                seen.here += new
            else:
                (seen.left if cell.what == LEFT else seen.own)[cell.device or OTHER] += new
        now = monotonic()
        rate = sum(max(seen.came, seen.left.total()) for seen in found.values()) / (now - self._read_at)
        self._busy = self._read_at > 0.0 and rate > (_CALM if self._busy else _BUSY)
        self._before, self._read_at = counted, now
        return found


def others(given: Described, before: Iterable[str]) -> tuple[str, ...]:
    """Devices that packets may leave by besides the paths' own, main's uplinks first. Those that were told apart before
    still are, so that the table does not change with each device that comes or goes."""
    main = given.main
    uplinks = {one.device for one in main.defaults}
    names = [*sorted(uplinks), *before, *sorted(one.name for one in main.devices.values() if not one.master)]
    paths = {path.device for path in given.settings.paths}
    plain = (name for name in dict.fromkeys(names) if _PLAIN.fullmatch(name) and name not in paths | {LOOPBACK})
    return tuple(sorted([*plain][:_NAMED]))


def _inputs(given: Described) -> _Given:
    """As for the guard, but also of what it does not guard: what main's routes take altogether is counted, too, and so
    is what pieces of a default route take, be it a part. What else main rejects it knows better, as all by its longer
    prefixes."""
    settings, leads = given.settings, given.main.leads
    taken: dict[Key, frozenset[Lead]] = {}
    some = dict.fromkeys(FAMILIES, b"")
    for policy in settings.policies:
        ways = allowed(settings, policy, given.inputs.extra)
        for family in FAMILIES:
            found = covered(settings, leads, policy, family, ways)
            pieces = wide(family, doubtful(leads, frozenset(found.leads), family))
            if found.share >= ALL or pieces:
                taken[policy.policy, family] = frozenset(found.leads)
                whole = found.share >= ALL
                some[family] += doubtful(leads, taken[policy.policy, family], family) if whole else pieces
    unsure = Prefixes(*(prefixes.union(family, some[family]) for family in FAMILIES))
    known = {family: [prefixes.of_family(given.inputs.main, family)] for family in FAMILIES}
    for lead, packed in leads.items():
        if lead.type in REJECTS and not lead.some:
            known[lead.family].append(packed)
    main = Prefixes(*(prefixes.union(family, *known[family]) for family in FAMILIES))
    around = replace(given.inputs, main=main, taken=taken, doubtful=unsure, mtus={}, uplinks=frozenset())
    return settings, given.selections, around
