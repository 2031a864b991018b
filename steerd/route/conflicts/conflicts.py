"""What others undo of ours: how often, who they may be, and what is not put back for a while because of it."""

import logging
from collections.abc import Hashable

from steerd.route.conflicts.disputes import IN_A_ROW, Disputes
from steerd.route.conflicts.suspects import suspects
from steerd.route.model.objects import Group, Nexthop, Routes
from steerd.route.wanted import commands
from steerd.route.wanted.diff import Change, Difference, Verb

log = logging.getLogger(__name__)


class Conflict:
    """Counts what others undo in the kernel. For one thread; times are seconds of one clock."""

    def __init__(self) -> None:
        self._disputes = Disputes()
        self._now = 0.0
        self._blame = False
        self._left: set[Hashable] = set()
        self._words: dict[Hashable, str] = {}

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
        """When something that waits is to be put back."""
        return self._disputes.deadline()

    def report(self, remover: int) -> None:
        """Logs, once, what is removed repeatedly, and by whom if that is known. ``remover`` as in `suspects`."""
        declared = self._disputes.declared
        if declared:
            thing, times = declared[0]
            more = f", and {len(declared) - 1} more" if len(declared) > 1 else ""
            log.warning(
                "another program keeps undoing `%s`%s, for the %dth time now: %s. steerd restores it each time; what "
                "is undone at once %d times in a row it restores at growing intervals",
                *(self._words.get(thing, str(thing)), more, times, suspects(remover), IN_A_ROW),
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
