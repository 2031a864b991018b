"""What is remarked of the surroundings: when, and never without a reason."""

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from steerd.config.route_settings import AUTO, RoutePath
from steerd.core.settings import PathId
from steerd.route.around.gateways import learn
from steerd.route.around.remarks import shadowed, shared_uplinks, strict, waiting
from steerd.route.kernel.main_table import DefaultRoute, Main
from steerd.route.model import prefixes
from steerd.route.model.leads import Lead
from steerd.route.model.objects import Device, RouteType
from tests.unit.test_route_desired import policy, settings


def path(device: str, uplink: str = "", via: str | None = None) -> RoutePath:
    families = frozenset({4, 6} if via is None else {4})
    return RoutePath(PathId(f"pop/{device}"), device, via, None, families, uplink or f"pop/{device}", 1 << 24, 4301)


def main(*specific: str, defaults: tuple[DefaultRoute, ...] = (), **devices: Device) -> Main:
    leads = {Lead(family, RouteType.UNICAST, devices=("wan",)): prefixes.pack(family, specific) for family in (4, 6)}
    return Main(leads, defaults, devices)


def test_prefixes_that_main_knows_are_counted_and_three_of_them_named_with_what_shadows_them():
    cloud = policy("cloud", 0, "10.1.0.0/24", "10.1.1.0/24", "10.1.2.0/24", "10.2.0.0/16", "2001:db8::/32", "0.0.0.0/0")
    (said,) = shadowed(settings(cloud), main("10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "2001:db8::/33"))
    assert said == (
        "policy cloud: 4 of 6 prefixes are never steered, since routes of main that are no default routes come first: "
        "10.1.0.0/24 by 10.1.0.0/16, 10.1.1.0/24 by 10.1.1.0/24, 10.1.2.0/24 by 10.1.0.0/16, ..."
    )


def test_what_a_policy_leaves_out_anyway_is_no_matter_and_each_policy_has_a_line():
    first = policy("first", 0, "10.1.0.0/24", "10.2.0.0/24", excepted=("10.1.0.0/16",))
    second = policy("second", 1, "10.3.0.0/24", "fd00:3::/64")
    given_settings = settings(first, second, management=("10.2.0.0/16",))
    (said,) = shadowed(given_settings, main("10.0.0.0/8", "fd00::/16"))
    assert said.startswith("policy second: 2 of 2 prefixes are never steered")
    assert said.endswith(": 10.3.0.0/24 by 10.0.0.0/8, fd00:3::/64 by fd00::/16")
    assert not list(shadowed(given_settings, main("10.1.0.0/16", "192.168.0.0/16", "fe80::/64")))


networks = st.builds(
    lambda address, length: str(ip_network((address << 24, length), strict=False)),
    st.integers(10, 13),
    st.sampled_from([6, 7, 8, 9]),
)


@given(st.sets(networks, min_size=1, max_size=8), st.sets(networks, max_size=8))
def test_the_count_is_that_of_prefixes_within_routes_of_main(wanted, known):
    within = [one for one in wanted if any(ip_network(one).subnet_of(ip_network(route)) for route in known)]
    said = list(shadowed(settings(policy("p", 0, *wanted)), main(*known)))
    assert [line.split(":")[1].split(" are ")[0] for line in said] == (
        [f" {len(within)} of {len(wanted)} prefixes"] if within else []
    )
    for line in said:
        for example in line.split(": ")[2].removesuffix(", ...").split(", "):
            entry, cover = example.split(" by ")
            assert entry in wanted
            assert cover in known
            assert ip_network(entry).subnet_of(ip_network(cover))


def test_uplinks_on_one_device_share_its_fate():
    devices = {
        "eth0": Device(2, "eth0", True),
        "eth0.5": Device(3, "eth0.5", True, lower=2),
        "eth0.7": Device(4, "eth0.7", True, lower=2),
        "eth1": Device(5, "eth1", True),
    }
    paths = (path("eth0.5", "dsl"), path("eth0.7", "fibre"), path("eth1", "lte"))
    assert list(shared_uplinks(settings(paths=paths), devices)) == [
        'pop/eth0.5 and pop/eth0.7 both leave by eth0, so they fail together: give their paths uplink = "eth0"'
    ]
    said = shared_uplinks(settings(paths=(path("eth0", "dsl"), path("eth0.7", "fibre"))), devices)
    assert [line.split(",")[0] for line in said] == ["pop/eth0 and pop/eth0.7 both leave by eth0"]


def test_uplinks_that_are_said_to_be_one_or_stand_apart_or_are_next_hops_of_one_device_are_not_remarked():
    devices = {
        "eth0": Device(2, "eth0", True),
        "eth0.5": Device(3, "eth0.5", True, lower=2),
        "eth0.7": Device(4, "eth0.7", True, lower=2),
        "wg0": Device(6, "wg0", True, lower=77),  # of another network namespace, or gone
    }
    assert not list(shared_uplinks(settings(paths=(path("eth0.5", "one"), path("eth0.7", "one"))), devices))
    assert not list(shared_uplinks(settings(paths=(path("eth0.5"), path("wg0"), path("absent"))), devices))
    assert not list(shared_uplinks(settings(paths=(path("eth0", "a"), path("eth0", "b"))), devices))


def test_devices_that_lie_on_each_other_in_a_circle_end_the_search():
    devices = {"a": Device(2, "a", True, lower=3), "b": Device(3, "b", True, lower=2)}
    assert len(list(shared_uplinks(settings(paths=(path("a"), path("b"))), devices))) <= 1


def test_strict_filtering_names_the_key_that_helps():
    given_settings = settings(paths=(path("wg0"), path("wg0"), path("eth0.5"), path("wg1"), path("wg2")))
    said = list(strict(given_settings, {"wg0": 1, "eth0.5": 1, "wg1": 0, "wg2": 2}))
    assert [line.split(":")[0] for line in said] == ["eth0.5", "wg0"]
    assert "net.ipv4.conf.eth0/5.rp_filter=2" in said[0]
    assert "net.ipv4.conf.wg0.rp_filter=2" in said[1]


def test_a_path_waits_for_its_gateway_only_while_its_device_is_up():
    given_settings = settings(paths=(path("eth0", via=AUTO), path("eth1", via=AUTO)))
    now = main(eth0=Device(2, "eth0", True), eth1=Device(3, "eth1", False))
    assert list(waiting(given_settings, now, learn(now))) == [
        "path pop/eth0: carries no IPv4 until main has a default route through eth0"
    ]
    route = DefaultRoute(4, "eth0", "192.0.2.1", 0, 16)
    now = main(defaults=(route,), eth0=Device(2, "eth0", True))
    assert not list(waiting(given_settings, now, learn(now)))


packs = st.lists(
    st.builds(
        lambda address, length: str(ip_network((address << 27, length), strict=False)),
        st.integers(0, 31),
        st.integers(0, 6),
    ),
    max_size=12,
).map(lambda texts: prefixes.pack(4, texts))


@given(packs, packs)
def test_within_and_outside_are_all_there_is(packed, covers):
    within, outside = prefixes.within(4, packed, covers), prefixes.outside(4, packed, covers)
    assert prefixes.union(4, within, outside) == packed
    assert prefixes.minus(4, within, outside) == within
