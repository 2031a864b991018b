"""Next hops from main's default routes: what is learned from a reading, what is remembered, what it comes to."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import AUTO, RoutePath
from steerd.core.settings import PathId
from steerd.route.around.gateways import automatic, learn, resolve, unknown
from steerd.route.kernel.main_table import DefaultRoute, Main
from steerd.route.model.objects import Device
from steerd.route.wanted.choice import way_out
from tests.unit.test_route_desired import settings

UP = {"eth0": 2, "ppp0": 3}
DHCP = DefaultRoute(IPV4, "eth0", "192.0.2.1", 100, 16)
ADVERTISED = DefaultRoute(IPV6, "eth0", "fe80::1", 1024, 9)
DIALLED = DefaultRoute(IPV4, "ppp0", "", 0, 3)


def path(
    device: str, via: str | None = None, via6: str | None = None, *, carries: tuple[int, ...] = (4, 6)
) -> RoutePath:
    return RoutePath(PathId(f"pop/{device}"), device, via, via6, frozenset(carries), device, 1 << 24, 4301)


def main(*defaults: DefaultRoute, up: dict[str, int] = UP) -> Main:
    devices = {name: Device(number, name, True) for name, number in up.items()}
    return Main(defaults=tuple(sorted(defaults, key=lambda one: (one.family, one.metric))), devices=devices)


def ways(one: RoutePath, known) -> list[str | None]:
    """What the path leaves by in each family; None: not at all."""
    (found,) = resolve(settings(paths=(one,)), known).paths
    return [way and f"{way.device} {way.via}".strip() for family in (4, 6) for way in [way_out(found, family)]]


def test_each_family_has_the_gateway_of_its_own_default_route():
    assert ways(path("eth0", AUTO, AUTO), learn(main(DHCP, ADVERTISED))) == ["eth0 192.0.2.1", "eth0 fe80::1"]


def test_a_family_whose_gateway_is_not_known_is_not_carried_and_never_falls_back_to_the_bare_device():
    assert ways(path("eth0", AUTO, AUTO), learn(main(DHCP))) == ["eth0 192.0.2.1", None]
    assert ways(path("eth0", AUTO, AUTO), learn(main())) == [None, None]
    assert ways(path("eth0", AUTO, AUTO), learn(main(DIALLED))) == [None, None]  # another device's


def test_a_default_route_without_gateway_means_the_device_alone():
    assert ways(path("ppp0", AUTO, carries=(4,)), learn(main(DIALLED))) == ["ppp0", None]


def test_what_is_declared_stays():
    assert ways(path("eth0", "192.0.2.9", AUTO), learn(main(DHCP, ADVERTISED))) == ["eth0 192.0.2.9", "eth0 fe80::1"]
    declared = settings(paths=(path("eth0", "192.0.2.9"), path("wg0")))
    assert not automatic(declared)
    assert resolve(declared, learn(main(DHCP))) is declared


def test_the_lowest_metric_wins_and_its_device_is_its_own():
    backup = DHCP._replace(via="192.0.2.254", metric=200)
    assert learn(main(backup, DHCP))[IPV4, "eth0"].via == "192.0.2.1"
    assert learn(main(backup))[IPV4, "eth0"].via == "192.0.2.254"


def test_of_equal_routes_the_one_in_use_is_kept_whatever_their_order():
    other = DHCP._replace(via="192.0.2.2")
    before = learn(main(DHCP))
    assert learn(main(other, DHCP), before) == learn(main(DHCP, other), before) == before


def test_a_gateway_is_remembered_while_its_device_is_up_unless_another_appears():
    before = learn(main(DHCP, ADVERTISED))
    assert learn(main(), before) == before
    moved = DHCP._replace(via="192.0.2.2")
    assert learn(main(moved), before)[IPV4, "eth0"].via == "192.0.2.2"
    assert learn(main(up={"ppp0": 3}), before) == {}  # down
    assert learn(main(up={"eth0": 7}), before) == {}  # another device of that name


def test_who_waits_is_named():
    given_settings = settings(paths=(path("eth0", AUTO, AUTO), path("ppp0", AUTO, carries=(4,))))
    waiting = unknown(given_settings, learn(main(DHCP)))
    assert [(one.device, family) for one, family in waiting] == [("eth0", 6), ("ppp0", 4)]


vias = {IPV4: st.sampled_from(["192.0.2.1", "192.0.2.2", ""]), IPV6: st.sampled_from(["fe80::1", "fe80::2", ""])}
routes = st.sampled_from([IPV4, IPV6]).flatmap(
    lambda family: st.builds(
        DefaultRoute, st.just(family), st.sampled_from(sorted(UP)), vias[family], st.integers(0, 3), st.just(16)
    )
)
mains = st.builds(
    lambda defaults, up: main(*defaults, up=up),
    st.lists(routes, max_size=6),
    st.dictionaries(st.sampled_from(sorted(UP)), st.integers(2, 4)),
)
paths = st.builds(
    lambda device, via, via6: path(
        device, via, via6, carries=(*((4,) if via or not via6 else ()), *((6,) if via6 or not via else ()))
    ),
    st.sampled_from(sorted(UP)),
    st.sampled_from([None, AUTO, "192.0.2.9"]),
    st.sampled_from([None, AUTO, "fe80::9"]),
)


@given(st.lists(paths, max_size=4), st.lists(mains, min_size=1, max_size=4))
def test_nothing_is_left_automatic_and_nothing_is_made_up(some, history):
    declared = settings(paths=tuple(some))
    known: dict = {}
    for reading in history:
        known = learn(reading, known)
    resolved = resolve(declared, known)
    assert not automatic(resolved)
    assert replace(resolved, paths=declared.paths) == declared
    named = {(route.family, route.device, route.via) for reading in history for route in reading.defaults}
    for before, after in zip(declared.paths, resolved.paths, strict=True):
        assert after.families <= before.families
        for family, asked in ((IPV4, before.via), (IPV6, before.via6)):
            way = way_out(after, family)
            if asked != AUTO:
                assert way == way_out(before, family)
            elif way:
                assert way in named


@given(mains, mains)
def test_the_same_main_again_teaches_nothing_new(former, now):
    known = learn(now, learn(former))
    assert learn(now, known) == known
