"""Steering from peer to peer: what the configuration says of it, and what is said of wrong ones."""

import pytest

from steerd.config.file.problem import ConfigError
from steerd.config.gateway.load import load
from steerd.config.probe_settings import TunnelPath
from steerd.config.route_settings import Actuator, Flows

ONE, TWO = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
PEERS = '[route]\nactuator = "wireguard"\n'


def text(*paths: str, tables: str = PEERS, policies: tuple[str, ...] = ('prefixes = ["198.18.0.0/15"]',)) -> str:
    pops = "".join(
        f'[[pop]]\nname = "p{number}"\npaths = [{{ name = "wg", dev = "wg0", {path} }}]\n'
        for number, path in enumerate(paths)
    )
    return tables + pops + "".join(f'[[policy]]\nname = "q{n}"\n{one}\n' for n, one in enumerate(policies))


def path(peer: str, number: int = 1, more: str = "") -> str:
    return f'peer = "{peer}", target = "10.64.{number}.1"{more}'


@pytest.fixture
def loaded(tmp_path):
    def loaded(written: str):
        file = tmp_path / "steerd.toml"
        file.write_text(written)
        return load(file)

    return loaded


@pytest.fixture
def refused(loaded):
    def refused(*paths: str, **rest) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loaded(text(*paths, **rest))
        return [f"{p.key}: {p.allowed}" for p in caught.value.problems]

    return refused


def test_two_peers_of_one_device(loaded):
    config = loaded(text(path(ONE), path(TWO, 2)))
    assert config.route.actuator is Actuator.WIREGUARD
    assert [(one.device, one.peer) for one in config.route.paths] == [("wg0", ONE), ("wg0", TWO)]
    assert config.tunnel.paths == (
        TunnelPath("p0/wg", "wg0", (bytes((10, 64, 1, 1)),), ONE),
        TunnelPath("p1/wg", "wg0", (bytes((10, 64, 2, 1)),), TWO),
    )
    assert config.route.policies[0].flows is Flows.MOVE  # "auto" does not pin what peers cannot tell apart
    assert config.tunnel.interval == 1.0


def test_without_any_of_it(loaded):
    config = loaded(text('target = "fra1.example.net", target6 = "fd64::1"', tables=""))
    assert config.route.actuator is Actuator.NETLINK
    assert config.route.paths[0].peer == ""
    assert config.tunnel.paths == (TunnelPath("p0/wg", "wg0", (bytes.fromhex("fd64" + "00" * 13 + "01"),)),)
    assert config.route.policies[0].flows is Flows.AUTO


@pytest.mark.parametrize(("written", "seconds"), [('"0s"', 0.0), ('"100ms"', 0.1), ("5", 5.0)])
def test_how_often_tunnels_are_read(loaded, written, seconds):
    config = loaded(text(path(ONE), tables=f"{PEERS}[probe]\nwireguard_interval = {written}\n"))
    assert config.tunnel.interval == seconds


@pytest.mark.parametrize("peer", ["", "x", ONE[:-1], "AQEB", ONE + "=", "!" + ONE[1:], f"{ONE} fra1"])
def test_what_is_no_public_key(refused, peer):
    assert refused(path(peer)) == [
        "pop[0].paths[0].peer: must be the public key of a WireGuard peer, as `wg show` prints it"
    ]


def test_a_key_that_is_written_in_two_ways_is_one(loaded):
    """The last digit of 32 bytes in base64 has two bits that count for nothing."""
    assert loaded(text(path(ONE[:-2] + "F="))).route.paths[0].peer == ONE


def test_a_peer_needs_the_actuator(refused):
    assert refused(path(ONE), tables="") == ['pop[0].paths[0].peer: must come with route.actuator = "wireguard"']


def test_the_actuator_needs_peers(refused):
    assert refused(path(ONE), 'target = "10.64.2.1"') == [
        'pop[1].paths[0]: must name its peer, as route.actuator = "wireguard"'
    ]


def test_a_peer_is_one_path(refused):
    assert refused(path(ONE), path(ONE, 2)) == [
        "pop[1].paths[0].peer: must be unique on its device: pop[0].paths[0] has this peer"
    ]


def test_a_peer_has_no_next_hop(refused):
    assert refused(path(ONE, more=', via = "192.0.2.1"')) == [
        'pop[0].paths[0].via: must be left out with route.actuator = "wireguard": peers have no next hop'
    ]


def test_a_target_stays_with_its_peer(refused):
    policies = ('prefixes = ["10.64.1.1", "10.64.0.0/16"]',)
    assert refused(path(ONE), path(TWO, 2), policies=policies) == [
        (
            "pop[0].paths[0].target: must not be a prefix of a policy, as 10.64.1.1/32 is of policy[0]: "
            "it would move to another peer"
        )
    ]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (
            "spread = 2\nspread_within = '5ms'",
            'policy[0].spread: must be 1 with route.actuator = "wireguard": a prefix belongs to one peer',
        ),
        *(
            (
                f'flows = "{flows}"',
                (
                    'policy[0].flows: must be "move" or left out with route.actuator = "wireguard": '
                    "a connection goes where its prefix does"
                ),
            )
            for flows in ("pin", "client")
        ),
    ],
)
def test_what_peers_can_not_do(refused, policy, said):
    assert said in refused(path(ONE), path(TWO, 2), policies=(f'prefixes = ["198.18.0.0/15"]\n{policy}',))


def test_policies_are_told_apart_by_destinations_only(refused, loaded):
    policies = ('prefixes = ["198.18.0.0/15"]', 'prefixes = ["0.0.0.0/0"]')
    loaded(text(path(ONE), policies=policies))
    guests = ('prefixes = ["198.18.0.0/15"]', 'prefixes = ["0.0.0.0/0"]\nfrom = ["10.0.0.0/8"]')
    assert refused(path(ONE), policies=guests) == [
        (
            'policy[1]: must have the from, iif and fwmark of policy[0] with route.actuator = "wireguard", '
            "which knows no sources"
        )
    ]


def test_an_endpoint_that_is_followed_needs_the_readings_of_tunnels(loaded, refused):
    followed = 'target = "10.64.1.1", endpoint = "fra1.example.net:51820"'
    assert loaded(text(followed, tables="")).tunnel.paths[0].endpoint == ("fra1.example.net", 51820)
    never = '[probe]\nwireguard_interval = "0s"\n'
    with pytest.raises(ConfigError, match=r'found "fra1\.example\.net:51820"; must come without'):
        loaded(text(followed, tables=never))
    assert refused(followed, tables=never) == [
        (
            "pop[0].paths[0].endpoint: "
            'must come without probe.wireguard_interval = "0s", or nobody knows when the tunnel is stale'
        )
    ]
