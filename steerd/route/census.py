"""Where policies' packets go, as nftables counts them: looked at every few seconds, and told where it is wrong."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from steerd.config.settings import Guard
from steerd.core.settings import PolicyId
from steerd.route.counting import Counting
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft.counted import Counted
from steerd.route.nft.guard import guard_chain
from steerd.route.nft.protect import Protection
from steerd.route.observed.ledger import Key, Ledger, words
from steerd.route.reconcile.account import Result
from steerd.route.reconcile.reconciler import Reconciler
from steerd.route.worker import Worker
from steerd.status.snapshot import Packets, Went

log = logging.getLogger(__name__)

_EVERY: Final = 5.0
"""Seconds between two looks."""


class Census:
    """``publish`` is told what has changed of what is said of policies; ``worker`` is routing's own."""

    def __init__(
        self, protection: Protection, reconciler: Reconciler, worker: Worker, publish: Callable[[Result], None]
    ) -> None:
        self._protection = protection
        self._reconciler = reconciler
        self._worker = worker
        self._publish = publish
        self._ledger = Ledger()
        self._counting = Counting()
        self._own = Worker()
        self._before = Counted(0, {})
        self._wrong: dict[PolicyId, str] = {}

    async def run(self) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        await self._own.do(lambda: self._counting.hold(self._protection.held))
        while True:
            await asyncio.sleep(_EVERY)
            since, now = loop.time(), since
            await self._look(now, since)

    async def end(self) -> None:
        """Count no more. Safe to repeat."""
        await self._own.do(self._counting.close)
        await self._own.close()

    async def _look(self, since: float, now: float) -> None:
        guarded = await self._worker.do(self._guarded)
        news = await self._own.do(lambda: self._counting.read(guarded))
        every, counts = self._counting.every, self._counting.counts
        ways = self._reconciler.ways()
        moved = await self._own.do(lambda: self._counting.hold(self._protection.held))
        said = self._ledger.dropped_lately()
        self._ledger.look(news, ways, since, now, every=every, judge=counts and not moved)
        for remark in () if said else self._drops():
            log.warning("%s", remark)
        wrong = {policy: words(found) for policy, _ in ways if (found := self._ledger.wrong(policy))}
        if wrong != self._wrong:
            self._wrong = wrong
            async with self._worker.turn:
                self._publish(await self._worker.do(partial(self._reconciler.observe, wrong)))

    def _guarded(self) -> dict[Key, int]:
        """What each policy's guard has dropped since the last look. What it drops between that and a change of its
        table goes uncounted."""
        found, held = self._protection.counted(), self._protection.held
        new: dict[Key, int] = {}
        for policy in held.settings.policies if held else ():
            chain = guard_chain(policy)
            if policy.guard is Guard.OFF:
                continue
            before = self._before.packets.get(chain, ()) if found.time == self._before.time else ()
            for at, (family, count) in enumerate(zip(FAMILIES, found.packets.get(chain, ()), strict=False)):
                new[policy.policy, family] = max(0, count - (before[at] if at < len(before) else 0))
        self._before = found
        return new

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
        for policy in dict.fromkeys(policy for policy, _ in self._reconciler.ways()):
            seconds, families = self._ledger.recent(policy)
            went = [
                Went(family, where.value, device, n)
                for family, some in families.items()
                for (where, device), n in some.items()
            ]
            if went:
                found[policy] = Packets(seconds, tuple(sorted(went)), bool(self._ledger.wrong(policy)))
        return found

    def remarks(self) -> tuple[str, ...]:
        """What the guard dropped in the last minute, and what is not counted, one line each."""
        return (*self._drops(), *self._counting.remarks)

    def _drops(self) -> list[str]:
        return [
            f"the leak guard dropped {count} packets of policy {policy} in the last minute: they would have left by no "
            f"path of it"
            for policy, count in sorted(self._ledger.dropped_lately().items())
        ]
