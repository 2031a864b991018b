"""Brings the kernel's rules, nexthops and routes to what a `Standing` wants. Synchronous: for one thread."""

import errno
import logging
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from steerd.config.route_settings import RoutePath, RouteSettings
from steerd.core.events import Link
from steerd.core.settings import PathId, PolicyId
from steerd.route.around.collisions import collision
from steerd.route.conflicts.conflicts import Conflict
from steerd.route.error import RouteError
from steerd.route.kernel.kernel import Kernel, Refused
from steerd.route.kernel.regroup import regroup, regrouped, stragglers
from steerd.route.model.numbers import Ids, WayOut, allocate
from steerd.route.model.objects import Group, Nexthop, Routes, Seen, State
from steerd.route.model.prefixes import FAMILIES
from steerd.route.reconcile.absence import why_not
from steerd.route.reconcile.peers import Peers
from steerd.route.reconcile.standing import Standing
from steerd.route.wanted.choice import Choice, ways_out, weighed
from steerd.route.wanted.desired import Circumstances, desired
from steerd.route.wanted.detours import led
from steerd.route.wanted.diff import Difference, difference, label
from steerd.route.wanted.present import Present
from steerd.route.wanted.selection import Selection, selections
from steerd.text.seldom import Seldom, more

log = logging.getLogger(__name__)

_SAID_EVERY = 3600.0
"""Seconds between two lines of the log about the same refusal: it is asked again whenever something changes."""
_ROUNDS = 5  # attempts to reach the wanted state: a refused nexthop costs one, a change under our hands another


class Convergence:
    """``seen`` is what was read last, ``refused`` the ways out that the kernel does not take, with its words. ``links``
    says whether packets can be routed to each path, ``counts`` how many routes lead on, by policy and family."""

    def __init__(self, kernel: Kernel, peers: Peers, pins: Callable[[RouteSettings], bool]) -> None:
        """``pins``: whether connections are pinned under these settings."""
        self.seen = Seen(State(), {})
        self.refused: dict[WayOut, str] = {}
        self.links: dict[PathId, Link] = {}
        self.counts: dict[tuple[PolicyId, int], int] = {}
        self.conflict = Conflict()
        self._seldom = Seldom(_SAID_EVERY)
        self._kernel = kernel
        self._peers = peers
        self._pins = pins
        self._ids = Ids({}, {})
        self._complained: set[WayOut] = set()

    def adopt(self, seen: Seen, groups: dict[tuple[PolicyId, int], int]) -> None:
        """Begin from what was found, with the ids that policies' groups have there."""
        self.seen = seen
        self._ids = Ids(groups, {})

    def converge(self, standing: Standing, former: Mapping[PolicyId, Choice]) -> tuple[Difference, Standing]:
        """Until there is nothing left to change. Returns the first difference found, and what stands then: the policy's
        ``former`` choice replaces one that cannot be carried out at all, and a runner-up may have stepped in."""
        settings = standing.settings
        self.refused = {}
        first: Difference | None = None
        for _ in range(_ROUNDS):
            seen = self.seen = self._kernel.read(settings)
            standing, state = self.wanted(standing, former)
            found = self.conflict.leave(difference(seen.ours, state), settings.protocol)
            first = first or found
            if not found:
                break
            refused = self._kernel.apply(found.additions, settings)
            if not refused:
                # Never remove the old before the new is there.
                refused = self._kernel.apply(found.removals, settings)
            self._learn(refused)
        else:
            self.seen = self._kernel.read(settings)
            log.error("the kernel's state is still not as wanted after %d attempts", _ROUNDS)
        self._complained &= set(self.refused)
        first = first or Difference((), ())
        self._gather(settings, [one for _, one in first.additions if isinstance(one, Group)])
        return first, self._look(standing)

    def _gather(self, settings: RouteSettings, groups: Iterable[Group]) -> None:
        """Traffic holds buckets where a member that died has left them, be it at one that is to carry nothing."""
        for group in groups:
            try:
                left = stragglers(self._kernel, settings, group)
            except OSError as error:
                left = f"the buckets of nexthop group {group.id} cannot be read: {error}"
            if left:
                log.warning("%s", left)

    def switch(self, standing: Standing, policy: PolicyId) -> Standing | None:
        """Carry out a choice by one message a family. Returns what stands then; None: not enough, read and converge."""
        settings = standing.settings
        if not self._objects(settings):
            return None
        changes = regroup(self.present(standing), policy, self.seen, pinning=self._pins(settings))
        if changes is None:
            return None
        if refused := self._kernel.apply(changes, settings):
            self._learn(refused)
            return None
        self.seen = replace(self.seen, ours=regrouped(self.seen.ours, changes))
        return self._look(standing)

    def present(self, standing: Standing) -> Present:
        """What the kernel does for each policy, as last read."""
        settings = standing.settings
        return Present(
            settings,
            standing.selections,
            self._ids,
            self.seen.ours,
            standing.choices,
            standing.retired,
            self._kernel.families,
            self._objects(settings),
            self._peers.held,
        )

    def _objects(self, settings: RouteSettings) -> bool:
        return settings.nexthop_objects and self._kernel.nexthop_objects

    def wanted(self, standing: Standing, former: Mapping[PolicyId, Choice]) -> tuple[Standing, State]:
        """What can stand, and what the kernel needs for it, on what was last read; ``former`` as in `converge`."""
        settings, paths = standing.settings, standing.paths
        ways = ways_out(paths.values())
        policies = [(one.policy, family) for one in settings.policies for family in FAMILIES]
        self._ids = allocate(settings, policies, ways, self.seen.ours, self._ids.groups, self.seen.foreign_ids)
        usable = {way for way in ways if self.seen.up(way.device) and way not in self.refused}
        for policy, before in former.items():
            choice = standing.choices[policy]
            if choice.best is not None and not _leads(choice, paths, usable) and _leads(before, paths, usable):
                # What is asked for is impossible: better where it was than nowhere.
                standing = standing.choosing({policy: before})
        circumstances = Circumstances(
            standing.retired,
            usable,
            self._ids,
            self._kernel.families,
            self._objects(settings),
            self._pins(settings),
            {one.name: one.remote for one in self.seen.devices.values() if one.inherits and one.remote},
        )
        state = desired(settings, standing.selections, standing.choices, circumstances)
        outer = {WayOut(*way) for detour in settings.detours for way in detour.ways}
        open_ = {way for way in outer if self.seen.up(way.device) and way not in self.refused}
        return standing, led(settings, state, self.seen.ours, open_) if settings.detours else state

    def _learn(self, refused: Iterable[Refused]) -> None:
        for change, code, text in refused:
            thing = change.thing
            way = None
            if isinstance(thing, Nexthop):
                way = WayOut(thing.family, thing.device, thing.via)
            elif isinstance(thing, Routes) and thing.kind.device:
                way = WayOut(thing.kind.family, thing.kind.device, thing.kind.via)
            if way:
                self.refused.setdefault(way, text)
            what = f"{way.device} via {way.via}" if way and way.via else way.device if way else label(change)
            level = logging.INFO if code == errno.ENOENT or way in self._complained else logging.WARNING
            unsaid = self._seldom.said((change.verb, label(change), what, text))
            if unsaid is not None:
                words = f"the kernel refused to {change.verb} {label(change)} ({what}): {text}{more(unsaid)}"
                log.log(level, "%s", words)
            if way:
                self._complained.add(way)

    def _look(self, standing: Standing) -> Standing:
        """Takes over what the kernel has now: a runner-up that stepped in is the choice from now on."""
        self.links = {path.path: self._link(path) for path in standing.settings.paths}
        present = self.present(standing)
        policies = [one.policy for one in standing.settings.policies]
        self.counts = {(policy, family): present.count(policy, family) for policy in policies for family in FAMILIES}
        real = {policy: present.choice(policy) for policy in standing.choices}
        moved = {policy: one for policy, one in real.items() if one.best not in (None, standing.choices[policy].best)}
        return standing.choosing(moved).trimmed()

    def _link(self, path: RoutePath) -> Link:
        why = why_not(path, self.seen, self.refused)
        return Link(path.path, not why, why, device=self.seen.up(path.device))


def examined(kernel: Kernel, settings: RouteSettings) -> tuple[Seen, tuple[Selection, ...]]:
    """What there is, and the selections of the settings there. Raises `RouteError` when something is in the way."""
    try:
        seen = kernel.read(settings, foreign=True)
        chosen = selections(settings, seen.ours.rules)
    except ValueError as error:
        raise RouteError(str(error)) from error
    if found := collision(settings, seen):
        raise RouteError(found)
    return seen, chosen


def _leads(choice: Choice, paths: Mapping[PathId, RoutePath], usable: AbstractSet[WayOut]) -> bool:
    return any(weighed(choice, paths, usable, family) for family in FAMILIES)
