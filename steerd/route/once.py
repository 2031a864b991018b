"""What needs no daemon: cleaning up, and telling what would be done."""

from collections.abc import Mapping
from contextlib import suppress

from steerd.config.settings import Actuator, RouteSettings
from steerd.core.settings import PolicyId
from steerd.net.wireguard.device import WireGuardError
from steerd.route.around.collisions import collision
from steerd.route.around.surroundings import Surroundings
from steerd.route.error import RouteError
from steerd.route.kernel.kernel import Kernel
from steerd.route.model import prefixes
from steerd.route.model.numbers import allocate
from steerd.route.model.objects import Seen, State
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft.firewall import Firewall, ours
from steerd.route.nft.guard import ExtraDevices
from steerd.route.nft.protect import Protection
from steerd.route.reconcile.peers import Peers
from steerd.route.reconcile.standing import Standing
from steerd.route.wanted import commands
from steerd.route.wanted.adopt import Adopted, adopt, adopt_peers
from steerd.route.wanted.allowed_ips import lines
from steerd.route.wanted.choice import Choice, ways_out
from steerd.route.wanted.desired import Circumstances, desired
from steerd.route.wanted.diff import difference
from steerd.route.wanted.selection import Selection, selections

_ROUNDS = 3


def cleanup(settings: RouteSettings) -> int:
    """Removes every object that carries our protocol and lies within our ranges, and nothing else. Returns how many
    there were. Safe to repeat. Raises `RouteError` when something of ours cannot be removed."""
    # The guard goes last: until then no packet takes another way.
    return _remove_objects(settings) + _remove_allowed(settings) + _remove_table(settings)


def _remove_allowed(settings: RouteSettings) -> int:
    if settings.actuator is not Actuator.WIREGUARD:
        return 0
    with Peers(settings) as peers:
        try:
            return peers.remove(settings)
        except WireGuardError as error:
            raise RouteError(f"AllowedIPs could not be removed: {error.strerror or error}") from error


def _remove_table(settings: RouteSettings) -> int:
    with Firewall() as firewall:
        if not ours(firewall, settings):
            return 0
        try:
            firewall.hold(settings.nft_table, None)
        except OSError as error:
            raise RouteError(f"table inet {settings.nft_table} of nftables could not be removed: {error}") from error
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


def guard(settings: RouteSettings) -> bool:
    """Puts our table of nftables in place, as far as configuration and kernel tell what belongs into it: for the time
    before the daemon starts. Returns whether there is one to put. Raises `RouteError`."""
    with Kernel() as kernel, Protection() as protection, Surroundings() as surroundings:
        settings = surroundings.resolve(settings)
        protection.check(settings)
        seen = kernel.read(settings)
        chosen = selections(settings, seen.ours.rules)
        adopted = adopt(settings, chosen, seen.ours)
        extra = Standing(settings, chosen, adopted.choices, adopted.strangers).extra_devices()
        try:
            protection.hold(settings.nft_table, protection.describe(settings, chosen, seen.devices, extra))
        except OSError as error:
            raise RouteError(f"nftables: {error}") from error
        return protection.table is not None


def plan(settings: RouteSettings, choices: Mapping[PolicyId, Choice]) -> list[str]:
    """What these choices would change, as `ip` commands in order. Without one a policy stays. Raises `RouteError`."""
    with Kernel() as kernel, Surroundings() as surroundings:
        settings = surroundings.resolve(settings)
        seen = kernel.read(settings, foreign=True)
        try:
            chosen = selections(settings, seen.ours.rules)
        except ValueError as error:
            raise RouteError(str(error)) from error
        if found := collision(settings, seen):
            raise RouteError(found)
        adopted, moves = _peers(settings, adopt(settings, chosen, seen.ours), choices)
        wanted = {**adopted.choices, **choices}
        ways = ways_out([*settings.paths, *adopted.strangers.values()])
        policies = [(one.policy, family) for one in settings.policies for family in FAMILIES]
        ids = allocate(settings, policies, ways, seen.ours, adopted.groups)
        usable = {way for way in ways if seen.up(way.device)}
        circumstances = Circumstances(
            adopted.strangers, usable, ids, kernel.families, settings.nexthop_objects and kernel.nexthop_objects
        )
        state = desired(settings, chosen, wanted, circumstances)
        operations = commands.lines(difference(seen.ours, state), settings.protocol)
        extra = Standing(settings, chosen, wanted, adopted.strangers).extra_devices()
        return [*_table_lines(settings, chosen, seen, extra), *moves, *operations]


def _peers(settings: RouteSettings, adopted: Adopted, choices: Mapping[PolicyId, Choice]) -> tuple[Adopted, list[str]]:
    """What was adopted, by peer where that applies; and what moves from peer to peer, as commands."""
    with Peers(settings) as peers:
        peers.read()
        if peers.held is None:
            return adopted, []
        adopted = adopt_peers(settings, adopted, peers.held)
        paths = Standing(settings, retired=adopted.strangers).paths
        moves = lines(peers.due({**adopted.choices, **choices}, paths), peers.devices)
        return adopted, [*(f"# {words}" for words in peers.errors.values()), *moves]


def _table_lines(settings: RouteSettings, chosen: tuple[Selection, ...], seen: Seen, extra: ExtraDevices) -> list[str]:
    """What `nft` would be given, as a shell takes it; nothing if the table in the kernel has its version already."""
    with Protection(readonly=True) as protection:
        with suppress(OSError):  # the table's owner cannot be asked without privileges
            protection.check(settings)
        table = protection.describe(settings, chosen, seen.devices, extra)
        return [line for text in protection.changes(settings, table) for line in commands.nft_lines(text)]


def size(state: State) -> int:
    """How many kernel objects there are."""
    routes = sum(prefixes.count(kind.family, packed) for kind, packed in state.routes.items())
    return len(state.rules) + len(state.nexthops) + len(state.groups) + routes
