"""A policy's prefixes among the AllowedIPs of peers: who is to have them, who has, and what has to move."""

from dataclasses import replace

from steerd.config.prefixes import joined, pack
from steerd.config.route_settings import Actuator, OnStop, RoutePath, RoutePolicy, RouteSettings
from steerd.core.settings import PathId, PolicyId
from steerd.net.wireguard.device import Device, Peer
from steerd.route.wanted.adopt import Adopted, adopt_peers, names
from steerd.route.wanted.allowed_ips import Moves, held, lines, missing, ours, removable, wanted
from steerd.route.wanted.choice import BLOCKED, Choice

A, B, C, D = PathId("fra1/wg"), PathId("ams1/wg"), PathId("par1/wg"), PathId("nyc1/wg")
ALL = PolicyId("all")
FIRST, SECOND, SIXTH = map(pack, ("198.18.0.0/16", "198.19.0.0/16", "2001:2::/48"))
TARGET, INSIDE, OUTSIDE = map(pack, ("10.64.1.1/32", "198.18.7.0/24", "172.20.0.0/16"))


def path(name: PathId, device: str, peer: str) -> RoutePath:
    return RoutePath(name, device, None, None, frozenset({4, 6}), name, 1, 4301, peer=peer)


PATHS = {one.path: one for one in (path(A, "wg0", "a"), path(B, "wg0", "b"), path(C, "wg1", "c"), path(D, "wg1", "d"))}
POLICY = RoutePolicy(ALL, 4200, 0, joined({FIRST, SECOND, SIXTH}))
SETTINGS = RouteSettings(
    210, 4200, 4200, 1000, 0xFF000000, 0, (), OnStop.KEEP, tuple(PATHS.values()), (POLICY,),
    actuator=Actuator.WIREGUARD,
)  # fmt: skip
OWN = ours(SETTINGS)


def device(name: str = "wg0", **peers: tuple[bytes, ...]) -> Device:
    return Device(name, peers={key: Peer(key, allowed=frozenset(allowed)) for key, allowed in peers.items()})


def test_what_is_ours():
    assert OWN == {ALL: (FIRST, SECOND, SIXTH)}
    managed = replace(SETTINGS, management=("198.18.0.0/15",))
    assert ours(managed) == {ALL: (SIXTH,)}  # what is never steered is never moved


def test_the_choice_has_everything():
    assert wanted(OWN, {ALL: Choice(B)}, PATHS) == {"wg0": dict.fromkeys((FIRST, SECOND, SIXTH), "b")}


def test_a_runner_up_on_another_device_stands_by_and_one_on_the_same_can_not():
    assert wanted(OWN, {ALL: Choice(B, D)}, PATHS) == {
        "wg0": dict.fromkeys((FIRST, SECOND, SIXTH), "b"),
        "wg1": dict.fromkeys((FIRST, SECOND, SIXTH), "d"),
    }
    assert wanted(OWN, {ALL: Choice(B, A)}, PATHS) == wanted(OWN, {ALL: Choice(B)}, PATHS)


def test_a_blocked_policy_moves_nothing():
    assert wanted(OWN, {ALL: BLOCKED}, PATHS) == {}


def test_only_what_is_elsewhere_moves():
    one = device(a=(FIRST, TARGET, INSIDE), b=(SECOND, OUTSIDE))
    assert missing(one, dict.fromkeys((FIRST, SECOND, SIXTH), "b")) == Moves("wg0", ((FIRST, "b"), (SIXTH, "b")))
    assert missing(one, {SECOND: "b"}).moves == ()


def test_a_peer_that_is_not_there_gets_nothing():
    assert missing(device(a=(FIRST,)), dict.fromkeys((FIRST, SECOND), "b")).moves == ()


def test_whoever_has_most_of_it_has_it():
    devices = {"wg0": device(a=(FIRST, TARGET), b=(SECOND, SIXTH, OUTSIDE)), "wg1": device("wg1", c=(OUTSIDE,), d=())}
    assert held(OWN, devices) == {(ALL, "wg0"): "b"}
    even = {"wg0": device(b=(SECOND,), a=(FIRST,))}
    assert held(OWN, even) == {(ALL, "wg0"): "a"}  # the same at each look


def test_what_a_cleanup_takes_away_is_ours_and_with_our_peers():
    devices = {
        "wg0": device(a=(FIRST, TARGET, INSIDE), b=(OUTSIDE,), stranger=(SECOND,)),
        "wg1": device("wg1", c=(FIRST, SIXTH)),
    }
    assert removable(OWN, PATHS.values(), devices) == {"wg0": [FIRST], "wg1": [SIXTH, FIRST]}


def test_moves_as_commands():
    one = device(a=(FIRST, SECOND), b=(TARGET,))
    assert list(lines([missing(one, dict.fromkeys((FIRST, SECOND), "b"))], {"wg0": one})) == [
        "wg set wg0 peer b allowed-ips 10.64.1.1/32,198.18.0.0/16,198.19.0.0/16"
    ]


def test_the_peer_that_has_the_prefixes_is_adopted_whatever_routes_say():
    """They lead to the device; by that alone each of its paths would do."""
    found = Adopted({ALL: Choice(A)}, {}, {})
    assert adopt_peers(SETTINGS, found, {(ALL, "wg0"): "b"}).choices == {ALL: Choice(B)}
    standby = Adopted({ALL: Choice(A, C)}, {}, {})
    assert adopt_peers(SETTINGS, standby, {(ALL, "wg0"): "b", (ALL, "wg1"): "d"}).choices == {ALL: Choice(B, D)}


def test_nobody_has_them():
    found = Adopted({ALL: Choice(A, C)}, {}, {})
    assert adopt_peers(SETTINGS, found, {}).choices == {ALL: BLOCKED}
    assert adopt_peers(SETTINGS, found, {(ALL, "wg1"): "c"}).choices == {ALL: Choice(C)}


def test_a_peer_that_no_path_names_stays_until_there_is_an_opinion():
    adopted = adopt_peers(SETTINGS, Adopted({ALL: Choice(A)}, {}, {}), {(ALL, "wg0"): "x"})
    name = PathId("unknown/wg0/x")
    assert adopted.choices == {ALL: Choice(name)}
    assert (adopted.strangers[name].device, adopted.strangers[name].peer) == ("wg0", "x")
    want = wanted(OWN, adopted.choices, {**PATHS, **adopted.strangers})
    assert missing(device(x=(FIRST, SECOND, SIXTH)), want["wg0"]).moves == ()


def test_a_path_that_was_renamed_is_known_by_its_peer():
    former = {PathId("old"): path(PathId("old"), "wg0", "b")}
    assert names(SETTINGS, former, PathId("old")) == B
    gone = {PathId("old"): path(PathId("old"), "wg0", "x")}
    assert names(SETTINGS, gone, PathId("old")) == "old"
