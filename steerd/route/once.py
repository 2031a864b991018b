"""What needs no daemon: cleaning up, and telling what would be done."""

from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from steerd.config.route_settings import Actuator, RouteSettings
from steerd.core.settings import PolicyId
from steerd.net.wireguard.device import WireGuardError
from steerd.route.around.surroundings import Surroundings
from steerd.route.error import RouteError
from steerd.route.kernel.kernel import Kernel
from steerd.route.model import prefixes
from steerd.route.model.objects import Seen, State
from steerd.route.nft.counters import table_name
from steerd.route.nft.firewall import Firewall, ours
from steerd.route.nft.protect import Protection
from steerd.route.reconcile.convergence import Convergence, examined
from steerd.route.reconcile.peers import Peers
from steerd.route.reconcile.standing import Standing
from steerd.route.wanted import commands
from steerd.route.wanted.adopt import adopt
from steerd.route.wanted.allowed_ips import lines
from steerd.route.wanted.choice import Choice
from steerd.route.wanted.diff import difference
from steerd.route.wanted.outline import outline
from steerd.route.wanted.selection import selections

_ROUNDS = 3


def cleanup(settings: RouteSettings) -> int:
    """Removes every object that carries our protocol and lies within our ranges, and nothing else. Returns how many
    there were. Safe to repeat. Raises `RouteError` when something of ours cannot be removed."""
    # The guard goes last: until then no packet takes another way.
    found = _remove_table(settings, table_name(settings)) + _remove_objects(settings) + _remove_allowed(settings)
    return found + _remove_table(settings, settings.nft_table)


def _remove_allowed(settings: RouteSettings) -> int:
    if settings.actuator is not Actuator.WIREGUARD:
        return 0
    with Peers(settings) as peers:
        try:
            return peers.remove(settings)
        except WireGuardError as error:
            raise RouteError(f"AllowedIPs could not be removed: {error.strerror or error}") from error


def _remove_table(settings: RouteSettings, name: str) -> int:
    with Firewall() as firewall:
        if not ours(firewall, settings, name):
            return 0
        try:
            firewall.hold(name, None)
        except OSError as error:
            raise RouteError(f"table inet {name} of nftables could not be removed: {error}") from error
    return 1


def _remove_objects(settings: RouteSettings) -> int:
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


def guard(settings: RouteSettings, *, replace: bool = True) -> bool:
    """Puts our table of nftables in place, as far as configuration and kernel tell what belongs into it: for the time
    before the daemon starts. Not to ``replace`` leaves one of ours that is there as it is: it may know more. Returns
    whether there is one. Raises `RouteError`."""
    with Kernel() as kernel, Protection() as protection, Surroundings() as surroundings:
        settings = surroundings.resolve(settings)
        protection.check(settings)
        if not replace and protection.stands(settings):
            return True
        seen = kernel.read(settings)
        chosen = selections(settings, seen.ours.rules)
        adopted = adopt(settings, chosen, seen.ours)
        extra = Standing(settings, chosen, adopted.choices, adopted.strangers).extra_devices()
        try:
            protection.hold(settings.nft_table, protection.describe(settings, chosen, seen.devices, extra))
        except OSError as error:
            raise RouteError(f"nftables: {error}") from error
        return protection.table is not None


class Plan(NamedTuple):
    """``words`` is it in short, policy by policy; ``lines`` are the commands in order, as a shell takes them."""

    words: list[str]
    lines: list[str]


def plan(settings: RouteSettings, choices: Mapping[PolicyId, Choice]) -> Plan:
    """What these choices would change. Without one a policy stays. Raises `RouteError`."""
    with Kernel() as kernel, Surroundings() as surroundings, Peers(settings) as peers:
        settings = surroundings.resolve(settings)
        seen, chosen = examined(kernel, settings)
        adopted = peers.adopt(settings, adopt(settings, chosen, seen.ours))
        standing = Standing(settings, chosen, {**adopted.choices, **choices}, adopted.strangers)
        convergence = Convergence(kernel, peers, lambda _: False)
        convergence.adopt(seen, adopted.groups)
        _, state = convergence.wanted(standing, {})
        table, changes = _table_lines(standing, seen), difference(seen.ours, state)
        return Plan(
            outline(settings, adopted.choices, standing.choices, changes, table=bool(table)),
            [
                *table,
                *(f"# {words}" for words in peers.errors.values()),
                *lines(peers.due(standing.choices, standing.paths), peers.devices),
                *commands.lines(changes, settings.protocol),
            ],
        )


def _table_lines(standing: Standing, seen: Seen) -> list[str]:
    """What `nft` would be given, as a shell takes it; nothing if the table in the kernel has its version already."""
    settings = standing.settings
    with Protection(readonly=True) as protection:
        with suppress(OSError):  # the table's owner cannot be asked without privileges
            protection.check(settings)
        table = protection.describe(settings, standing.selections, seen.devices, standing.extra_devices())
        return [line for text in protection.changes(settings, table) for line in commands.nft_lines(text)]


def size(state: State) -> int:
    """How many kernel objects there are."""
    routes = sum(prefixes.count(kind.family, packed) for kind, packed in state.routes.items())
    return len(state.rules) + len(state.nexthops) + len(state.groups) + routes
