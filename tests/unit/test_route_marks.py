"""Which chains of others set marks that lead packets elsewhere: told from the text of rules as `nft` lists them."""

import pytest

from steerd.config.route_settings import Flows
from steerd.route.nft.marks import remarks
from tests.lab.test_route_world import path, policy, settings

PATHS = (path(1, "a"), path(2, "b"))
PINNED = settings(PATHS, (policy("all", 0, "0.0.0.0/0", flows=Flows.AUTO),), bypass_mark=0x51)
MARKED = settings(PATHS, (policy("m", 0, "0.0.0.0/0", fwmark=(7, 0xFF)),))
LEADS, BYPASSES = "steerd's own for path pop/b", "with route.bypass_mark"
SAVES, WIPES = "sets the whole mark of connections", "which policy m selects by (0x7 of 0xff)"


def said(given, rule, hook="type filter hook prerouting priority mangle; policy accept;"):
    listing = f"table ip x {{\n\tchain c {{\n\t\t{hook}\n\t\t{rule}\n\t}}\n}}\n"
    return list(remarks(given, {"ip x": listing}))


@pytest.mark.parametrize(
    ("given", "rule", "words"),
    [
        (PINNED, 'iifname "lan" meta mark set 0x02000000', LEADS),
        (PINNED, "meta mark set meta mark & 0x00ffffff | 0x02000000", LEADS),
        (PINNED, "counter meta mark set mark and 0xffffff xor 0x2000000", LEADS),
        (PINNED, "meta mark set mark or 0x2000000", LEADS),
        (PINNED, "ip daddr 10.0.0.1 meta mark set 0x00000051 accept", BYPASSES),
        (PINNED, "ct mark set meta mark", SAVES),
        (PINNED, "counter ct mark set mark", SAVES),
        (PINNED, "ct mark set 0x00000005", SAVES),
        (MARKED, "meta mark set 0x00000009", WIPES),
        (MARKED, "meta l4proto udp meta mark set ct mark", WIPES),
    ],
)
def test_a_chain_that_sets_a_mark_which_leads_packets_elsewhere_is_named_with_what_becomes_of_them(given, rule, words):
    (one,) = said(given, rule)
    assert one.startswith("chain c of nftables' table ip x ")
    assert words in one
    assert one.endswith("(`nft list chain ip x c`)")


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (PINNED, "meta mark set 0x05000000"),  # of no path
        (PINNED, "meta mark set meta mark & 0xffffc0ff ^ 0x00000100"),
        (PINNED, "meta mark set ct mark"),  # ours go back into it, too
        (PINNED, "meta l4proto udp meta mark 0x0000ca6c ct mark set meta mark"),  # wg-quick's own
        (PINNED, "meta l4proto udp mark 0xca6c counter ct mark set mark"),
        (PINNED, "ct state new ct mark set meta mark"),
        (PINNED, "ct mark 0x00000000 ct mark set 0x00000005"),
        (PINNED, "ct mark set ct mark & 0xff000000 | 0x00000005"),
        (PINNED, "ct mark set mark and 0xff"),
        (PINNED, "meta mark set tcp dport map { 80 : 0x02000000 }"),  # not understood
        (MARKED, "meta mark set 0x00000107"),
        (MARKED, "meta mark set meta mark | 0x00000100"),
        (MARKED, "ct mark != 0x00000000 meta mark set ct mark"),
        (MARKED, "ct mark set meta mark"),
    ],
)
def test_marks_that_lead_nobody_astray_are_not_told(given, rule):
    assert said(given, rule) == []


def test_where_packets_have_been_routed_already_only_a_connections_mark_matters():
    late = "type filter hook postrouting priority mangle; policy accept;"
    assert said(PINNED, "meta mark set 0x02000000", late) == []
    assert SAVES in said(PINNED, "ct mark set meta mark", late)[0]
    own = "type route hook output priority mangle; policy accept;"
    assert said(PINNED, "meta mark set 0x02000000", own) == said(PINNED, "ct mark set meta mark", own) == []
