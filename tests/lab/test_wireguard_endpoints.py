"""A PoP whose address changes: its tunnel follows the name of its endpoint, once it is stale, and no other does."""

from pathlib import Path
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import RUN, run
from tests.lab import wireguard
from tests.lab.live import shell
from tests.lab.waiting import until
from tests.lab.wireguard import Network, all_up, choice, path, wg

pytestmark = [pytest.mark.lab, pytest.mark.wireguard]

HOSTS = Path("/etc/hosts")


def named(network: Network) -> str:
    config = network.config(interval="200ms")
    for pop in ("fra1", "ams1"):
        config = config.replace(f'dev = "wg-{pop}"', f'dev = "wg-{pop}", endpoint = "{pop}.example.net:51820"')
    return config


def hosts(**addresses: str) -> None:
    """Whatever else resolves names, /etc/hosts of the lab's own does."""
    HOSTS.write_text("".join(f"{address} {pop}.example.net\n" for pop, address in addresses.items()))


def endpoint(pop: str) -> str:
    return wg("gw", "show", f"wg-{pop}", "endpoints").split("\t")[-1].strip()


def moved() -> Any:
    network = Network(devices=True)
    (RUN / "hosts").write_text("")
    shell(f"mount --bind {RUN}/hosts {HOSTS}")
    # The name of one that works says something else: that is nobody's business.
    hosts(fra1="192.0.2.6", ams1="203.0.113.9")
    network.run_daemon(named(network))
    until(lambda: choice() is not None and all_up())
    # The PoP is at another address, and knows nothing of the gateway's, so that it does not speak first.
    namespaces.ip("addr add 192.0.2.41/30 dev u-fra1", "gw")
    namespaces.ip("link set p-fra1 down\naddr del 192.0.2.6/30 dev out0\naddr add 192.0.2.42/30 dev out0", "fra1")
    namespaces.ip(
        """route add default via 192.0.2.41
           link set p-fra1 up
           route add 10.64.0.0/24 dev p-fra1
           route add 10.77.0.0/24 dev p-fra1""",
        "fra1",
    )
    key = network.own["wg-fra1"].public
    wg("fra1", "set", "p-fra1", "peer", key, "remove")
    wg("fra1", "set", "p-fra1", "peer", key, "allowed-ips", "10.64.0.0/16,10.77.0.0/24")
    until(lambda: path("fra1")["tunnel"]["stale"])
    before = endpoint("fra1")
    hosts(fra1="192.0.2.42", ams1="203.0.113.9")
    until(lambda: path("fra1")["state"] == "up")
    return {
        "before": before,
        "after": endpoint("fra1"),
        "other": endpoint("ams1"),
        "said": [line.split("INFO")[1].strip() for line in wireguard.log_text().splitlines() if "sought at" in line],
    }


def test_a_stale_tunnel_follows_its_name_and_one_that_works_does_not() -> None:
    found = run(f"{__name__}:moved")
    assert found["before"] == "192.0.2.6:51820"
    assert found["after"] == "192.0.2.42:51820"
    assert found["other"] == "192.0.2.10:51820"
    assert found["said"] == [
        "fra1/wg: wg-fra1 is now sought at 192.0.2.42, as fra1.example.net says; 192.0.2.6 does not answer"
    ]


def two_families() -> Any:
    """The PoP has only its IPv6 address left, and another port; its name has addresses that do not answer, too."""
    network = Network(devices=True)
    (RUN / "hosts").write_text("")
    shell(f"mount --bind {RUN}/hosts {HOSTS}")
    hosts(fra1="192.0.2.6", ams1="192.0.2.10")
    namespaces.ip("addr add 2001:db8:1::1/64 dev u-fra1 nodad", "gw")
    namespaces.ip("addr add 2001:db8:1::2/64 dev out0 nodad", "fra1")
    network.run_daemon(named(network).replace("fra1.example.net:51820", "fra1.example.net:51999"))
    until(lambda: choice() is not None and all_up())
    before = endpoint("fra1")
    namespaces.ip("addr del 192.0.2.6/30 dev out0\naddr add 192.0.2.42/30 dev out0", "fra1")
    key = network.own["wg-fra1"].public
    wg("fra1", "set", "p-fra1", "listen-port", "51999", "peer", key, "remove")
    wg("fra1", "set", "p-fra1", "peer", key, "allowed-ips", "10.64.0.0/16,10.77.0.0/24")
    HOSTS.write_text("".join(f"{one} fra1.example.net\n" for one in ("203.0.113.9", "2001:db8:1::2")))
    until(lambda: path("fra1")["state"] == "down")
    until(lambda: path("fra1")["state"] == "up")
    return [before, endpoint("fra1")]


def test_the_family_that_answers_is_found_and_the_port() -> None:
    assert run(f"{__name__}:two_families") == ["192.0.2.6:51820", "[2001:db8:1::2]:51999"]


def without() -> Any:
    """A peer that has no endpoint, since its name could not be resolved when it was made."""
    network = Network(devices=True)
    (RUN / "hosts").write_text("")
    shell(f"mount --bind {RUN}/hosts {HOSTS}")
    key = network.keys["fra1"].public
    wg("gw", "set", "wg-fra1", "peer", key, "remove")
    wg("gw", "set", "wg-fra1", "peer", key, "allowed-ips", "0.0.0.0/0")
    before = endpoint("fra1")
    network.run_daemon(named(network))
    until(lambda: choice() is not None and "fra1.example.net cannot be resolved" in wireguard.log_text())
    hosts(fra1="192.0.2.6")
    until(lambda: path("fra1")["state"] == "up")
    return [before, endpoint("fra1")]


def test_a_peer_without_an_endpoint_gets_it_when_its_name_is_known() -> None:
    assert run(f"{__name__}:without") == ["(none)", "192.0.2.6:51820"]
