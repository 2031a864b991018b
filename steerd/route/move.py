"""Lets go of what is pinned to other paths than a policy's own now, so that all of it goes by these. Synchronous."""

from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Interface
from typing import NamedTuple

from steerd.config.route_settings import Flows, RoutePath, RoutePolicy
from steerd.core.settings import PathId, PolicyId
from steerd.route.error import RouteError
from steerd.route.kernel.clients import forget_clients
from steerd.route.kernel.conntrack import Pinned, let_go, pinned
from steerd.route.nft.protect import Protection
from steerd.route.owners import Owners
from steerd.route.reconcile.standing import Standing
from steerd.route.wanted.choice import BLOCKED


class Moved(NamedTuple):
    """``paths`` carry the policy. ``let_go``: how many connections were. ``unsure``: how many may be another policy's
    as well, and stay."""

    paths: tuple[PathId, ...]
    let_go: int
    unsure: int


def move(
    standing: Standing,
    protection: Protection,
    addresses: Mapping[str, Sequence[IPv4Interface | IPv6Interface]],
    name: PolicyId,
) -> Moved:
    """Lets go of the policy's connections, and clients, on paths that do not carry it: their next packets go by those
    that do. ``addresses`` are the gateway's own, by device. Raises `RouteError` if none does; `NetlinkError`."""
    settings, paths = standing.settings, standing.choices.get(name, BLOCKED).carrying
    policy = next((one for one in settings.policies if one.policy == name), None)
    if policy is None or not paths:
        raise RouteError(f"{name} has no path now: what is pinned stays where it is")
    left = {path.mark: path for path in settings.paths if path.path not in paths}
    owners = Owners(settings, standing.selections, addresses)
    sets = protection.clients(left, policy)
    gone, unsure = 0, 0
    # Twice, where clients are kept: a packet that is on its way meanwhile may bring its sender back once.
    for _ in (1, 2) if sets else (1,):
        forget_clients(settings.nft_table, sets)
        mine, others = _told(owners, policy, pinned(left, settings.mark_mask), left)
        gone, unsure = gone + let_go(mine, settings.mark_mask), len(others)
    return Moved(paths, gone, unsure)


def _told(
    owners: Owners, policy: RoutePolicy, found: Collection[Pinned], paths: Mapping[int, RoutePath]
) -> tuple[list[Pinned], list[Pinned]]:
    """Those that are the policy's, and those that may be."""
    mine: list[Pinned] = []
    unsure: list[Pinned] = []
    for one in found:
        may = [
            owner
            for owner in owners.of(one.family, one.source, one.destination)
            if owner is policy or _may_be_on(owner, paths[one.mark])
        ]
        if policy in may:
            (mine if len(may) == 1 else unsure).append(one)
    return mine, unsure


def _may_be_on(policy: RoutePolicy, path: RoutePath) -> bool:
    return policy.flows is not Flows.MOVE and (policy.allowed is None or path.path in policy.allowed)
