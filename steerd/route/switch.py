"""A switch in one message a family: the group that a policy's routes lead to gets other members."""

import errno
from collections.abc import Sequence

from steerd.config.settings import RouteSettings
from steerd.core.settings import PolicyId
from steerd.route.desired import Choice, possible, ways_out, weigh
from steerd.route.diff import Change, Verb, equivalent
from steerd.route.kernel import Kernel
from steerd.route.netlink import NetlinkError
from steerd.route.numbers import Ids, WayOut
from steerd.route.objects import Group, Seen, State
from steerd.route.present import Present


def regroup(
    settings: RouteSettings,
    policy: PolicyId,
    choice: Choice,
    *,
    families: Sequence[int],
    ids: Ids,
    seen: Seen,
    present: Present,
) -> list[Change] | None:
    """The changes to groups that make the choice come true on what was last read; None: groups alone do not. Pure."""
    paths = {path.path: path for path in settings.paths}
    known = {WayOut(one.family, one.device, one.via) for one in seen.ours.nexthops.values()}
    usable = {way for way in ways_out(paths.values()) if way in known and seen.up(way.device)}
    changes: list[Change] = []
    for family in families:
        number = ids.groups.get((policy, family), 0)
        members = possible(choice, paths, usable, family)
        group = seen.ours.groups.get(number)
        if group and members:
            wanted = Group(number, weigh([ids.nexthops[way] for way in members]))
            if not equivalent(group, wanted):
                changes.append(Change(Verb.REPLACE, wanted))
        elif group:
            changes.append(Change(Verb.REMOVE, group))
        elif members and present.steers(policy, family):
            return None
    if choice.best is not None and usable.isdisjoint(ways_out([paths[choice.best]])):
        return None
    return changes


def regrouped(state: State, changes: Sequence[Change]) -> State:
    """What there is once the changes to groups are made: the kernel removes routes with the group they use. Pure."""
    groups = dict(state.groups)
    gone = set()
    for verb, group in changes:
        if not isinstance(group, Group):
            raise TypeError(f"not a group: {group}")
        if verb == Verb.REMOVE:
            gone.add(group.id)
            del groups[group.id]
        else:
            groups[group.id] = group
    routes = {kind: packed for kind, packed in state.routes.items() if kind.nexthop not in gone}
    return State(state.rules, state.nexthops, groups, routes)


def stragglers(kernel: Kernel, settings: RouteSettings, group: Group) -> str | None:
    """Has every bucket of the group be on its best member: a replace alone proves nothing. Returns what is not."""
    left = _elsewhere(kernel, group)
    if left:
        # A lone member gets every bucket; then the runner-up comes back, and gets none.
        lone = group._replace(members=group.members[:1])
        kernel.apply([Change(Verb.REPLACE, lone), Change(Verb.REPLACE, group)], settings)
        left = _elsewhere(kernel, group)
    if left:
        return f"{left} of {group.buckets} buckets of nexthop group {group.id} are not on the chosen path"
    return None


def _elsewhere(kernel: Kernel, group: Group) -> int:
    try:
        buckets = kernel.buckets(group.id)
    except NetlinkError as error:
        if error.errno == errno.ENOENT:  # died since: the next pass will tell
            return 0
        raise
    return buckets.total() - buckets[group.members[0][0]]
