"""What routing is to have the kernel do: settings, and what each policy has chosen under them. Pure."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from steerd.config.route_settings import RoutePath, RouteSettings
from steerd.core.settings import PathId, PolicyId
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft.guard import ExtraDevices, allowed
from steerd.route.observed.where import Ways
from steerd.route.wanted.adopt import names
from steerd.route.wanted.choice import BLOCKED, Choice
from steerd.route.wanted.choice import devices as devices_of
from steerd.route.wanted.selection import Selection


@dataclass(frozen=True, slots=True)
class Standing:
    """``choices`` has the policies in place; ``retired`` the paths these use that the settings do not name."""

    settings: RouteSettings
    selections: tuple[Selection, ...] = ()
    choices: Mapping[PolicyId, Choice] = field(default_factory=dict)
    retired: Mapping[PathId, RoutePath] = field(default_factory=dict)

    @property
    def named(self) -> Mapping[PathId, RoutePath]:
        """The paths that the settings name."""
        return {path.path: path for path in self.settings.paths}

    @property
    def paths(self) -> Mapping[PathId, RoutePath]:
        """All paths, also the retired ones."""
        return {**self.retired, **self.named}

    @property
    def chosen(self) -> AbstractSet[PathId]:
        """The paths that policies use."""
        return {path for choice in self.choices.values() for path in choice.carrying}

    def extra_devices(self, *, everything: bool = False) -> ExtraDevices:
        """The devices that carry each policy's traffic though none of its own paths has them: left over from another
        configuration. ``everything``: all of its devices, for while a new configuration takes over."""
        paths = self.paths
        found: dict[PolicyId, frozenset[str]] = {}
        for policy in self.settings.policies:
            own = devices_of(self.settings, policy)
            used = {paths[one].device for one in self.choices.get(policy.policy, BLOCKED).paths if one in paths}
            if more := own | used if everything else used - own:
                found[policy.policy] = frozenset(more)
        return found

    def ways(self, expected: Mapping[PolicyId, Mapping[int, AbstractSet[str]]]) -> dict[tuple[PolicyId, int], Ways]:
        """The devices that packets of each policy and family may leave by. ``expected``: that they are to leave by."""
        extra = self.extra_devices()
        return {
            (one.policy, family): Ways(
                expected.get(one.policy, {}).get(family, frozenset()), allowed(self.settings, one, extra)
            )
            for one in self.settings.policies
            for family in FAMILIES
        }

    def choosing(self, choices: Mapping[PolicyId, Choice]) -> "Standing":
        """With these choices besides the others."""
        return replace(self, choices={**self.choices, **choices})

    def trimmed(self) -> "Standing":
        """Without the retired paths that no choice uses."""
        used = {path for choice in self.choices.values() for path in choice.paths}
        return replace(self, retired={name: path for name, path in self.retired.items() if name in used})

    def under(self, settings: RouteSettings, selections: tuple[Selection, ...]) -> "Standing":
        """Under other settings: the choices of the policies that they have, with paths called as they call them."""
        paths = self.paths
        remaining = {one.policy for one in settings.policies}
        choices = {
            policy: choice.renamed(lambda path: names(settings, paths, path))
            for policy, choice in self.choices.items()
            if policy in remaining
        }
        named = {path.path for path in settings.paths}
        retired = {name: path for name, path in paths.items() if name not in named}
        return Standing(settings, selections, choices, retired).trimmed()

    def back_to(self, former: "Standing", since: "Standing") -> "Standing":
        """Under the former settings and their choices, but with those that policies made ``since`` it was taken up."""
        moved = {policy: choice for policy, choice in self.choices.items() if choice != since.choices.get(policy)}
        news = replace(self, choices=moved).under(former.settings, former.selections)
        retired = {**news.retired, **former.retired}
        return replace(former, choices={**former.choices, **news.choices}, retired=retired).trimmed()
