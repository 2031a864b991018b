"""Rules of others are remarked where policies' traffic meets them, and nowhere else."""

import struct
from dataclasses import replace

import pytest

from steerd.config.route_settings import Guard
from steerd.route.around.rules import Surrounding, foreign
from steerd.route.model import prefixes
from steerd.route.model.leads import Lead
from steerd.route.model.objects import FULL_MASK, MAIN, Action, Fra, RouteType, Rule
from tests.unit.test_route_desired import EVERYTHING, policy, settings

ALL = policy("all", 0, *EVERYTHING)
WAN, PATH_A = (Lead(4, RouteType.UNICAST, 0, (device,)) for device in ("wan", "a"))
LOCAL = Lead(4, RouteType.LOCAL)
DEFAULT = prefixes.DEFAULT[4]
AFTER, BEFORE = 5000, 100
KERNELS = [
    (2, Rule(4, 0, Action.LOOKUP, 255)),
    (2, Rule(4, 32766, Action.LOOKUP, MAIN)),
    (2, Rule(4, 32767, Action.LOOKUP, 253)),
    (2, Rule(6, 0, Action.LOOKUP, 255)),
    (2, Rule(6, 32766, Action.LOOKUP, MAIN)),
    (2, Rule(4, 1000, Action.LOOKUP, 0, other=((Fra.L3MDEV, b"\1"),))),
]
TABLES = {
    52: {WAN: prefixes.pack(4, ("100.64.1.2/32",))},
    77: {WAN: DEFAULT},
    88: {PATH_A: DEFAULT},
    100: {LOCAL: DEFAULT},
    MAIN: {WAN: DEFAULT},
    253: {},
}


def to(text, tos=0):
    entry = prefixes.pack(4, (text,))
    return ((Fra.DST, entry[:-1]), (0, bytes((tos, entry[-1]))))


def rule(priority, target=77, **rest):
    return Rule(4, priority, rest.pop("action", Action.LOOKUP), target, **rest)


def said(*rules, policies=(ALL,), protocol=4, guarded=True, **rest):
    around = Surrounding(
        [*KERNELS, *((protocol, one) for one in rules)],
        {"203.0.113.1"},
        {"wan"},
        lambda family, number: TABLES.get(number, {}) if family == 4 else {},
        guarded,
    )
    return [one.words for one in foreign(settings(*policies, **rest), around)]


def test_a_rule_after_ours_that_policies_keep_traffic_from_is_told_with_the_cure():
    (line,) = said(rule(AFTER, source="192.0.2.99/32"))
    assert line == (
        "rule 'from 192.0.2.99/32 priority 5000 lookup 77' comes after steerd's and gets no traffic of policy all: "
        "give it a priority below 4200, or leave its traffic out of the policy (from, iif, except)"
    )
    (line,) = said(rule(AFTER, source="192.0.2.99/32"), policies=(replace(ALL, guard=Guard.USUAL),))
    assert line.endswith("policy all: leave its traffic out of the policy (from, iif, except)")


def test_a_rule_before_ours_that_takes_traffic_of_policies_is_told_with_where_it_goes_and_the_cure():
    second = policy("second", 1, "10.0.0.0/8", sources=("192.0.2.0/24",))
    (line,) = said(rule(BEFORE, source="192.0.2.99/32"), policies=(ALL, second))
    assert line == (
        "rule 'from 192.0.2.99/32 priority 100 lookup 77' comes before steerd's and takes traffic of policy all and 1 "
        "more by wan: remove it, give it a priority above 4299, or leave its traffic out of the policy (from, iif, "
        "except)"
    )
    (line,) = said(rule(BEFORE), policies=(replace(ALL, guard=Guard.USUAL),))
    assert "takes traffic of policy all by wan, where the leak guard drops it: remove" in line
    assert "drops" not in said(rule(BEFORE), policies=(replace(ALL, guard=Guard.USUAL),), guarded=False)[0]


@pytest.mark.parametrize(
    "one",
    [
        rule(AFTER, 100, mark=1, mask=FULL_MASK),  # TPROXY
        rule(AFTER, 52),  # Tailscale's, with peers
        rule(AFTER, mark=0xCA6C, mask=FULL_MASK, invert=True),  # wg-quick's, of a tunnel that is no path
        rule(AFTER, MAIN, source="192.0.2.99/32"),
        rule(AFTER, 220, source="192.0.2.99/32"),  # though its table is empty
        rule(AFTER, MAIN, other=to("198.51.100.0/24")),
        rule(AFTER, 0, action=7, source="192.0.2.99/32"),
        rule(BEFORE, MAIN, source="192.0.2.99/32"),
        rule(BEFORE, mark=0x10, mask=0xFF),
        rule(BEFORE, iif="lan"),
        rule(BEFORE, 32766, action=Action.GOTO, source="192.0.2.99/32"),
        rule(BEFORE, 0, action=8, other=to("198.51.100.0/24")),
        rule(BEFORE, other=((Fra.DPORT_RANGE, struct.pack("=HH", 443, 443)),)),
    ],
)
def test_what_takes_traffic_or_misses_it_is_told(one):
    (line,) = said(one)
    assert "policy all" in line


@pytest.mark.parametrize(
    "one",
    [
        rule(AFTER, 52, suppress=32),
        rule(AFTER, 220),  # strongSwan's, without routes
        rule(BEFORE, 220),
        rule(BEFORE, 220, source="192.0.2.99/32"),
        rule(AFTER, MAIN, suppress=0),  # wg-quick's
        rule(BEFORE, MAIN, suppress=0),
        rule(AFTER, MAIN, mark=0x80000, mask=0xFF0000),  # Tailscale's
        rule(BEFORE, MAIN, mark=0x80000, mask=0xFF0000),
        rule(AFTER, 0, action=7, mark=0x80000, mask=0xFF0000),
        rule(AFTER, 88),
        rule(BEFORE, 88, mark=0xCA6C, mask=FULL_MASK, invert=True),  # wg-quick's, of a path
        rule(BEFORE, 100, mark=1, mask=FULL_MASK),  # TPROXY as it works
        rule(BEFORE, source="203.0.113.1/32"),  # for an address of this gateway's
        rule(BEFORE, iif="lo"),
        rule(BEFORE, iif="a"),
        rule(BEFORE, iif="wan"),
        rule(BEFORE, other=((Fra.UID_RANGE, struct.pack("=II", 0, 99)),)),
        rule(BEFORE, other=((Fra.OIFNAME, b"wan\0"),)),
        rule(AFTER, 0, action=7),  # for what nobody took
        rule(BEFORE, 150, action=Action.GOTO),
        rule(BEFORE, 0, action=Action.NOP),
        rule(BEFORE, 4200),
    ],
)
def test_what_cannot_concern_a_policy_is_not(one):
    assert said(one) == []


def test_the_kernels_own_and_ours_are_no_remarks():
    assert said() == []
    ours = Rule(4, 4231, Action.LOOKUP, 4200, iif="lo", invert=True)
    assert said(ours, protocol=210) == []


def test_only_policies_that_the_rule_can_meet_are_named():
    office = policy("office", 0, "10.0.0.0/8", sources=("192.168.50.0/24",))
    guests = policy("guests", 1, "10.0.0.0/8", iifs=("guest0",))
    marked = policy("marked", 2, "10.0.0.0/8", fwmark=(0x10, 0xF0))
    every = (office, guests, marked)
    (line,) = said(rule(BEFORE, source="192.168.50.7/32", iif="lan", mark=0x20, mask=0xFF), policies=every)
    assert "policy office by wan" in line
    (line,) = said(rule(BEFORE, source="192.168.60.7/32", iif="guest0"), policies=(office, guests))
    assert "policy guests by wan" in line
    assert said(rule(BEFORE, other=to("192.0.2.0/24")), policies=every) == []
    assert said(rule(BEFORE, 52), policies=every) == []
    own = policy("own", 0, "10.0.0.0/8", own_traffic=True)
    assert "policy own" in said(rule(BEFORE, iif="lo"), policies=(own,))[0]


def test_what_is_left_out_of_the_policy_is_the_rules_again():
    assert said(rule(AFTER, 52), policies=(policy("all", 0, "0.0.0.0/0", excepted=("100.64.0.0/10",)),)) == []
    assert said(rule(AFTER, 52), management=("100.64.0.0/10",)) == []
    assert said(rule(BEFORE, MAIN, mark=0x51, mask=FULL_MASK), bypass_mark=0x51) == []


def test_of_hundreds_the_first_are_named_and_the_rest_counted():
    rules = [rule(AFTER + n, source=f"192.0.2.{n}/32") for n in range(200)]
    lines = said(*rules, *(one._replace(priority=BEFORE + n) for n, one in enumerate(rules[:7])))
    assert len(lines) == 12
    assert lines[5] == "and 2 more rules of others come before steerd's and take policies' traffic"
    assert lines[-1] == "and 195 more rules of others come after steerd's and get none of policies' traffic"
    assert "'from 192.0.2.4/32 priority 5004 lookup 77'" in lines[10]


def test_a_rule_is_shown_as_ip_takes_it():
    other = (*to("198.51.100.0/24"), (Fra.IP_PROTO, b"\6"), (Fra.DPORT_RANGE, struct.pack("=HH", 80, 90)))
    (line,) = said(rule(BEFORE, other=other))
    assert "'to 198.51.100.0/24 ipproto 6 dport 80-90 priority 100 lookup 77'" in line
