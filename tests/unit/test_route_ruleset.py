"""The table of nftables stays small where no prefix needs to be told from another, and says the same all the same."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from steerd.config.family import IPV4
from steerd.config.route_settings import Flows, Guard, RoutePolicy, RouteSettings
from steerd.route.nft.classify import lookup
from steerd.route.nft.ruleset import Inputs, ruleset
from steerd.route.wanted.selection import selections
from tests.lab.test_route_world import path, policy, settings

MANY = tuple(f"10.{n // 256}.{n % 256}.0/25" for n in range(1000))
PATHS = (path(1, "a"), path(2, "b"))
BEHIND = Inputs(uplinks=frozenset({"wan"}))


def text(*policies: RoutePolicy, around: Inputs = BEHIND) -> str:
    given = settings(PATHS, policies)
    table = ruleset(given, selections(given), around)
    assert table is not None
    return table.whole


def test_where_all_is_pinned_no_prefix_is_listed() -> None:
    assert "10.0.1.0" not in text(policy("p", 0, *MANY, flows=Flows.AUTO))


def test_where_main_leaves_by_a_path_what_is_pinned_is_told_by_its_prefix() -> None:
    around = Inputs(uplinks=frozenset({"a"}))
    assert "10.0.1.0/25" in text(policy("p", 0, *MANY, flows=Flows.AUTO), around=around)


def test_what_moves_is_told_from_what_is_pinned() -> None:
    pinned = policy("p", 0, *MANY, flows=Flows.AUTO)
    moving = policy("m", 1, "10.0.0.0/22", flows=Flows.MOVE)
    found = text(pinned, moving)
    assert "10.0.1.0/25 : goto left" in found
    assert "10.0.1.128/25 : accept" in found
    assert "10.0.4.0" not in found.replace("10.0.4.0-", "")


def test_what_a_selection_leaves_over_is_asked_about_in_the_next() -> None:
    pinned = policy("guests", 0, "10.0.0.0/8", sources=("192.168.50.0/24",), flows=Flows.AUTO)
    for moving in (Flows.MOVE, Flows.CLIENT):
        found = text(pinned, policy("all", 1, "0.0.0.0/0", flows=moving))
        assert "10.0.0.0/8 : goto left" in found
        assert "0.0.0.0/0 : goto left" not in found


def test_a_client_is_remembered_by_families_and_paths_that_the_policy_has() -> None:
    def sets(one: RoutePolicy) -> list[str]:
        return sorted(re.findall(r"set clients_(\w+?)_\w{8} \{", text(one)))

    own = policy("p", 0, "10.0.0.0/8", flows=Flows.CLIENT)
    assert sets(own) == ["4200_1000000_4", "4200_2000000_4"]
    assert sets(replace(own, allowed=frozenset({"pop/b"}))) == ["4200_2000000_4"]
    both = policy("p", 0, "10.0.0.0/8", "2001:db8::/32", flows=Flows.CLIENT, allowed=frozenset({"pop/a"}))
    assert sets(both) == ["4200_1000000_4", "4200_1000000_6"]


def test_what_would_leave_by_the_same_devices_anyway_is_not_listed_in_the_guard() -> None:
    default = policy("all", 0, "0.0.0.0/0", "::/0", guard=Guard.USUAL)
    assert "10.0.1.0" not in text(default, policy("p", 1, *MANY))
    assert "10.0.1.0" in text(default, policy("p", 1, *MANY, excepted=("10.0.0.0/30",)))
    assert "10.0.1.0" in text(default, policy("p", 1, *MANY, guard=Guard.ALWAYS))


prefix = st.builds(
    lambda number, length: f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/{length}",
    st.integers(0, (1 << 32) - 1),
    st.integers(0, 32),
)


@given(st.lists(st.tuples(st.lists(prefix, min_size=1, max_size=6), st.booleans()), min_size=1, max_size=4), st.data())
def test_the_short_form_says_of_every_policys_packet_what_the_long_one_says(
    drawn: list[tuple[list[str], bool]], data: st.DataObject
) -> None:
    policies = [
        policy(f"p{order}", order, *texts, flows=Flows.AUTO if pinned else Flows.MOVE)
        for order, (texts, pinned) in enumerate(drawn)
    ]
    config: RouteSettings = settings(PATHS, tuple(policies))
    (selection,) = selections(config)

    def verdict(one: RoutePolicy) -> str:
        return "accept" if one.flows is Flows.MOVE else "goto left"

    long = lookup(config, selection, IPV4, verdict, None)
    short = lookup(config, selection, IPV4, verdict, "goto left")
    where = data.draw(st.sampled_from(sorted(long)))
    address = data.draw(st.integers(where.first, where.last))
    (same,) = [word for span, word in short.items() if span.first <= address <= span.last]
    assert same == long[where]


def test_a_policy_that_picks_packets_by_mark_is_guarded_by_mark() -> None:
    marked = policy("m", 0, "0.0.0.0/0", "::/0", guard=Guard.USUAL, fwmark=(0x10, 0xF0))
    found = text(marked)
    assert "meta nfproto ipv4 meta mark and 0xf0 == 0x10 jump guarded_0_4" in found
    assert "meta nfproto ipv6 meta mark and 0xf0 == 0x10 jump guarded_0_6" in found
