"""Which share of a policy's addresses main's routes have between them, whatever pieces they are in."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.route.model import prefixes
from steerd.route.model.leads import Lead
from steerd.route.model.objects import RouteType
from steerd.route.wanted.coverage import ALL, MUCH, covered, words
from tests.unit.test_route_desired import policy, settings

WAN, OTHER = (Lead(4, RouteType.UNICAST, 0, (device,), "192.0.2.1") for device in ("wan", "other"))
LAN = Lead(4, RouteType.UNICAST, 0, ("lan",), attached=True)
DEFAULT = policy("all", 0, "0.0.0.0/0", "::/0")


def pack(*texts, family=4):
    return prefixes.pack(family, texts)


def share(leads, one=DEFAULT, family=4, but=frozenset(), **rest):
    return covered(settings(one, **rest), leads, one, family, but).share


def halves(text, *more):
    return [str(one) for one in ip_network(text).subnets(1)] + list(more)


@pytest.mark.parametrize(
    "pieces",
    [
        halves("0.0.0.0/0"),
        [str(one) for one in ip_network("0.0.0.0/0").subnets(9)],
        [str(one) for one in ip_network("0.0.0.0/0").address_exclude(ip_network("10.0.0.0/8"))],
        halves("0.0.0.0/1", *halves("128.0.0.0/1")),
    ],
)
def test_pieces_of_everything_are_all(pieces):
    assert share({WAN: pack(*pieces)}) > 0.99
    assert share({WAN: pack(*pieces[::2]), OTHER: pack(*pieces[1::2])}) > 0.99


def test_in_ipv6_everything_is_what_is_global():
    lead = Lead(6, RouteType.UNICAST, 0, ("wan",))
    assert share({lead: pack("2000::/3", family=6)}, family=6) == 1.0
    assert share({lead: pack("::/1", family=6)}, family=6) == 1.0
    assert share({lead: pack("8000::/1", family=6)}, family=6) == 0.0
    private = policy("p", 0, "fd00::/8")
    assert share({lead: pack("fd00::/9", family=6)}, private, family=6) == 0.5


def test_networks_that_are_attached_are_no_part_of_it_but_halves_of_everything_are():
    office = policy("p", 0, "10.0.0.0/8")
    assert share({LAN: pack("10.0.0.0/8")}, office) == 0.0
    assert share({LAN: pack("192.168.0.0/16"), WAN: pack("198.18.0.0/15")}) == 0.0
    assert share({LAN: pack(*halves("0.0.0.0/0"))}) == 1.0


def test_routes_by_the_devices_that_may_be_used_and_what_is_thrown_back_are_holes():
    leads = {WAN: pack(*halves("0.0.0.0/0")), OTHER: pack("0.0.0.0/2")}
    assert 0.7 < share(leads, but=frozenset({"other"})) < 0.8
    assert share(leads, but=frozenset({"other", "wan"})) == 0.0
    assert share({WAN: pack(*halves("0.0.0.0/0")), Lead(4, RouteType.THROW): pack("64.0.0.0/2")}) < 0.8


def test_of_one_prefix_the_lowest_metric_counts():
    leads = {WAN._replace(metric=9): pack("0.0.0.0/1"), OTHER._replace(metric=1): pack("0.0.0.0/1")}
    assert share(leads, but=frozenset({"other"})) == 0.0
    assert share(leads, but=frozenset({"wan"})) > 0.4


def test_what_leads_nowhere_counts():
    assert share({Lead(4, RouteType.UNREACHABLE): pack(*halves("0.0.0.0/0"))}) == 1.0


def test_exceptions_and_management_are_not_the_policys():
    excepted = policy("p", 0, "10.0.0.0/8", excepted=("10.0.0.0/9",))
    assert share({WAN: pack("10.0.0.0/9")}, excepted) == 0.0
    assert share({WAN: pack("10.128.0.0/9")}, excepted) == 1.0
    managed = policy("p", 0, "10.0.0.0/8")
    assert share({WAN: pack("10.128.0.0/9")}, managed, management=("10.0.0.0/9",)) == 1.0


def test_a_routing_table_of_60000_small_networks_is_little():
    many = b"".join(bytes((20, n >> 8, n & 255, 0, 24)) for n in range(60_000))
    assert share({WAN: many}) == 0.0


def test_a_few_routes_that_matter_are_named_and_the_rest_counted():
    one = policy("p", 0, "10.0.0.0/8", "192.0.2.0/24")
    leads = {
        WAN: pack(*[str(part) for part in ip_network("10.0.0.0/8").subnets(3)], "198.18.0.0/15"),
        LAN: pack("10.9.0.0/16"),
    }
    found = covered(settings(one), leads, one, 4, frozenset())
    assert found.leads == (WAN,)
    assert words(settings(one), leads, one, found) == (
        "100 % of its IPv4 addresses: 10.0.0.0/11, 10.32.0.0/11, 10.64.0.0/11 and 5 more by wan"
    )


def test_next_hops_that_have_no_part_in_it_are_not_blamed():
    leads = {WAN: pack(*halves("0.0.0.0/0")), OTHER: pack("198.18.0.0/15")}
    assert covered(settings(DEFAULT), leads, DEFAULT, 4, frozenset()).leads == (WAN,)
    hundreds = {WAN._replace(via=str(n)): pack(str(part)) for n, part in enumerate(ip_network("0.0.0.0/0").subnets(8))}
    found = covered(settings(DEFAULT), hundreds, DEFAULT, 4, frozenset())
    assert found.share > ALL
    assert len(found.leads) > 200


def test_what_is_remembered_is_forgotten_with_other_routes_or_settings():
    one = settings(DEFAULT)
    leads = {WAN: pack("0.0.0.0/1")}
    assert covered(one, leads, DEFAULT, 4, frozenset()).share > 0.4
    assert covered(one, leads, DEFAULT, 4, frozenset({"wan"})).share == 0.0
    assert covered(one, {}, DEFAULT, 4, frozenset()).share == 0.0
    assert covered(settings(DEFAULT, management=("0.0.0.0/1",)), leads, DEFAULT, 4, frozenset()).share == 0.0


NETWORKS = st.lists(
    st.tuples(st.integers(0, 63), st.integers(10, 16)).map(
        lambda drawn: ip_network((16 << 24 | drawn[0] << 16, drawn[1]), strict=False)
    ),
    max_size=6,
)
LEADS = st.sampled_from([WAN, OTHER, LAN, WAN._replace(metric=5), Lead(4, RouteType.THROW)])


@given(NETWORKS.filter(bool), NETWORKS, st.lists(st.tuples(LEADS, NETWORKS.filter(bool)), max_size=4))
def test_the_share_is_that_of_addresses_by_their_longest_routes(wanted, excepted, drawn):
    wanted = [one for one in wanted if not any(one.subnet_of(hole) for hole in excepted)]
    one = policy("p", 0, *map(str, wanted), excepted=tuple(map(str, excepted)))
    leads, routes = {}, []
    for lead, networks in drawn:
        leads[lead] = prefixes.union(4, leads.get(lead, b""), pack(*map(str, networks)))
        routes += [(network, lead) for network in networks]
    mine = taken = 0
    for block in ip_network("16.0.0.0/10").subnets(6):
        lengths = [
            max((net.prefixlen for net in nets if block.subnet_of(net)), default=0) for nets in (wanted, excepted)
        ]
        if lengths[0] <= lengths[1]:
            continue
        mine += 1
        best = min(
            ((-net.prefixlen, lead.metric, lead) for net, lead in routes if block.subnet_of(net)), default=(0, 0, LAN)
        )
        taken += best[-1].devices in (("wan",), ("other",))
    expected = taken / mine if mine else 0.0
    assert share(leads, one) == pytest.approx(expected if expected >= MUCH else 0.0)
