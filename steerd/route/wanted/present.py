"""What the kernel does for each policy now, read from its state in the configuration's words. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from steerd.config.route_settings import RoutePath, RouteSettings
from steerd.core.settings import PathId, PolicyId
from steerd.route.model import prefixes
from steerd.route.model.numbers import Ids
from steerd.route.model.objects import METRIC, Kind, RouteType, State
from steerd.route.wanted.adopt import name_of, name_of_peer, ways_of
from steerd.route.wanted.allowed_ips import Held
from steerd.route.wanted.choice import BLOCKED, Choice, choice_of, way_out
from steerd.route.wanted.desired import steered
from steerd.route.wanted.selection import Selection


@dataclass(frozen=True, slots=True)
class Present:
    """``choices`` are those asked for: of two names for one way out, theirs is the right one. ``held``: which peer of a
    device has a policy's prefixes, where that tells one way out from another."""

    settings: RouteSettings
    selections: tuple[Selection, ...]
    ids: Ids
    state: State
    choices: Mapping[PolicyId, Choice]
    retired: Mapping[PathId, RoutePath]
    families: tuple[int, ...]
    nexthop_objects: bool
    held: Held | None = None

    @property
    def paths(self) -> dict[PathId, RoutePath]:
        """All paths by name, also the retired ones."""
        return {**self.retired, **{path.path: path for path in self.settings.paths}}

    def choice(self, policy: PolicyId) -> Choice:
        """The choice that the kernel carries out; an empty one if nothing leads on."""
        asked = self.choices.get(policy, BLOCKED)
        paths = self.paths
        for family in self.families:
            kind = self._kind(policy, family)
            ways = ways_of(self.state, kind) if kind else []
            if not ways:
                continue
            strangers = dict(self.retired)
            found: list[tuple[PathId, int]] = []
            for way, weight in ways:
                if self.held is not None:
                    if (peer := self.held.get((policy, way.device))) is not None:
                        found.append((name_of_peer(paths, way.device, peer, strangers), weight))
                    continue
                same = [one for one in asked.paths if one in paths and way_out(paths[one], family) == way]
                found.append((same[0] if same else name_of(self.settings, way, strangers), weight))
            return choice_of(found)
        return BLOCKED

    def count(self, policy: PolicyId, family: int) -> int:
        """How many of the policy's prefixes lead on."""
        kind = self._kind(policy, family)
        if kind is None:
            return 0
        packed = self.state.routes[kind]
        mine = self._prefixes(policy, family)
        if packed == mine or self.nexthop_objects:
            return prefixes.count(family, packed)
        # Without groups, policies that share a table and a way out share a kind of route.
        return len(set(prefixes.split(family, packed)).intersection(prefixes.split(family, mine)))

    def steers(self, policy: PolicyId, family: int) -> bool:
        """Whether the policy is about this family at all."""
        return bool(self._prefixes(policy, family))

    def _kind(self, policy: PolicyId, family: int) -> Kind | None:
        tables = (one.table for one in self.selections if any(each.policy == policy for each in one.policies))
        table = next(tables, 0)
        if self.nexthop_objects:
            kind = Kind(family, table, METRIC, RouteType.UNICAST, nexthop=self.ids.groups.get((policy, family), 0))
            return kind if kind in self.state.routes and kind.nexthop in self.state.groups else None
        sample = self._prefixes(policy, family)[: prefixes.WIDTH[family]]
        if not sample or policy not in self.choices:
            return None
        for kind, packed in self.state.routes.items():
            leads = kind.slot == (family, table, METRIC) and kind.type == RouteType.UNICAST
            if leads and prefixes.holds(family, packed, sample):
                return kind
        return None

    def _prefixes(self, policy: PolicyId, family: int) -> bytes:
        management = prefixes.pack(family, self.settings.management)
        return next((steered(one, family, management) for one in self.settings.policies if one.policy == policy), b"")
