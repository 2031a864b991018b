"""Where policies' packets go, as nftables counts them: looked at every few seconds, and told where it is wrong."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from steerd.config.route_settings import Flows, Guard
from steerd.core.settings import PolicyId
from steerd.net.devices import TX_PACKETS, counters
from steerd.route.around.kernel_drops import KernelDrops, legacy_words
from steerd.route.around.neighbours import Neighbours
from steerd.route.around.surroundings import Surroundings
from steerd.route.counting import Counting
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft.counted import Counted
from steerd.route.nft.examples import Example
from steerd.route.nft.guard import guard_chain
from steerd.route.nft.pins import MOST_CLIENTS, crowd_chain
from steerd.route.nft.protect import Protection
from steerd.route.observed.ledger import Key, Ledger, words
from steerd.route.observed.sending import Sending
from steerd.route.observed.where import OTHER, Seen, Ways, Where
from steerd.route.reconcile.account import Result
from steerd.route.reconcile.reconciler import Reconciler
from steerd.route.wanted.coverage import ALL
from steerd.route.worker import Worker
from steerd.status.snapshot import Packets, Went

log = logging.getLogger(__name__)

_EVERY: Final = 5.0
"""Seconds between two looks."""
_LATELY: Final = 60.0
_DEVICES: Final = Path("/proc/thread-self/net/dev")
_BEHIND: Final = (
    "something behind the last chain of nftables' forward hook drops them or leads them to another device: look at "
    "`tc -s qdisc show dev {0}`, `tc filter show dev {0} egress` and, of nftables, postrouting and egress chains"
)


class Census:
    """``publish`` is told what is said anew of policies; ``worker`` is routing's, ``nft`` the guard's."""

    def __init__(
        self,
        protection: Protection,
        around: Surroundings,
        reconciler: Reconciler,
        worker: Worker,
        nft: Worker,
        publish: Callable[[Result], None],
    ) -> None:
        self._protection = protection
        self._around = around
        self._kernel_drops = KernelDrops()
        self._neighbours = Neighbours()
        self._sending = Sending()
        self._reconciler = reconciler
        self._worker = worker
        self._nft = nft
        self._publish = publish
        self._ledger = Ledger()
        self._counting = Counting()
        self._own = Worker("steerd-packets")
        self._before = Counted(0, {})
        self._crowded: dict[PolicyId, float] = {}  # when a client found no room last
        self._examples: dict[PolicyId, Example] = {}
        self._causes: dict[PolicyId, dict[str, dict[str, None]]] = {}

    async def run(self) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        await self._own.do(lambda: self._counting.hold(self._protection.held))
        await self._own.do(lambda: self._counting.examples(self._protection.held))
        while True:
            await asyncio.sleep(_EVERY)
            since, now = loop.time(), since
            await self._look(now, since)

    async def end(self) -> None:
        """Count no more. Safe to repeat."""
        await self._own.do(self._counting.close)
        await self._own.do(self._neighbours.close)
        await self._own.close()

    async def _look(self, since: float, now: float) -> None:
        # In the order in which a packet meets them: so none seems to be lost that is on its way.
        news = await self._own.do(self._counting.read)
        guarded, crowded = await self._nft.do(self._dropped_and_crowded)
        for key, count in guarded.items():
            news.setdefault(key, Seen()).guard = count
        for remark in _crowds(crowded - self._crowded.keys()):
            log.warning("%s", remark)
        lately = {policy: at for policy, at in self._crowded.items() if now - at < _LATELY}
        self._crowded = {**lately, **dict.fromkeys(crowded, now)}
        held = self._protection.held
        policies = held.settings.policies if held else ()
        every, counts = self._counting.every, self._counting.counts
        ways = self._ways()
        handed: Counter[str] = sum((seen.left + seen.own for seen in news.values()), Counter())
        devices = {*handed, *(device for way in ways.values() for device in way.chosen)}
        await self._own.do(partial(self._look_at_wires, handed, devices, now, every))
        moved = await self._own.do(lambda: self._counting.hold(self._protection.held))
        for example in await self._own.do(lambda: self._counting.examples(held)):
            self._examples |= {policy.policy: example for policy in policies if policy.order == example.order}
        said = self._ledger.dropped_lately()
        self._ledger.look(news, ways, since, now, every=every, judge=counts and not moved)
        if not counts:
            self._ledger.forget()
        for remark in () if said else self._drops():
            log.warning("%s", remark)
        reasons = self._kernel_drops.reasons(now)
        strangers: list[str] = []
        if any(one.place[0] is not Where.NOWHERE for policy, _ in ways for one in self._ledger.wrong(policy)):
            async with self._worker.turn:
                look = partial(self._reconciler.account.strangers, self._reconciler.standing.settings)
                strangers = await self._worker.do(look)
        causes = {policy: found for policy, _ in ways if (found := self._wrongs(policy, reasons, strangers))}
        for policy, found in causes.items():
            for goes, before in self._causes.get(policy, {}).items():
                if goes in found:
                    found[goes] = {**before, **found[goes]}  # what was a cause once still is
        if causes != self._causes:
            self._causes = causes
            wrong = {policy: "; ".join(map(_joined, found.items())) for policy, found in causes.items()}
            async with self._worker.turn:
                self._publish(await self._worker.do(partial(self._reconciler.observe, wrong)))

    def _look_at_wires(self, handed: Mapping[str, int], devices: AbstractSet[str], now: float, every: int) -> None:
        with suppress(OSError):  # looked at again with the next
            page = _DEVICES.read_bytes()
            known = {one: found for one in devices if (found := counters(page, one))}
            self._sending.look(handed, {one: found[TX_PACKETS] for one, found in known.items()}, now, every=every)
        with suppress(OSError):
            self._neighbours.look(self._reconciler.standing.settings)

    def _ways(self) -> dict[Key, Ways]:
        ways = self._reconciler.standing.ways(self._reconciler.account.expected)
        # What has no counter of its own may be a path's device that came, or has a name that `nft` does not take.
        named = self._counting.named
        return {key: way if way.all <= named else Ways(way.chosen, way.all | {OTHER}) for key, way in ways.items()}

    def _wrongs(
        self, policy: PolicyId, reasons: Mapping[int, list[str]], strangers: Sequence[str]
    ) -> dict[str, dict[str, None]]:
        """What is wrong with the policy's packets, with the causes, as far as they are known besides what the kernel
        says of a packet that it is asked about. ``strangers``: others' routes in our tables."""
        account, found = self._reconciler.account, {}
        for wrong in self._ledger.wrong(policy):
            key, lost = (policy, wrong.family), wrong.place[0] is Where.NOWHERE
            if lost and key in account.filtered and wrong.share < ALL:
                continue  # others' firewalls drop some of what passes: that is what they are for
            takers = [one for one in self._around.takers if policy in one.takes]
            causes = [one.words for one in takers if one.rule is None or one.rule.family == wrong.family]
            causes += filter(None, [(account.doubts if lost else account.partly).get(key)])
            causes += [*reasons[wrong.family], *self._unreachable(policy)] if lost else strangers
            found[words(wrong)] = dict.fromkeys([*causes, *account.marks] or legacy_words(wrong.family))
        chosen = {device for key, way in self._ways().items() if key[0] == policy for device in way.chosen}
        for device in sorted(chosen & self._sending.silent):
            causes = self._unreachable(policy) or [_BEHIND.format(device)]
            found[f"most of its packets are handed to {device}, which does not send them"] = dict.fromkeys(causes)
        return found

    def _unreachable(self, policy: PolicyId) -> list[str]:
        """Of the path that the policy uses, why its next hop is not there."""
        choice = self._reconciler.standing.choices.get(policy)
        words = self._neighbours.silent.get(choice.best) if choice and choice.best else None
        return [words] if words else []

    def _dropped_and_crowded(self) -> tuple[dict[Key, int], set[PolicyId]]:
        """What each policy's guard has dropped since the last look, and the policies that had no room for clients. What
        happens between that and a change of the table goes uncounted."""
        held, new = self._protection.held, dict[Key, int]()
        policies = held.settings.policies if held else ()
        guarded = [policy for policy in policies if policy.guard is not Guard.OFF]
        whole = [policy for policy in policies if policy.flows is Flows.CLIENT]
        found = self._protection.counted([*map(guard_chain, guarded), *map(crowd_chain, whole)])
        former = self._before.packets if found.time == self._before.time else {}
        for policy in guarded:
            chain = guard_chain(policy)
            before = former.get(chain, ())
            for at, (family, total) in enumerate(zip(FAMILIES, found.packets.get(chain, ()), strict=False)):
                if count := max(0, total - (before[at] if at < len(before) else 0)):
                    new[policy.policy, family] = count
        self._before = found
        full = {
            one.policy for one in whole if found.packets.get(crowd_chain(one), ()) > former.get(crowd_chain(one), (0,))
        }
        return new, full

    def dropped(self) -> Mapping[PolicyId, int]:
        """Packets of each policy that the leak guard has dropped since the start."""
        return self._ledger.dropped()

    def totals(self) -> Mapping[tuple[PolicyId, int, str, str], int]:
        """Packets since the start, by policy, family, where they went, and device."""
        return {
            (policy, family, where.value, device): n
            for (policy, family, where, device), n in self._ledger.total.items()
        }

    def recent(self) -> Mapping[PolicyId, Packets]:
        """Where the last packets went, of the policies that had some lately."""
        found: dict[PolicyId, Packets] = {}
        for policy in dict.fromkeys(policy for policy, _ in self._ways()):
            seconds, families = self._ledger.recent(policy)
            went = [
                Went(family, where.value, device, n)
                for family, some in families.items()
                for (where, device), n in some.items()
            ]
            if went:
                found[policy] = Packets(seconds, tuple(sorted(went)), policy in self._causes)
        return found

    def remarks(self) -> tuple[str, ...]:
        """What the guard dropped in the last minute, who had no room then, and what is not counted, one line each."""
        full = self._kernel_drops.remarks(asyncio.get_running_loop().time())
        silent = (f"path {path}: {words}" for path, words in sorted(self._neighbours.silent.items()))
        return (*self._drops(), *_crowds(self._crowded), *self._counting.remarks, *full, *silent)

    def _example(self, policy: PolicyId) -> str:
        return f", e.g. {self._examples[policy]}" if policy in self._examples else ""

    def _drops(self) -> list[str]:
        return [
            f"the leak guard dropped {count} packets of policy {policy} in the last minute: they would have left by no "
            f"path of it{self._example(policy)}"
            for policy, count in sorted(self._ledger.dropped_lately().items())
        ]


def _crowds(policies: Iterable[PolicyId]) -> list[str]:
    return [
        f"policy {policy} has more clients than steerd keeps together ({MOST_CLIENTS:,} by one path, of each family): "
        "connections of the others stay where they begin, each for itself"
        for policy in sorted(policies)
    ]


def _joined(wrong: tuple[str, Mapping[str, None]]) -> str:
    goes, causes = wrong
    return f"{goes}: {'; '.join(causes)}" if causes else goes
