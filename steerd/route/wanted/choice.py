"""A policy's choice, and the ways out of this machine that it comes to. Pure."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from steerd.config.family import IPV4
from steerd.config.route_settings import RoutePath, RoutePolicy, RouteSettings
from steerd.core.events import Share, Shares
from steerd.core.settings import PathId
from steerd.route.model.numbers import WayOut
from steerd.route.model.objects import BEST_WEIGHT, RUNNER_UP_WEIGHT
from steerd.route.model.prefixes import FAMILIES

LEAST_WEIGHT: Final = RUNNER_UP_WEIGHT + 1  # of a way out that shares traffic: distinguishes it from a runner-up


class Choice(NamedTuple):
    """``shares`` are empty when the best path has everything; else they have the best path first."""

    best: PathId | None
    runner_up: PathId | None = None
    shares: Shares = ()

    @property
    def paths(self) -> tuple[PathId, ...]:
        """All that carry something, or would: the best first, the runner-up last."""
        every = (self.best, *(share.path for share in self.shares), self.runner_up)
        return tuple(dict.fromkeys(path for path in every if path is not None))

    @property
    def carrying(self) -> tuple[PathId, ...]:
        """Those that carry something."""
        return tuple(path for path in self.paths if path != self.runner_up)

    def renamed(self, name: Callable[[PathId], PathId]) -> "Choice":
        """The same with its paths renamed."""
        return Choice(
            None if self.best is None else name(self.best),
            None if self.runner_up is None else name(self.runner_up),
            tuple(Share(name(share.path), share.part) for share in self.shares),
        )

    def among(self, known: AbstractSet[PathId]) -> "Choice":
        """Without the paths that are not known; nothing is left if the best is none of them."""
        if self.best not in known:
            return BLOCKED
        shares = tuple(share for share in self.shares if share.path in known)
        runner_up = self.runner_up if self.runner_up in known and self.runner_up != self.best else None
        return Choice(self.best, runner_up, shares if len(shares) > 1 else ())


BLOCKED: Final = Choice(None)


def devices(settings: RouteSettings, policy: RoutePolicy) -> frozenset[str]:
    """Those of the paths that the policy may use."""
    allowed = policy.allowed
    return frozenset(path.device for path in settings.paths if allowed is None or path.path in allowed)


def way_out(path: RoutePath, family: int) -> WayOut | None:
    """How the path leaves in this family; None when it does not carry it."""
    if family not in path.families:
        return None
    via = path.via if family == IPV4 else path.via6
    return WayOut(family, path.device, via or "")


def ways_out(paths: Iterable[RoutePath]) -> set[WayOut]:
    """All ways by which these paths leave."""
    return {way for path in paths for family in FAMILIES if (way := way_out(path, family))}


def weighed(
    choice: Choice, paths: Mapping[PathId, RoutePath], usable: AbstractSet[WayOut], family: int
) -> list[tuple[WayOut, int]]:
    """The ways out that this choice comes to, best first, with their weights in a group of 64 buckets: `BEST_WEIGHT` if
    one has everything, as much together for those that share, and `RUNNER_UP_WEIGHT`, which gets no bucket, for one
    that stands by. The first path with any usable way leads in both families: if it does not carry one of them, that
    family has no way, since traffic of one PoP must not appear at another."""
    known = [paths[name] for name in choice.paths if name in paths]
    alive = [path for path in known if not usable.isdisjoint(ways_out([path]))]
    ways = [(path.path, way_out(path, family)) for path in alive]
    if not ways or ways[0][1] not in usable:
        return []
    parts = {share.path: share.part for share in choice.shares}
    carried: dict[WayOut, float] = {}
    for name, way in ways:
        if way is not None and way in usable:
            carried[way] = carried.get(way, 0.0) + parts.get(name, 0.0)
    sharing = {way: part for way, part in carried.items() if part > 0.0}
    if len(sharing) < 2:
        return list(zip(carried, (BEST_WEIGHT, RUNNER_UP_WEIGHT), strict=False))
    standby = [(way, RUNNER_UP_WEIGHT) for way in carried if way not in sharing][:1]
    return [*zip(sharing, _weights(list(sharing.values())), strict=True), *standby]


def carrying(weighed: Iterable[tuple[WayOut, int]]) -> list[WayOut]:
    """Those of `weighed` ways that get packets."""
    ways = list(weighed)
    return [way for way, weight in ways if weight > RUNNER_UP_WEIGHT] or [way for way, _weight in ways[:1]]


def choice_of(named: Iterable[tuple[PathId, int]]) -> Choice:
    """The choice that a group of these weights stands for: the inverse of `weighed`."""
    members = list(named)
    sharing = [(path, weight) for path, weight in members if weight > RUNNER_UP_WEIGHT] or members[:1]
    standby = [path for path, _weight in members if path not in dict(sharing)]
    whole = sum(weight for _path, weight in sharing)
    shares = tuple(Share(path, weight / whole) for path, weight in sharing) if len(sharing) > 1 else ()
    return Choice(sharing[0][0] if sharing else None, standby[0] if standby else None, shares)


def _weights(parts: list[float]) -> list[int]:
    """Whole numbers that add up to `BEST_WEIGHT`, by largest remainder, none below `LEAST_WEIGHT`."""
    exact = [BEST_WEIGHT * part / sum(parts) for part in parts]
    weights = [int(one) for one in exact]
    order = sorted(range(len(parts)), key=lambda at: (weights[at] - exact[at], at))
    for at in order[: BEST_WEIGHT - sum(weights)]:
        weights[at] += 1
    for at, weight in enumerate(weights):
        if weight < LEAST_WEIGHT:
            weights[weights.index(max(weights))] -= LEAST_WEIGHT - weight
            weights[at] = LEAST_WEIGHT
    return weights
