"""What settings that are no longer in force left in ranges that only they had. Synchronous: for one thread."""

import logging

from steerd.config.settings import RouteSettings
from steerd.net.wireguard.device import WireGuardError
from steerd.route.kernel.kernel import Kernel
from steerd.route.model.objects import State
from steerd.route.nft.protect import Protection
from steerd.route.reconcile.peers import Peers
from steerd.route.wanted.diff import difference

log = logging.getLogger(__name__)


def remove_leftovers(
    old: RouteSettings, new: RouteSettings, kernel: Kernel, protection: Protection, peers: Peers
) -> None:
    """Remove what the former settings' ranges hold outside of the present ones. Raises `OSError`."""
    if old.nft_table != new.nft_table:
        protection.remove(old.nft_table)
    try:
        peers.remove(old, but=peers.own)
    except WireGuardError as error:
        log.warning("AllowedIPs of the former settings cannot be removed: %s", error)
    if _ranges(old) == _ranges(new):
        return
    had, have = kernel.read(old).ours, kernel.read(new).ours
    same = old.protocol == new.protocol
    left = State(
        had.rules - have.rules if same else had.rules,
        {number: one for number, one in had.nexthops.items() if number not in have.nexthops},
        {number: one for number, one in had.groups.items() if number not in have.groups},
        {kind: packed for kind, packed in had.routes.items() if not same or kind not in have.routes},
    )
    kernel.apply(difference(left, State()).removals, old)


def _ranges(settings: RouteSettings) -> tuple[int, ...]:
    return settings.table, settings.rule_priority, settings.nexthop_base, settings.protocol, settings.mark_mask
