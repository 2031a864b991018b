"""What is said of each policy: what the kernel carries out, and whether its packets really go there."""

import logging
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from steerd.config.route_settings import RouteSettings
from steerd.core.events import Installed
from steerd.core.settings import PolicyId
from steerd.route.around.collisions import strange_routes
from steerd.route.kernel.kernel import Kernel
from steerd.route.kernel.regroup import stragglers
from steerd.route.kernel.verify import Verifier
from steerd.route.model.numbers import WayOut
from steerd.route.model.objects import Seen
from steerd.route.reconcile.absence import why_not
from steerd.route.reconcile.obstacles import Expected, Obstacles
from steerd.route.reconcile.peers import Peers
from steerd.route.wanted.choice import BLOCKED, Choice, carrying, way_out, ways_out, weighed
from steerd.route.wanted.present import Present

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What a pass found and did. ``installed`` has the policies whose state differs from what was told before."""

    installed: tuple[Installed, ...] = ()
    repairs: Mapping[str, int] = field(default_factory=dict)


class Account:
    """Remembers what was told last of each policy. ``observed``: what is wrong with its packets as counted, in words;
    ``expected``: the devices that they are to leave by, by family."""

    def __init__(self, kernel: Kernel, peers: Peers, obstacles: Obstacles) -> None:
        self._kernel = kernel
        self._peers = peers
        self._obstacles = obstacles
        self._verifier = Verifier(kernel)
        self.observed: Mapping[PolicyId, str] = {}
        self.expected: Mapping[PolicyId, Expected] = {}
        self._told: dict[PolicyId, Installed] = {}
        self._mismatches: dict[PolicyId, str] = {}
        self._known: dict[PolicyId, str | None] = {}  # obstacles, when packets were asked about last

    @property
    def remarks(self) -> tuple[str, ...]:
        """What may be in the way of some packets."""
        return self._obstacles.remarks

    @property
    def doubts(self) -> Mapping[tuple[PolicyId, int], str]:
        """As `Obstacles.doubts`."""
        return self._obstacles.doubts

    @property
    def partly(self) -> Mapping[tuple[PolicyId, int], str]:
        """As `Obstacles.partly`."""
        return self._obstacles.partly

    @property
    def filtered(self) -> AbstractSet[tuple[PolicyId, int]]:
        """As `Obstacles.filtered`."""
        return self._obstacles.filtered

    @property
    def marks(self) -> tuple[str, ...]:
        """As `Obstacles.marks`."""
        return self._obstacles.marks

    @property
    def wrong(self) -> bool:
        """Whether any policy's packets go where they should not."""
        return bool(self._mismatches)

    def keep(self, policies: AbstractSet[PolicyId]) -> None:
        """Forgets all others."""
        self._told = {policy: told for policy, told in self._told.items() if policy in policies}
        self._mismatches = {policy: words for policy, words in self._mismatches.items() if policy in policies}
        self._known = {policy: words for policy, words in self._known.items() if policy in policies}

    def tell(self, present: Present, policy: PolicyId, error: str | None = None) -> Installed:
        """What the kernel does for the policy, with what went wrong."""
        real = present.choice(policy)
        known = {path.path for path in present.settings.paths}
        if real.best is not None and real.best not in known:
            real, error = BLOCKED, error or f"still on {real.best}, which the configuration does not name"
        real = real.among(known)
        mismatch = None if error else self._mismatches.get(policy)
        told = self._told[policy] = Installed(policy, real.best, real.runner_up, error, mismatch, real.shares)
        return told

    def changed(self, present: Present, *, everything: bool = False) -> tuple[Installed, ...]:
        """What differs from what was told last, but for errors, which answer a `Steer`. ``everything``: all of it."""
        told = []
        for policy in present.choices:
            before = self._told.get(policy)
            now = self.tell(present, policy)
            if everything or before is None or now._replace(error=None) != before._replace(error=None):
                told.append(now)
        return tuple(told)

    def shortfall(
        self, present: Present, seen: Seen, refused: Mapping[WayOut, str], policy: PolicyId, choice: Choice
    ) -> str | None:
        """Why not all packets of the policy go as chosen; None: they do. ``refused``: ways out, with the words."""
        if choice.best is not None and present.choice(policy).best != choice.best:
            path = next(path for path in present.settings.paths if path.path == choice.best)
            if path.peer and (said := self._peers.why_not(path)):
                return said
            why = why_not(path, seen, refused) or "; ".join(
                sorted({refused[way] for way in ways_out([path]) & refused.keys()})
            )
            return f"path {path.path} cannot be used: {why or 'the kernel refused it'}"
        for family in present.families if present.nexthop_objects else ():
            group = present.state.groups.get(present.ids.groups.get((policy, family), 0))
            if group and (left := stragglers(self._kernel, present.settings, group)):
                return left
        return None

    def examine(
        self,
        present: Present,
        seen: Seen,
        refused: Mapping[WayOut, str],
        policies: AbstractSet[PolicyId] | None = None,
    ) -> None:
        """Asks the kernel where it sends packets of these policies, or of all. ``refused``: ways out that it refuses,
        with its words."""
        try:
            self._verifier.prepare(present.settings, present.selections, seen.devices)
        except OSError as error:
            log.warning("the gateway's addresses cannot be read: %s", error)
            return
        expected = self.expected = _expected(present, seen, refused)
        found = self._obstacles.look(present, seen, expected)
        for policy in sorted(present.choices.keys() if policies is None else policies):
            before = self._mismatches.pop(policy, None)
            self._known[policy] = found.get(policy)
            words = found.get(policy) or self._mismatch(policy, expected[policy])
            words = words or _nowhere(present, refused, policy, expected[policy])
            words = ": ".join(filter(None, (self.observed.get(policy), words)))
            if words:
                self._mismatches[policy] = words
                if words != before:
                    log.error("%s: %s", policy, words)
            elif before:
                log.info("%s: the kernel sends its packets where they should go again", policy)

    def obstructed(self, present: Present, seen: Seen, refused: Iterable[WayOut]) -> bool:
        """Whether what is in policies' way is something else than when the kernel was asked last."""
        found = self._obstacles.look(present, seen, _expected(present, seen, refused))
        return any(found.get(policy) != words for policy, words in self._known.items())

    def strangers(self, settings: RouteSettings) -> list[str]:
        """Routes of others in our tables, in words: not looked for unless packets go astray."""
        try:
            strange = strange_routes(settings, self._kernel.strange_routes(settings))
            return list(dict.fromkeys(one.words for one in strange))
        except OSError as error:
            log.warning("others' routes in steerd's tables cannot be read: %s", error)
            return []

    def _mismatch(self, policy: PolicyId, expected: Expected) -> str | None:
        try:
            return self._verifier.mismatch(policy, expected)
        except OSError as error:
            return f"netlink: {error}"


def _expected(present: Present, seen: Seen, refused: Iterable[WayOut]) -> dict[PolicyId, Expected]:
    usable = {way for way in ways_out(present.paths.values()) if seen.up(way.device)}.difference(refused)
    return {
        policy: {
            family: frozenset(way.device for way in carrying(weighed(choice, present.paths, usable, family)))
            for family in present.families
            if present.steers(policy, family)
        }
        for policy, choice in present.choices.items()
    }


def _nowhere(present: Present, refused: Mapping[WayOut, str], policy: PolicyId, expected: Expected) -> str | None:
    """Which family of the policy's packets has no way, though its path ought to carry it; None: all go somewhere."""
    best = present.choices[policy].best
    path = present.paths.get(best) if best is not None else None
    for family, ways in expected.items():
        way = None if path is None or ways else way_out(path, family)
        if way is not None and way in refused:
            return f"IPv{family} goes nowhere: the kernel does not send it by {best}: {refused[way]}"
    return None
