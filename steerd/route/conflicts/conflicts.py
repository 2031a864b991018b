"""What others undo of ours: how often, who they may be, and what is not put back for a while because of it.

An object that is removed now and then is put back at once, and reported. One that is removed in answer to each repair
would have us turn in circles: that one is put back at growing intervals, and all others at once as ever.
"""

import logging
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from steerd.faults import Boundary
from steerd.route.conflicts.suspects import suspects
from steerd.route.model.objects import Group, Nexthop, Routes
from steerd.route.wanted import commands
from steerd.route.wanted.diff import Change, Difference, Verb

log = logging.getLogger(__name__)

AGAIN_AND_AGAIN: Final = 5  # removals of one object within `MEMORY` of each other that are no accident
MEMORY: Final = 600.0
AT_ONCE: Final = 1.0
"""Seconds: what is gone sooner after it was put back was removed in answer to that."""
IN_A_ROW: Final = 10  # after so many such answers repairs are delayed
LONGEST_WAIT: Final = 10.0  # seconds an object may be missing at most once the removals end
_DOUBLED: Final = 8  # times; after hours of answers a power of two is beyond what a float holds


@dataclass(slots=True)
class _Dispute:
    times: int = 0
    answers: int = 0
    put: float = float("-inf")
    until: float = 0.0
    said: bool = False


class Disputes:
    """Counts by object; the caller names objects. Times are in seconds of one clock."""

    def __init__(self) -> None:
        self._known: dict[Hashable, _Dispute] = {}
        self.declared: list[tuple[Hashable, int]] = []
        """Objects removed too often since the caller last cleared this, with how often."""

    def missing(self, thing: Hashable, now: float) -> bool:
        """The object is missing. Returns whether it may be put back now, and assumes that it then is."""
        dispute = self._known.setdefault(thing, _Dispute())
        if now < dispute.until:
            return False
        if dispute.until:  # the wait is over
            dispute.until = 0.0
            dispute.put = now
            return True
        age = now - dispute.put
        dispute.times = dispute.times + 1 if age <= MEMORY else 1
        dispute.answers = dispute.answers + 1 if age <= AT_ONCE else 0
        dispute.said = dispute.said and age <= MEMORY
        if dispute.times >= AGAIN_AND_AGAIN and not dispute.said:
            dispute.said = True
            self.declared.append((thing, dispute.times))
        if dispute.answers >= IN_A_ROW:
            dispute.until = now + min(2.0 ** min(dispute.answers - IN_A_ROW, _DOUBLED), LONGEST_WAIT)
            return False
        dispute.put = now
        return True

    def deadline(self, now: float) -> float:
        """When the next object that waits may be put back, after ``now``; infinity: none does."""
        return min((one.until for one in self._known.values() if one.until > now), default=float("inf"))

    def forget(self, now: float) -> None:
        """Drops what nobody removed for `MEMORY`, to bound what is kept."""
        self._known = {thing: one for thing, one in self._known.items() if max(one.put, one.until) + MEMORY > now}


class Conflict:
    """Counts what others undo in the kernel. For one thread; times are seconds of one clock."""

    def __init__(self) -> None:
        self._disputes = Disputes()
        self._now = 0.0
        self._blame = False
        self._left: set[Hashable] = set()
        self._words: dict[Hashable, str] = {}
        self._boundary = Boundary("suspects")

    def look(self, now: float, *, blame: bool) -> None:
        """A look at the kernel begins. ``blame``: what is missing now was removed by somebody."""
        self._now = now
        self._blame = blame
        self._left.clear()
        self._disputes.forget(now)

    def leave(self, found: Difference, protocol: int) -> Difference:
        """The difference without what is not to be put back yet."""
        if self._blame:
            self._blame = False
            for change in _causes(found):
                thing = _thing(change)
                if not self._disputes.missing(thing, self._now):
                    self._left.add(thing)
                self._words[thing] = commands.first_line(change, protocol)
        if not self._left:
            return found
        additions, removals = (
            tuple(change for change in some if _thing(change) not in self._left)
            for some in (found.additions, found.removals)
        )
        return Difference(additions, removals)

    def table_changed(self, table: str, now: float) -> None:
        """Somebody changed our nftables table. It is always put back: nothing else stops what it stops."""
        thing = ("nft", table)
        self._words[thing] = f"nft add table inet {table}"
        self._disputes.missing(thing, now)

    @property
    def deadline(self) -> float:
        """When something that waits is to be put back. What could be by this look was, or is not missing."""
        return self._disputes.deadline(self._now)

    def report(self, remover: int) -> None:
        """Logs, once, what is removed repeatedly, and by whom if that is known. ``remover`` as in `suspects`."""
        declared = self._disputes.declared
        if declared:
            thing, times = declared[0]
            who = "it cannot be told by whom"
            with self._boundary:
                who = suspects(remover)
            more = f", and {len(declared) - 1} more" if len(declared) > 1 else ""
            log.warning(
                "another program keeps undoing `%s`%s, for the %dth time now: %s. steerd restores it each time; what "
                "is undone at once %d times in a row it restores at growing intervals",
                *(self._words.get(thing, str(thing)), more, times, who, IN_A_ROW),
            )
            declared.clear()
        self._words.clear()


def _causes(found: Difference) -> list[Change]:
    """Without what went with something else: groups go with their nexthops, routes with their group."""
    nexthops = {change.thing.id for change in found.additions if isinstance(change.thing, Nexthop)}
    groups = {change.thing.id for change in found.additions if isinstance(change.thing, Group)}
    causes = []
    for change in (*found.additions, *found.removals):
        match change.thing:
            case Group(members=members) if not nexthops.isdisjoint(number for number, _weight in members):
                continue
            case Routes(kind=kind) if kind.nexthop in groups:
                continue
        causes.append(change)
    return causes


def _thing(change: Change) -> Hashable:
    removing, thing = change.verb == Verb.REMOVE, change.thing
    # The hash stands for the prefixes: a hundred thousand are not kept for this.
    return (removing, thing.kind, hash(thing.prefixes)) if isinstance(thing, Routes) else (removing, thing)
