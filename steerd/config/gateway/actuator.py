"""What steering from peer to peer of a WireGuard device asks of paths and policies."""

from collections.abc import Sequence
from itertools import chain, pairwise

from steerd.config.file.problem import Report
from steerd.config.gateway.document import Document
from steerd.config.gateway.policies import CheckedPolicy, selectors
from steerd.config.gateway.pops import CheckedPath, targets
from steerd.config.prefixes import each, pack, unpack
from steerd.config.values.addresses import is_address

_ACTUATOR = 'route.actuator = "wireguard"'


def check(tables: Document, paths: Sequence[CheckedPath], policies: Sequence[CheckedPolicy], report: Report) -> None:
    """Reports what ``route.actuator`` rules out, and what only goes with it."""
    if tables.route.actuator == "wireguard":
        _paths(paths, report)
        _policies(policies, report)
        _targets(paths, policies, report)
        return
    for path in paths:
        if path.written.peer is not None:
            report.error(f"{path.key}.peer", path.written.peer, f"must come with {_ACTUATOR}")


def _paths(paths: Sequence[CheckedPath], report: Report) -> None:
    seen: dict[tuple[str, str], str] = {}
    for path in paths:
        own = path.written
        if own.peer is None:
            if not report.touched(f"{path.key}.peer"):
                report.error(path.key, own.dev, f"must name its peer, as {_ACTUATOR}")
            continue
        other = seen.setdefault((own.dev, own.peer), path.key)
        if other != path.key:
            report.error(
                f"{path.key}.peer", own.peer, f"must be unique on its device: {report.told(other)} has this peer"
            )
        for name, via in (("via", own.via), ("via6", own.via6)):
            if via is not None:
                report.error(f"{path.key}.{name}", via, f"must be left out with {_ACTUATOR}: peers have no next hop")


def _policies(policies: Sequence[CheckedPolicy], report: Report) -> None:
    for policy in policies:
        key, own = f"policy[{policy.order}]", policy.written
        if own.spread > 1:
            report.error(f"{key}.spread", own.spread, f"must be 1 with {_ACTUATOR}: a prefix belongs to one peer")
        if own.flows in ("pin", "client"):
            allowed = f'must be "move" or left out with {_ACTUATOR}: a connection goes where its prefix does'
            report.error(f"{key}.flows", own.flows, allowed)
    for one, other in pairwise(policies):
        if selectors(one.written) != selectors(other.written):
            first = report.told(f"policy[{one.order}]")
            same = f"must have the from, iif and fwmark of {first} with {_ACTUATOR}, which knows no sources"
            report.error(f"policy[{other.order}]", other.written.name, same)


def _targets(paths: Sequence[CheckedPath], policies: Sequence[CheckedPolicy], report: Report) -> None:
    """The probes of a path stay with its peer only if its targets do."""
    steered = {one: policy.order for policy in policies for one in each(policy.prefixes)}
    for path in paths:
        for name, target in chain.from_iterable(targets(path.written).values()):
            if not is_address(target):
                continue
            order = steered.get(pack(target))
            if order is not None:
                of = report.told(f"policy[{order}]")
                allowed = f"must not be a prefix of a policy, as {unpack(pack(target))} is of {of}"
                report.error(f"{path.key}.{name}", target, f"{allowed}: it would move to another peer")
