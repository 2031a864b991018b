"""A plan in words: what a reader wants to know before he reads commands."""

from steerd.config.route_settings import Guard
from steerd.core.settings import PathId, PolicyId
from steerd.route.model import prefixes
from steerd.route.model.objects import State
from steerd.route.wanted.choice import BLOCKED, Choice
from steerd.route.wanted.diff import Difference, difference
from steerd.route.wanted.outline import outline
from tests.unit.test_route_desired import EVERYTHING, policy, settings, wanted

NOTHING = Difference((), ())
P = PolicyId("p")
A, B = Choice(PathId("a"), PathId("b")), Choice(PathId("b"))


def said(one, before=None, after=None, changes=NOTHING, *, table=False):
    return outline(settings(one), before or {}, after or {}, changes, table=table)


def test_a_policy_without_a_choice_waits_for_it():
    first, last = said(policy("p", 0, *EVERYTHING))
    assert first == (
        "policy p: 0.0.0.0/0 and ::/0 of all that is forwarded: "
        "not steered yet; its rules and routes come with its first choice"
    )
    assert last == "the kernel already has all of it"


def test_where_it_goes_and_where_it_went():
    def goes(before, after):
        (first, _) = said(policy("p", 0, *EVERYTHING), {P: before} if before else {}, {P: after})
        return first.rpartition("forwarded: ")[2]

    assert goes(None, A) == "by a, from now on"
    assert goes(A, A) == "by a, as now"
    assert goes(A, B) == "by b, no longer by a"
    assert goes(A, BLOCKED) == "is blocked, no longer by a"
    assert goes(BLOCKED, B) == "by b, no longer blocked"
    assert goes(BLOCKED, BLOCKED) == "is blocked, as now"


def test_what_it_selects():
    one = policy(
        "p", 0, "10.0.0.0/8", excepted=("10.9.0.0/16",), sources=("192.0.2.9/32",), iifs=("lan0",), fwmark=(7, 7)
    )
    assert "10.0.0.0/8 but for 1 in except of what comes in from 192.0.2.9/32 by lan0 with mark 0x7: " in said(one)[0]
    own = policy("p", 0, "10.0.0.0/8", own_traffic=True)
    assert "10.0.0.0/8 of all that is forwarded and of this machine's own: " in said(own)[0]
    many = policy("p", 0, *(f"10.{n}.0.0/16" for n in range(200)))
    assert said(many)[0].startswith("policy p: 200 prefixes of all that is forwarded: ")


def test_objects_are_counted_by_kind():
    given = settings(policy("p", 0, *EVERYTHING))
    full = wanted(given, {P: A})
    routes = sum(prefixes.count(kind.family, packed) for kind, packed in full.routes.items())
    assert said(given.policies[0], {}, {P: A}, difference(State(), full))[1] == (
        f"in the kernel: next hops: {len(full.nexthops) + len(full.groups)} added; routes: {routes} set; "
        f"rules: {len(full.rules)} added"
    )
    gone = said(given.policies[0], {P: A}, {}, difference(full, State()))[1]
    assert "removed" in gone
    assert "added" not in gone
    assert "set" not in gone
    assert said(given.policies[0], {P: A}, {P: B}, difference(full, wanted(given, {P: B})))[1] == (
        "in the kernel: next hops: 2 replaced"
    )


def test_the_table_of_nftables_is_named_with_whom_it_guards():
    open_, guarded = policy("p", 0, *EVERYTHING), policy("p", 0, *EVERYTHING, guard=Guard.USUAL)
    assert said(open_, table=True)[1] == "in the kernel: table inet steerd of nftables"
    assert said(guarded, table=True)[1].endswith(", whose guard lets p leave by its paths only")
