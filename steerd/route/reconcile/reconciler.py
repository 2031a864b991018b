"""Keeps the kernel as the settings and the choices want it. Synchronous: runs on one worker thread."""

import errno
import logging
from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from math import inf

from steerd.config.settings import RoutePath, RouteSettings
from steerd.core.effects import Steer
from steerd.core.events import Installed
from steerd.core.settings import PathId, PolicyId
from steerd.net.wireguard.device import WireGuardError
from steerd.route.around.collisions import collision
from steerd.route.conflicts.conflicts import Quarrel
from steerd.route.error import RouteError
from steerd.route.kernel.kernel import Kernel, Refused
from steerd.route.kernel.switch import regroup, regrouped, stragglers
from steerd.route.model.numbers import Ids, WayOut, allocate
from steerd.route.model.objects import Nexthop, Routes, Seen, State
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft.protect import Carrying, Protection, carrying
from steerd.route.reconcile.account import Account, Outcome
from steerd.route.reconcile.peers import Peers
from steerd.route.wanted.adopt import adopt, adopt_peers, names
from steerd.route.wanted.choice import BLOCKED, Choice, possible, ways_out
from steerd.route.wanted.desired import Circumstances, desired
from steerd.route.wanted.diff import Difference, difference, label, size
from steerd.route.wanted.present import Present
from steerd.route.wanted.selection import Selection, selections

log = logging.getLogger(__name__)

_AGAIN = 5.0
"""Seconds until the kernel is asked again about what it does otherwise than it should."""

_ROUNDS = 5
"""Attempts to reach the wanted state: a refused nexthop costs one, a change under our hands another."""


class Reconciler:
    """Owns the wanted state: settings and choices. After each call ``links`` and ``counts`` are as read back, and
    ``retry_at`` is when to `repair` again even if nothing is noticed, by the clock that `repair` is given.

    Without ``protection`` nothing is done in nftables.
    """

    def __init__(
        self, settings: RouteSettings, kernel: Kernel, protection: Protection | None = None, peers: Peers | None = None
    ) -> None:
        self.links: dict[PathId, bool] = {}
        self.counts: dict[tuple[PolicyId, int], int] = {}
        self._settings = settings
        self._kernel = kernel
        self._protection = protection
        self._objects = settings.nexthop_objects and kernel.nexthop_objects
        self._selections: tuple[Selection, ...] = ()
        self._choices: dict[PolicyId, Choice] = {}
        self._retired: dict[PathId, RoutePath] = {}
        self._ids = Ids({}, {})
        self._seen = Seen(State(), {})
        self._refused: dict[WayOut, str] = {}
        self._complained: set[WayOut] = set()
        self._former: dict[PolicyId, Choice] = {}
        self._peers = peers or Peers(settings)
        self._account = Account(kernel)
        self._quarrel = Quarrel()
        self.retry_at = inf

    # What the router asks for.

    def start(self) -> Outcome:
        """Checks, adopts, converges. Raises `RouteError`."""
        seen, chosen = self._check(self._settings)
        self._selections = chosen
        adopted = adopt(self._settings, chosen, seen.ours)
        self._peers.read()
        if self._peers.held is not None:
            adopted = adopt_peers(self._settings, adopted, self._peers.held)
        self._choices = adopted.choices
        self._retired = adopted.strangers
        self._ids = Ids(adopted.groups, {})
        self._seen = seen
        self._protect(self._carrying(), must=True)
        self._hold()  # what was half moved is not left so
        self._converge()
        self._protect(self._carrying())
        self._examine()
        return self._outcome(everything=True)

    @property
    def chosen(self) -> AbstractSet[PathId]:
        """The paths that policies use."""
        return {path for choice in self._choices.values() for path in choice.paths if path != choice.runner_up}

    @property
    def indexes(self) -> AbstractSet[int]:
        """The kernel's numbers of the paths' devices, as last read."""
        names = {path.device for path in self._settings.paths}
        return {one.index for name, one in self._seen.devices.items() if name in names}

    def steer(self, wanted: Steer) -> Installed:
        policy, choice = wanted.policy, Choice(wanted.best, wanted.runner_up, wanted.shares)
        if all(one.policy != policy for one in self._settings.policies):
            return Installed(policy, None, None, f"no policy {policy} is configured")
        known = {path.path for path in self._settings.paths}
        if choice.best is not None and choice.best not in known:
            return self._say(policy, f"no path {choice.best} is configured")
        choice = choice.among(known)
        fresh = policy not in self._choices
        self._former = {} if fresh else {policy: self._choices[policy]}
        self._choices[policy] = choice
        error = None
        try:
            self._hold()
            retired = set(self._retired)
            if fresh or not self._switch(policy, choice) or retired != set(self._retired):
                self._converge()
                self._protect(self._carrying())
            error = self._unfulfilled(policy, choice) or self._stragglers(policy)
            self._examine(policy)
        except OSError as failure:
            error = f"netlink: {failure}"
        self._former = {}
        return self._say(policy, error)

    def repair(self, now: float, *, calm: bool = True, remover: int = 0) -> Outcome:
        """Reads everything again and puts right what is not as wanted. ``now`` in seconds; ``calm``: no device came or
        went since the last look; ``remover``: the netlink address of who last removed something, as far as known."""
        before, complete = dict(self.links), not self._refused
        repairs: Counter[str] = Counter(nft=self.protect(now))
        moved = self._hold()
        # What goes with a device is nobody's work, and nor is what the kernel refused until now.
        self._quarrel.look(now, blame=calm and complete)
        first = self._converge()
        if self.links == before and complete:
            # What went with a device is the kernel's doing, not a meddler's, and what it refused until now
            # was never there: restored, but not counted.
            for change in (*first.additions, *first.removals):
                repairs[label(change)] += size(change)
            repairs["allowedips"] += moved
        self._protect(self._carrying())
        self._quarrel.report(remover)
        self._examine()
        self.retry_at = min(self._quarrel.deadline, now + _AGAIN if self._account.wrong else inf)
        return self._outcome(+repairs)

    def protect(self, now: float) -> bool:
        """Has nftables and main read again, and our table put right. Returns whether somebody had changed it."""
        changed = self._protect(self._carrying())
        if changed:
            self._quarrel.table_changed(self._settings.nft_table, now)
        return changed

    def size(self, path: PathId, mtu: int) -> None:
        """The largest packet that passes the path, in bytes."""
        if self._protection:
            self._protection.size(path, mtu)
            self._protect(self._carrying())

    def configure(self, settings: RouteSettings) -> Outcome:
        """Raises `RouteError` before anything is changed."""
        seen, chosen = self._check(settings)
        before, self._seen = self._carrying(everything=True), seen
        self._protect(before, settings, chosen, must=True)
        old, self._settings, self._selections = self._settings, settings, chosen
        self._peers.configure(settings)
        self._objects = settings.nexthop_objects and self._kernel.nexthop_objects
        former = {**self._retired, **{path.path: path for path in old.paths}}
        remaining = {one.policy for one in settings.policies}
        self._choices = {
            policy: choice.renamed(lambda path: names(settings, former, path))
            for policy, choice in self._choices.items()
            if policy in remaining
        }
        self._account.keep(remaining)
        self._quarrel = Quarrel()
        current = {path.path for path in settings.paths}
        self._retired = {name: path for name, path in former.items() if name not in current}
        self._drop_retired()
        self._hold()
        self._converge()
        self._remove_leftovers(old)
        self._protect(self._carrying())
        self._examine()
        return self._outcome(everything=True)

    def block(self) -> None:
        """Everything that any policy is about holds at its shadow."""
        self._choices = {one.policy: BLOCKED for one in self._settings.policies}
        self._converge()

    # How it is done.

    def _hold(self) -> int:
        """Has the peers have what their policies want, before any route leads there. Returns how much moved."""
        paths = {**self._retired, **{path.path: path for path in self._settings.paths}}
        return self._peers.hold(self._choices, paths)

    @property
    def _pinning(self) -> bool:
        return self._protection is not None and self._protection.pins(self._settings)

    def _check(self, settings: RouteSettings) -> tuple[Seen, tuple[Selection, ...]]:
        try:
            seen = self._kernel.read(settings, foreign=True)
            chosen = selections(settings, seen.ours.rules)
        except ValueError as error:
            raise RouteError(str(error)) from error
        if found := collision(settings, seen):
            raise RouteError(found)
        if not self._kernel.may_change(settings):
            raise RouteError("routes may not be changed here: steerd needs the capability CAP_NET_ADMIN")
        if self._protection:
            self._protection.check(settings)
        return seen, chosen

    def _protect(
        self,
        carry: Carrying,
        settings: RouteSettings | None = None,
        selections: tuple[Selection, ...] | None = None,
        *,
        must: bool = False,
    ) -> bool:
        """``must``: raises `RouteError`. Else what can not be is said, and tried again with the next look."""
        if self._protection is None:
            return False
        try:
            return self._protection.hold(
                settings or self._settings, selections or self._selections, self._seen.devices, carry
            )
        except OSError as error:
            if must:
                raise RouteError(f"nftables: {error}") from error
            log.error("nftables: %s", error)  # noqa: TRY400 (the message is nft's own; a traceback adds nothing)
            return False

    def _carrying(self, *, everything: bool = False) -> Carrying:
        paths = {**self._retired, **{path.path: path for path in self._settings.paths}}
        return carrying(self._settings, self._choices, paths, everything=everything)

    def _wanted(self, seen: Seen) -> State:
        settings = self._settings
        paths = [*settings.paths, *self._retired.values()]
        ways = ways_out(paths)
        policies = [(one.policy, family) for one in settings.policies for family in FAMILIES]
        self._ids = allocate(settings, policies, ways, seen.ours, self._ids.groups)
        usable = {way for way in ways if seen.up(way.device) and way not in self._refused}
        everyone = {path.path: path for path in paths}
        for policy, former in self._former.items():
            choice = self._choices[policy]
            if choice.best is not None and not _leads(choice, everyone, usable) and _leads(former, everyone, usable):
                # What is asked for can not be: better where it was than nowhere.
                self._choices[policy] = former
        circumstances = Circumstances(
            self._retired, usable, self._ids, self._kernel.families, self._objects, self._pinning
        )
        return desired(settings, self._selections, self._choices, circumstances)

    def _converge(self) -> Difference:
        """Until there is nothing left to change. Returns the first difference found."""
        self._refused = {}
        first: Difference | None = None
        for _ in range(_ROUNDS):
            seen = self._seen = self._kernel.read(self._settings)
            found = self._quarrel.leave(difference(seen.ours, self._wanted(seen)), self._settings.protocol)
            first = first or found
            if not found:
                break
            refused = self._kernel.apply(found.additions, self._settings)
            if not refused:
                # Never take away the old before the new stands.
                refused = self._kernel.apply(found.removals, self._settings)
            self._learn(refused)
        else:
            self._seen = self._kernel.read(self._settings)
            log.error("the kernel's state is still not as wanted after %d attempts", _ROUNDS)
        self._complained &= set(self._refused)
        self._look()
        return first or Difference((), ())

    def _learn(self, refused: list[Refused]) -> None:
        for change, code, text in refused:
            thing = change.thing
            way = None
            if isinstance(thing, Nexthop):
                way = WayOut(thing.family, thing.device, thing.via)
            elif isinstance(thing, Routes) and thing.kind.device:
                way = WayOut(thing.kind.family, thing.kind.device, thing.kind.via)
            if way:
                self._refused.setdefault(way, text)
            what = f"{way.device} via {way.via}" if way and way.via else way.device if way else label(change)
            level = logging.INFO if code == errno.ENOENT or way in self._complained else logging.WARNING
            log.log(level, "the kernel refused to %s %s (%s): %s", change.verb, label(change), what, text)
            if way:
                self._complained.add(way)

    def _look(self) -> None:
        """Takes over what the kernel has now: a runner-up that stepped in is the choice from now on."""
        self.links = {
            # A way that the kernel refuses in every family leads nowhere, whatever its device says.
            path.path: self._seen.up(path.device) and not ways_out([path]) <= self._refused.keys()
            for path in self._settings.paths
        }
        present = self._present()
        for policy, choice in self._choices.items():
            real = present.choice(policy)
            if real.best is not None and real.best != choice.best:
                self._choices[policy] = real
        self._drop_retired()
        self.counts = {
            (one.policy, family): present.count(one.policy, family)
            for one in self._settings.policies
            for family in FAMILIES
        }

    def _present(self) -> Present:
        return Present(
            self._settings,
            self._selections,
            self._ids,
            self._seen.ours,
            self._choices,
            self._retired,
            self._kernel.families,
            self._objects,
            self._peers.held,
        )

    def _drop_retired(self) -> None:
        used = {path for choice in self._choices.values() for path in choice.paths}
        self._retired = {name: path for name, path in self._retired.items() if name in used}

    def _switch(self, policy: PolicyId, choice: Choice) -> bool:
        """One message per family on what was last read. False: that was not enough, look again and converge."""
        if not self._objects:
            return False
        changes = regroup(
            self._settings,
            policy,
            choice,
            families=self._kernel.families,
            ids=self._ids,
            seen=self._seen,
            present=self._present(),
            pinning=self._pinning,
        )
        if changes is None:
            return False
        refused = self._kernel.apply(changes, self._settings)
        if refused:
            self._learn(refused)
            return False
        self._seen = Seen(regrouped(self._seen.ours, changes), self._seen.devices)
        self._look()
        return True

    def _remove_leftovers(self, old: RouteSettings) -> None:
        """What the former settings' ranges held outside of the present ones."""
        new = self._settings
        if self._protection and old.nft_table != new.nft_table:
            self._protection.remove(old.nft_table)
        try:
            self._peers.remove(old, but=self._peers.own)
        except WireGuardError as error:
            log.warning("what the former settings had peers be allowed can not be removed: %s", error)
        if (old.table, old.rule_priority, old.nexthop_base, old.protocol, old.mark_mask) == (
            new.table,
            new.rule_priority,
            new.nexthop_base,
            new.protocol,
            new.mark_mask,
        ):
            return
        had, have = self._kernel.read(old).ours, self._kernel.read(new).ours
        same = old.protocol == new.protocol
        left = State(
            had.rules - have.rules if same else had.rules,
            {number: one for number, one in had.nexthops.items() if number not in have.nexthops},
            {number: one for number, one in had.groups.items() if number not in have.groups},
            {kind: packed for kind, packed in had.routes.items() if not same or kind not in have.routes},
        )
        self._kernel.apply(difference(left, State()).removals, old)

    # What is said of it.

    def _unfulfilled(self, policy: PolicyId, choice: Choice) -> str | None:
        if choice.best is None or self._present().choice(policy).best == choice.best:
            return None
        path = next(path for path in self._settings.paths if path.path == choice.best)
        if path.peer and (said := self._peers.why_not(path)):
            return said
        if not self._seen.up(path.device):
            return f"device {path.device} of path {path.path} is down or not there"
        if not ways_out([path]):
            return f"path {path.path} has no next hop: main has no default route by {path.device}"
        words = {self._refused[way] for way in ways_out([path]) if way in self._refused}
        return f"path {path.path} can not be used: " + ("; ".join(sorted(words)) or "the kernel did not take it")

    def _stragglers(self, policy: PolicyId) -> str | None:
        """What of the policy's traffic is not on the chosen path yet."""
        if not self._objects:
            return None
        for family in self._kernel.families:
            group = self._seen.ours.groups.get(self._ids.groups.get((policy, family), 0))
            if group and (words := stragglers(self._kernel, self._settings, group)):
                return words
        return None

    def _examine(self, policy: PolicyId | None = None) -> None:
        """Asks the kernel where it sends the packets of this policy, or of all."""
        self._account.examine(self._present(), self._seen, self._refused, None if policy is None else {policy})
        if self._account.wrong:
            self.retry_at = 0.0

    def _say(self, policy: PolicyId, error: str | None = None) -> Installed:
        return self._account.say(self._present(), policy, error)

    def _outcome(self, repairs: Mapping[str, int] | None = None, *, everything: bool = False) -> Outcome:
        return Outcome(self._account.changed(self._present(), everything=everything), repairs or {})


def _leads(choice: Choice, paths: Mapping[PathId, RoutePath], usable: AbstractSet[WayOut]) -> bool:
    return any(possible(choice, paths, usable, family) for family in FAMILIES)
