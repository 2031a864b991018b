"""Settings and choices to kernel objects, as the `ip` commands that make them; and from one state to another."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.config.route_settings import Flows, OnStop, Prefixes, RoutePath, RoutePolicy, RouteSettings
from steerd.core.events import Share
from steerd.core.settings import PathId, PolicyId
from steerd.route.around.collisions import collision
from steerd.route.model import prefixes
from steerd.route.model.numbers import Ids, WayOut, allocate
from steerd.route.model.objects import (
    MAIN,
    Action,
    Device,
    Foreign,
    Group,
    Kind,
    Nexthop,
    Routes,
    RouteType,
    Rule,
    Seen,
    State,
)
from steerd.route.wanted import commands
from steerd.route.wanted.adopt import adopt
from steerd.route.wanted.choice import Choice, ways_out, weighed
from steerd.route.wanted.desired import Circumstances, desired, idle_timers
from steerd.route.wanted.diff import Verb, difference
from steerd.route.wanted.selection import selections

EVERYTHING = ("0.0.0.0/0", "::/0")


def path(number, device, via=None, via6=None, carries="46"):
    families = frozenset(int(one) for one in carries)
    return RoutePath(PathId(device), device, via, via6, families, device, number << 24, 4300 + number)


def packed(*texts):
    return Prefixes(prefixes.pack(4, texts), prefixes.pack(6, texts))


def policy(name, order, *texts, excepted=(), **rest):
    return RoutePolicy(PolicyId(name), 4200 + order, order, packed(*texts), packed(*excepted), **rest)


PATHS = (path(1, "a"), path(2, "b"), path(3, "c", via="192.0.2.1", carries="4"))


def settings(*policies, paths=PATHS, **rest):
    base = RouteSettings(210, 4200, 4200, 1000, 0xFF000000, 0, (), OnStop.KEEP, paths, policies)
    return replace(base, **rest)


def wanted(given, choices, *, down=(), objects=True, found=None, adopted=None):
    """The desired state with readable nexthop ids: 1, 2... for groups in order of policy, 11, 12... for paths."""
    ways = sorted(way for way in ways_out(given.paths))
    keys = sorted((one.policy, family) for one in given.policies for family in (4, 6))
    ids = Ids({key: n for n, key in enumerate(keys, 1)}, {way: n for n, way in enumerate(ways, 11)})
    usable = {way for way in ways if way.device not in down}
    chosen = selections(given, found.rules if found else ())
    return desired(given, chosen, choices, Circumstances({}, usable, ids, nexthop_objects=objects))


def lines(state, before=None):
    return commands.lines(difference(before or State(), state), 210)


def test_the_whole_of_a_small_gateway():
    given = settings(policy("p", 0, "10.0.0.0/8", "2001:db8::/32", excepted=("10.9.0.0/16",)), paths=PATHS[:2])
    assert lines(wanted(given, {"p": Choice("a", "b")})) == [
        "ip nexthop add id 11 dev a protocol 210",
        "ip nexthop add id 12 dev b protocol 210",
        "ip -6 nexthop add id 13 dev a protocol 210",
        "ip -6 nexthop add id 14 dev b protocol 210",
        "ip nexthop add id 1 group 11,255/12,1 type resilient buckets 64 idle_timer 0 protocol 210",
        "ip nexthop add id 2 group 13,255/14,1 type resilient buckets 64 idle_timer 0 protocol 210",
        "ip route replace throw 10.9.0.0/16 table 4200 metric 1024 protocol 210",
        "ip route replace 10.0.0.0/8 table 4200 nhid 1 metric 1024 protocol 210",
        "ip route replace default table 4301 dev a metric 1024 protocol 210",
        "ip route replace default table 4302 dev b metric 1024 protocol 210",
        "ip -6 route replace 2001:db8::/32 table 4200 nhid 2 metric 1024 protocol 210",
        "ip -6 route replace default table 4301 dev a metric 1024 protocol 210",
        "ip -6 route replace default table 4302 dev b metric 1024 protocol 210",
        "ip route replace unreachable 10.0.0.0/8 table 4200 metric 4294967295 protocol 210",
        "ip route replace unreachable default table 4301 metric 4294967295 protocol 210",
        "ip route replace unreachable default table 4302 metric 4294967295 protocol 210",
        "ip -6 route replace unreachable 2001:db8::/32 table 4200 metric 4294967295 protocol 210",
        "ip -6 route replace unreachable default table 4301 metric 4294967295 protocol 210",
        "ip -6 route replace unreachable default table 4302 metric 4294967295 protocol 210",
        "ip rule add fwmark 0x1000000/0xff000000 priority 4201 lookup 4301 protocol 210",
        "ip rule add fwmark 0x2000000/0xff000000 priority 4201 lookup 4302 protocol 210",
        "ip -6 rule add fwmark 0x1000000/0xff000000 priority 4201 lookup 4301 protocol 210",
        "ip -6 rule add fwmark 0x2000000/0xff000000 priority 4201 lookup 4302 protocol 210",
        "ip rule add priority 4202 lookup main suppress_prefixlength 0 protocol 210",
        "ip -6 rule add priority 4202 lookup main suppress_prefixlength 0 protocol 210",
        "ip rule add not iif lo priority 4231 lookup 4200 protocol 210",
        "ip -6 rule add not iif lo priority 4231 lookup 4200 protocol 210",
    ]


def test_a_policy_without_a_choice_is_not_in_place():
    shown = lines(wanted(settings(policy("p", 0, *EVERYTHING)), {}))
    assert not [line for line in shown if "4200" in line or "suppress" in line]


def test_a_switch_is_one_replace_per_family():
    given = settings(policy("p", 0, *EVERYTHING))
    before = wanted(given, {"p": Choice("a", "b")})
    assert lines(wanted(given, {"p": Choice("b", "a")}), before) == [
        "ip nexthop replace id 1 group 12,255/11,1 type resilient buckets 64 idle_timer 0 protocol 210",
        "ip nexthop replace id 2 group 15,255/14,1 type resilient buckets 64 idle_timer 0 protocol 210",
    ]


def test_blocking_is_one_removal_per_family_and_leaves_the_shadows():
    given = settings(policy("p", 0, *EVERYTHING, "10.0.0.0/8"))
    before = wanted(given, {"p": Choice("a", "b")})
    assert lines(wanted(given, {"p": Choice(None)}), before) == ["ip nexthop del id 1", "ip nexthop del id 2"]


@pytest.mark.parametrize(
    ("choice", "down", "v4", "v6"),
    [
        (Choice("a", "b"), (), "a b", "a b"),
        (Choice("a", "b"), ("a",), "b", "b"),
        (Choice("a", "b"), ("b",), "a", "a"),
        (Choice("a", "b"), ("a", "b"), "", ""),
        (Choice("c", "a"), (), "c a", ""),  # a family that the best lacks is not the runner-up's
        (Choice("a", "c"), (), "a c", "a"),
        (Choice("a", "c"), ("a",), "c", ""),
        (Choice("c", "a"), ("c",), "a", "a"),
        (Choice("a", "a"), (), "a", "a"),
        (Choice(None, None), (), "", ""),
    ],
)
def test_what_a_choice_comes_to(choice, down, v4, v6):
    state = wanted(settings(policy("p", 0, *EVERYTHING)), {"p": choice}, down=down)
    found = {
        family: " ".join(state.nexthops[number].device for number, _ in state.groups[group].members)
        if group in state.groups
        else ""
        for family, group in ((4, 1), (6, 2))
    }
    assert found == {4: v4, 6: v6}
    for family in (4, 6):
        assert state.routes[Kind(family, 4200, 0xFFFFFFFF, RouteType.UNREACHABLE)] == prefixes.DEFAULT[family]
        assert (Kind(family, 4200, 1024, RouteType.UNICAST, nexthop=family // 2 - 1) in state.routes) == bool(
            found[family]
        )


RULE_CASES = [
    ([policy("p", 0, *EVERYTHING)], ["not iif lo priority 4231 lookup 4200"]),
    (
        [policy("p", 0, "10.0.0.0/8", iifs=("eth1", "eth2"))],
        ["iif eth1 priority 4231 lookup 4200", "iif eth2 priority 4231 lookup 4200"],
    ),
    (
        [policy("p", 0, "10.0.0.0/8", sources=("192.168.1.0/24",))],
        ["priority 4299 nop", "iif lo priority 4230 goto 4299", "from 192.168.1.0/24 priority 4231 lookup 4200"],
    ),
    (
        [policy("p", 0, "10.0.0.0/8", sources=("192.168.1.0/24",), iifs=("eth1",))],
        ["from 192.168.1.0/24 iif eth1 priority 4231 lookup 4200"],
    ),
    (
        [policy("p", 0, "10.0.0.0/8", own_traffic=True)],
        ["iif lo priority 4210 lookup 4200", "not iif lo priority 4231 lookup 4200"],
    ),
    (  # equal selectors: one table, whatever the order
        [policy("p", 0, "10.0.0.0/8"), policy("q", 1, "10.1.0.0/16")],
        ["not iif lo priority 4231 lookup 4200"],
    ),
    (  # of two with equal selectors one steers own traffic too: a table for that alone
        [policy("p", 0, "10.0.0.0/8"), policy("q", 1, "10.1.0.0/16", own_traffic=True)],
        ["iif lo priority 4210 lookup 4299", "not iif lo priority 4231 lookup 4200"],
    ),
    (
        [policy("p", 0, "10.0.0.0/8", iifs=("eth1",)), policy("q", 1, "10.1.0.0/16")],
        ["iif eth1 priority 4231 lookup 4200", "not iif lo priority 4232 lookup 4201"],
    ),
]


@pytest.mark.parametrize(("policies", "rules"), RULE_CASES)
def test_rules_that_select(policies, rules):
    state = wanted(settings(*policies, paths=()), {one.policy: Choice(None) for one in policies})
    shown = [line for line in lines(state) if "ip rule" in line and "suppress" not in line]
    assert [line.removeprefix("ip rule add ").removesuffix(" protocol 210") for line in shown] == rules


def test_the_bypass_comes_first_and_never_reaches_a_policy():
    given = settings(policy("p", 0, "0.0.0.0/0", own_traffic=True), paths=(), bypass_mark=0x51)
    found = sorted(wanted(given, {"p": Choice(None)}).rules, key=lambda rule: rule.priority)
    assert [commands.rule(rule) for rule in found if rule.family == 4] == [
        "fwmark 0x51 priority 4200 lookup main",
        "priority 4202 lookup main suppress_prefixlength 0",
        "fwmark 0x51 priority 4203 goto 4299",
        "iif lo priority 4210 lookup 4200",
        "not iif lo priority 4231 lookup 4200",
        "priority 4299 nop",
    ]


@pytest.mark.parametrize("turn", [1, -1])
def test_what_goes_where_among_policies_with_equal_selectors(turn):
    policies = [
        policy("wide", 0, "0.0.0.0/0", "10.0.0.0/8", "10.9.9.0/24", excepted=("10.9.0.0/16",)),
        policy("narrow", 1, "10.1.0.0/16", "10.9.0.0/16", "198.51.100.0/25"),
    ][::turn]
    policies = [replace(one, order=n, table=4200 + n) for n, one in enumerate(policies)]
    given = settings(*policies, management=("198.51.100.0/24",), paths=PATHS[:2])
    state = wanted(given, {"wide": Choice("a"), "narrow": Choice("b")})
    narrow, wide = 1, 3

    def leads(address):
        found = [
            (entry[-1], -kind.metric, kind.nexthop or RouteType(kind.type).name)
            for kind, some in state.routes.items()
            if kind.table == 4200 and kind.family == 4
            for entry in prefixes.split(4, some)
            if ip_address(address) in ip_network(prefixes.text(4, entry))
        ]
        return max(found)[2]

    assert leads("8.8.8.8") == wide
    assert leads("10.2.0.1") == wide
    assert leads("10.1.0.1") == narrow
    assert leads("10.9.1.1") == narrow  # one leaves it to main, the other takes it
    assert leads("10.9.9.1") == narrow  # within what the wide one excepts: not its own
    assert leads("198.51.100.1") == "THROW"  # management, even where a policy is more specific
    assert leads("198.51.100.200") == "THROW"


def test_more_selectors_than_priorities():
    many = [policy(f"p{n}", n, "10.0.0.0/8", iifs=(f"eth{n}",)) for n in range(69)]
    with pytest.raises(ValueError, match="68 different selectors for forwarded"):
        selections(settings(*many))


def test_tables_stay_with_their_selectors():
    p, q = policy("p", 0, "10.0.0.0/8"), policy("q", 1, "10.0.0.0/8", iifs=("eth1",))
    before = wanted(settings(p, q), {"p": Choice("a"), "q": Choice("b")})
    turned = settings(replace(q, order=0, table=4200), replace(p, order=1, table=4201))
    assert {one.policies[0].policy: one.table for one in selections(turned, before.rules)} == {"p": 4200, "q": 4201}
    after = wanted(turned, {"p": Choice("a"), "q": Choice("b")}, found=before)
    assert {line.split()[1] for line in lines(after, before)} <= {"rule", "-6"}
    assert after.routes == before.routes


def test_numbers_do_not_depend_on_the_order():
    policies = [(PolicyId(f"p{n}"), family) for n in range(50) for family in (4, 6)]
    ways = [WayOut(4, f"eth{n}", "") for n in range(200)]
    given = settings()
    first = allocate(given, policies, ways, State(), {})
    assert allocate(given, policies[::-1], ways[::-1], State(), {}) == first
    assert len({*first.groups.values(), *first.nexthops.values()}) == 300
    # What exists keeps its number, and what is new keeps off it.
    taken = first.nexthops[ways[0]]
    there = State(nexthops={taken: Nexthop(taken, 4, "other"), 77_000: Nexthop(77_000, 4, "eth0")})
    again = allocate(given, policies, ways, there, {policies[0]: 1005})
    assert again.nexthops[ways[0]] == 77_000
    assert taken not in again.nexthops.values()
    assert again.groups[policies[0]] == 1005


# The difference between two states.


devices = st.sampled_from(["a", "b", "c"])
choices = st.builds(Choice, st.none() | devices, st.none() | devices)
texts = st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0"])
policies_drawn = st.builds(
    lambda name, order, some, left, iif, source, own: policy(
        name, order, *some, excepted=left, iifs=iif, sources=source, own_traffic=own
    ),
    st.sampled_from("pqr"),
    st.integers(0, 9),
    st.lists(texts, unique=True, min_size=1),
    st.lists(texts, max_size=1),
    st.sampled_from([(), ("eth1",), ("eth1", "eth2")]),
    st.sampled_from([(), ("192.168.0.0/16",), ("fd00::/8",)]),
    st.booleans(),
)


@st.composite
def states(draw):
    drawn = draw(st.lists(policies_drawn, unique_by=(lambda one: one.policy, lambda one: one.order), max_size=3))
    given = settings(*drawn, bypass_mark=draw(st.sampled_from([0, 0x51])), paths=draw(st.permutations(PATHS)))
    down = draw(st.sets(devices))
    active = {one.policy: draw(choices) for one in drawn if draw(st.booleans())}
    return wanted(given, active, down=down, objects=draw(st.booleans()))


def apply(state: State, changes) -> State:
    """What the kernel does, and refuses."""
    rules, nexthops, groups, routes = set(state.rules), dict(state.nexthops), dict(state.groups), {}
    for kind, some in state.routes.items():
        for entry in prefixes.split(kind.family, some):
            routes[kind.slot, entry] = kind
    for verb, thing in changes:
        match thing:
            case Rule() if verb == Verb.REMOVE:
                rules.remove(thing)
            case Rule():
                assert thing not in rules
                assert thing.action != Action.GOTO or any(one.priority == thing.target for one in rules)
                rules.add(thing)
            case Routes() if verb == Verb.REMOVE:
                for entry in prefixes.split(thing.kind.family, thing.prefixes):
                    del routes[thing.kind.slot, entry]
            case Routes():
                assert not thing.kind.nexthop or thing.kind.nexthop in groups
                for entry in prefixes.split(thing.kind.family, thing.prefixes):
                    routes[thing.kind.slot, entry] = thing.kind
            case Group() if verb == Verb.REMOVE:
                del groups[thing.id]
                routes = {key: kind for key, kind in routes.items() if kind.nexthop != thing.id}
            case Group():
                assert (thing.id in groups) == (verb == Verb.REPLACE)
                assert all(number in nexthops for number, _ in thing.members)
                groups[thing.id] = thing
            case Nexthop() if verb == Verb.REMOVE:
                assert not any(thing.id == number for one in groups.values() for number, _ in one.members)
                del nexthops[thing.id]
            case Nexthop():
                assert (thing.id in nexthops) == (verb == Verb.REPLACE)
                nexthops[thing.id] = thing
    collected: dict[Kind, list[bytes]] = {}
    for (_slot, entry), kind in routes.items():
        collected.setdefault(kind, []).append(entry)
    return State(frozenset(rules), nexthops, groups, {kind: prefixes.join(some) for kind, some in collected.items()})


@given(states(), states())
def test_the_difference_leads_from_one_state_to_the_other(actual, target):
    found = difference(actual, target)
    between = apply(actual, found.additions)
    # Nothing that is wanted is missing before anything is taken away.
    assert target.rules <= between.rules
    assert {**between.nexthops, **target.nexthops} == between.nexthops
    assert {**between.groups, **target.groups} == between.groups
    after = apply(between, found.removals)
    assert after == target
    assert not difference(after, target)
    assert all(change.verb != Verb.REMOVE for change in found.additions)
    assert all(change.verb == Verb.REMOVE for change in found.removals)


@given(states(), states())
def test_nothing_is_named_that_is_in_neither_state(actual, target):
    for change in (*(found := difference(actual, target)).additions, *found.removals):
        match change.thing:
            case Rule():
                assert change.thing in actual.rules | target.rules
            case Nexthop() | Group():
                assert change.thing.id in {**actual.nexthops, **actual.groups, **target.nexthops, **target.groups}
            case Routes(kind, some):
                known = actual.routes.get(kind, b"") + target.routes.get(kind, b"")
                assert set(prefixes.split(kind.family, some)) <= set(prefixes.split(kind.family, known))


@given(states(), states())
def test_no_rule_leads_to_a_table_before_it_is_filled(actual, target):
    current = actual
    for change in difference(actual, target).additions:
        current = apply(current, [change])
        if isinstance(change.thing, Rule) and change.thing.action == Action.LOOKUP and change.thing.target != MAIN:
            wanted_here = {kind for kind in target.routes if kind[:2] == (change.thing.family, change.thing.target)}
            assert wanted_here
            assert wanted_here <= set(current.routes)


@given(st.permutations(PATHS))
def test_what_is_there_is_adopted_whatever_the_order(turned):
    p = policy("p", 0, "10.0.0.0/8", "2001:db8::/32")
    for objects in (True, False):
        for choice in (Choice("a", "b"), Choice("b"), Choice("c", "a"), Choice(None)):
            before = wanted(settings(p), {"p": choice}, objects=objects)
            given = settings(replace(p, order=5, table=4205), paths=tuple(turned))
            found = adopt(given, selections(given, before.rules), before)
            assert found.choices == {"p": choice if objects else Choice(choice.best)}
            assert found.strangers == {}


# Collisions: those that a namespace cannot show.


def test_a_device_in_a_vrf():
    seen = Seen(State(), {"a": Device(3, "a", up=True, vrf=True)})
    assert "device a belongs to a VRF" in collision(settings(), seen)


@pytest.mark.parametrize(
    ("mark", "mask", "collides"),
    [
        (0x1000000, 0xFF000000, True),
        (0, 0x0F000000, True),
        (0x100, 0x3F00, False),  # mwan3
        (0x80000, 0xFF0000, False),  # tailscale
        (0xCA6C, 0xFFFFFFFF, False),  # WireGuard
        (0x8000CA6C, 0xFFFFFFFF, True),
        (0, 0, False),
    ],
)
def test_mark_bits_of_others(mark, mask, collides):
    foreign = Foreign(rules=((99, Rule(4, 99, Action.LOOKUP, 70, mark=mark, mask=mask)),))
    assert bool(collision(settings(), Seen(State(), {}, foreign))) == collides


def test_kernel_tables():
    assert "table 253 is the kernel's own (default)" in collision(settings(table=200), Seen(State(), {}))


# Packed prefixes.


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32))),
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 12)), max_size=3),
)
def test_outside(drawn, covers):
    some = {ip_network((address >> (32 - n) << (32 - n) if n else 0, n)) for address, n in drawn}
    taken = {ip_network((address << 24 >> (32 - n) << (32 - n) if n else 0, n)) for address, n in covers}
    found = prefixes.outside(4, prefixes.pack(4, map(str, some)), prefixes.pack(4, map(str, taken)))
    assert found == prefixes.pack(4, (str(one) for one in some if not any(one.subnet_of(cover) for cover in taken)))
    for one in some:
        entry = prefixes.pack(4, [str(one)])
        assert prefixes.holds(4, found, entry) == (entry in prefixes.split(4, found))


def test_policies_that_meet_in_own_traffic_only_do_not_quarrel():
    p = policy("p", 0, "10.0.0.0/8", iifs=("eth1",), own_traffic=True)
    q = policy("q", 1, "10.0.0.0/8", "10.1.0.0/16", iifs=("eth2",), own_traffic=True)
    state = wanted(settings(p, q), {"p": Choice("a"), "q": Choice("b")})
    own = {kind.nexthop: packed for kind, packed in state.routes.items() if kind.table == 4299 and kind.metric == 1024}
    blocked = wanted(settings(p, q), {"p": Choice("a"), "q": Choice(None)})
    for there, choices in (
        (state, {"p": Choice("a"), "q": Choice("b")}),
        (blocked, {"p": Choice("a"), "q": Choice(None)}),
    ):
        assert adopt(settings(p, q), selections(settings(p, q), there.rules), there).choices == choices
    assert own == {1: prefixes.pack(4, ["10.0.0.0/8"]), 3: prefixes.pack(4, ["10.1.0.0/16"])}


@pytest.mark.parametrize(
    ("choice", "down", "v4"),
    [
        (Choice("a", None, (Share("a", 0.5), Share("b", 0.5))), (), [("a", 128), ("b", 127)]),
        (Choice("b", None, (Share("b", 0.25), Share("a", 0.75))), (), [("b", 64), ("a", 191)]),
        (Choice("a", "c", (Share("a", 0.999), Share("b", 0.001))), (), [("a", 253), ("b", 2), ("c", 1)]),
        (Choice("a", "c", (Share("a", 0.5), Share("b", 0.5))), ("b",), [("a", 255), ("c", 1)]),
        (Choice("a", "c", (Share("a", 0.5), Share("b", 0.5))), ("a",), [("b", 255), ("c", 1)]),
        (Choice("a", None, (Share("a", 0.2), Share("b", 0.4), Share("c", 0.4))), ("a",), [("b", 128), ("c", 127)]),
    ],
)
def test_who_shares_has_a_part_of_the_buckets_and_who_stands_by_has_none(choice, down, v4):
    given = settings(policy("p", 0, *EVERYTHING, spread=3))
    ways = ways_out(given.paths)
    usable = {way for way in ways if way.device not in down}
    found = weighed(choice, {one.path: one for one in PATHS}, usable, 4)
    assert [(way.device, weight) for way, weight in found] == v4
    whole = sum(weight for _, weight in found)
    if found[-1][1] == 1:  # linux/net/ipv4/nexthop.c: DIV_ROUND_CLOSEST(buckets * weights so far, all weights)
        assert round(64 * (whole - 1) / whole) == 64


@pytest.mark.parametrize(
    ("flows", "pinning", "timer"), [("move", True, 1000), ("auto", True, 0), ("auto", False, 1000)]
)
def test_flows_keep_their_buckets_where_nothing_else_keeps_them_in_place(flows, pinning, timer):
    given = settings(policy("p", 0, *EVERYTHING, spread=2, flows=Flows(flows)), policy("q", 1, "10.0.0.0/8"))
    assert idle_timers(given, pinning=pinning) == ({"p": timer} if timer else {})


@pytest.mark.parametrize("shares", [(), (Share("a", 0.6), Share("b", 0.4)), (Share("b", 0.1), Share("a", 0.9))])
def test_shares_are_adopted_as_they_were(shares):
    choice = Choice(shares[0].path if shares else "a", "c" if shares else "b", shares)
    given = settings(policy("p", 0, *EVERYTHING, spread=2))
    found = adopt(given, selections(given, ()), wanted(given, {"p": choice})).choices["p"]
    assert found[:2] == choice[:2]
    assert [share.path for share in found.shares] == [share.path for share in shares]
    assert [share.part for share in found.shares] == pytest.approx([share.part for share in shares], abs=0.005)
