"""What needs no daemon: cleaning up, and saying what would be done."""

from collections.abc import Mapping

from steerd.config.settings import RouteSettings
from steerd.core.settings import PathId, PolicyId
from steerd.route import commands, prefixes
from steerd.route.adopt import adopt
from steerd.route.collisions import collision
from steerd.route.desired import Choice, Circumstances, desired, ways_out
from steerd.route.diff import difference
from steerd.route.error import RouteError
from steerd.route.kernel import Kernel
from steerd.route.numbers import allocate
from steerd.route.objects import State
from steerd.route.prefixes import FAMILIES
from steerd.route.selection import selections

_ROUNDS = 3


def cleanup(settings: RouteSettings) -> int:
    """Removes every object that carries our protocol and lies within our ranges; nothing else is touched.

    Returns how many there were. Safe to repeat. Raises `RouteError` when something of ours cannot be removed.
    """
    with Kernel() as kernel:
        state = kernel.read(settings).ours
        found = size(state)
        refused = []
        for _ in range(_ROUNDS):
            removals = difference(state, State()).removals
            if not removals:
                return found
            refused = kernel.apply(removals, settings)
            state = kernel.read(settings).ours
        if size(state):
            words = "; ".join(sorted({one.text for one in refused})) or "it comes back"
            raise RouteError(f"{size(state)} of {found} kernel objects could not be removed: {words}")
        return found


def plan(settings: RouteSettings, choices: Mapping[PolicyId, tuple[PathId | None, PathId | None]]) -> list[str]:
    """What would be done now for these choices, as `ip` command lines in their order. Changes nothing.

    A policy without an entry keeps what it has. Raises `RouteError` on a collision.
    """
    with Kernel() as kernel:
        seen = kernel.read(settings, foreign=True)
        try:
            chosen = selections(settings, seen.ours.rules)
        except ValueError as error:
            raise RouteError(str(error)) from error
        if found := collision(settings, seen):
            raise RouteError(found)
        adopted = adopt(settings, chosen, seen.ours)
        wanted = adopted.choices | {policy: Choice(*choice) for policy, choice in choices.items()}
        ways = ways_out([*settings.paths, *adopted.strangers.values()])
        policies = [(one.policy, family) for one in settings.policies for family in FAMILIES]
        ids = allocate(settings, policies, ways, seen.ours, adopted.groups)
        usable = {way for way in ways if (device := seen.devices.get(way.device)) and device.up}
        circumstances = Circumstances(
            adopted.strangers, usable, ids, kernel.families, settings.nexthop_objects and kernel.nexthop_objects
        )
        state = desired(settings, chosen, wanted, circumstances)
        return commands.lines(difference(seen.ours, state), settings.protocol)


def size(state: State) -> int:
    """How many kernel objects there are."""
    routes = sum(prefixes.count(kind.family, packed) for kind, packed in state.routes.items())
    return len(state.rules) + len(state.nexthops) + len(state.groups) + routes
