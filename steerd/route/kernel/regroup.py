"""A switch in one message a family: the group that a policy's routes lead to gets other members."""

import errno
from collections.abc import Sequence

from steerd.config.route_settings import RouteSettings
from steerd.core.settings import PolicyId
from steerd.net.netlink import NetlinkError
from steerd.route.kernel.kernel import Kernel
from steerd.route.model.numbers import WayOut
from steerd.route.model.objects import RUNNER_UP_WEIGHT, Group, Seen, State
from steerd.route.wanted.choice import ways_out, weighed
from steerd.route.wanted.desired import group_of, idle_timers
from steerd.route.wanted.diff import Change, Verb, equivalent
from steerd.route.wanted.present import Present


def regroup(present: Present, policy: PolicyId, seen: Seen, *, pinning: bool) -> list[Change] | None:
    """The changes to groups that carry out the policy's choice on what was last read; None: others are needed. Pure."""
    settings, ids, choice = present.settings, present.ids, present.choices[policy]
    paths = {path.path: path for path in settings.paths}
    known = {WayOut(one.family, one.device, one.via) for one in seen.ours.nexthops.values()}
    usable = {way for way in ways_out(paths.values()) if way in known and seen.up(way.device)}
    timers = idle_timers(settings, pinning=pinning)
    changes: list[Change] = []
    for family in present.families:
        number = ids.groups.get((policy, family), 0)
        members = weighed(choice, paths, usable, family)
        group = seen.ours.groups.get(number)
        if group and members:
            wanted = group_of(members, policy, family, ids, idle_timer=timers.get(policy, 0))
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
    for verb, group in changes:
        if not isinstance(group, Group):
            raise TypeError(f"not a group: {group}")
        if verb == Verb.REMOVE:
            del groups[group.id]
        else:
            groups[group.id] = group
    gone = state.groups.keys() - groups.keys()
    routes = {kind: packed for kind, packed in state.routes.items() if kind.nexthop not in gone}
    return State(state.rules, state.nexthops, groups, routes)


def stragglers(kernel: Kernel, settings: RouteSettings, group: Group) -> str | None:
    """Moves every bucket to a member that is to carry packets, which a replace alone does not; returns what failed."""
    left = _elsewhere(kernel, group)
    if left:
        # Without the runner-up its buckets have to move; then it comes back, and gets none.
        without = group._replace(members=_sharing(group))
        kernel.apply([Change(Verb.REPLACE, without), Change(Verb.REPLACE, group)], settings)
        left = _elsewhere(kernel, group)
    words = f"{left} of {group.buckets} buckets of nexthop group {group.id} are not on the chosen path"
    return words if left else None


def _elsewhere(kernel: Kernel, group: Group) -> int:
    try:
        buckets = kernel.buckets(group.id)
    except NetlinkError as error:
        if error.errno == errno.ENOENT:  # died since: the next pass will tell
            return 0
        raise
    return buckets.total() - sum(buckets[number] for number, _weight in _sharing(group))


def _sharing(group: Group) -> tuple[tuple[int, int], ...]:
    return tuple(one for one in group.members if one[1] > RUNNER_UP_WEIGHT) or group.members[:1]
