"""Whether others' chains let a forwarded packet pass: certain only where the text leaves no doubt."""

import weakref

import pytest

from steerd.route.nft.foreign import Packet, Passes, best, passes

NO, MAYBE, YES = Passes.NO, Passes.MAYBE, Passes.YES


def table(*rules, policy="drop", more=""):
    lines = "\n".join(f"\t\t{rule}" for rule in (f"type filter hook forward priority filter; policy {policy};", *rules))
    return f"table inet fw {{\n\tchain f {{\n{lines}\n\t}}\n{more}}}\n"


def chain(name, *rules):
    return "\n".join((f"\n\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}\n"))


@pytest.mark.parametrize(
    ("rules", "answer"),
    [
        ([], NO),
        (["ct state established,related accept"], NO),
        (["ct state { established, related } counter packets 7 bytes 9 accept"], NO),
        (['iifname "lan" oifname "wan" accept'], NO),
        (['oifname "a" iifname != "lan" accept'], NO),
        (["meta nfproto ipv6 accept", "ip6 daddr 2001:db8::/32 accept"], NO),
        (["drop", "accept"], NO),
        (["return", "accept"], NO),
        (['iifname "lan" drop', "accept"], NO),
        (["accept"], YES),
        (['iifname "lan" oifname { "a", "b" } counter accept comment "users: accept"'], YES),
        (['iifname "l*" oifname != "wan" accept'], YES),
        (['iif "lan" ct state new,established accept'], YES),
        (["ct state != established accept"], YES),
        (['iifname "lan" log prefix "fw: " accept'], YES),
        (["tcp dport 443 accept"], MAYBE),
        (["ip saddr 192.168.50.0/24 accept"], MAYBE),
        (["iifname @lans accept"], MAYBE),
        (['iifname vmap { "lan" : accept, "wan" : drop }'], MAYBE),
        (["ct state vmap { established : accept, new : accept }"], MAYBE),
        (["queue num 0"], MAYBE),
        (["tcp dport 25 drop", "accept"], YES),
    ],
)
def test_a_chain_that_drops_the_rest_lets_pass_what_a_rule_of_it_accepts(rules, answer):
    assert passes(table(*rules), Packet(4, "lan", "a")) == {"f": answer}


@pytest.mark.parametrize(
    ("rules", "answer"),
    [
        ([], YES),
        (["drop"], NO),
        (['iifname "lan" reject with icmpx admin-prohibited'], NO),
        (["tcp dport 25 drop"], YES),
    ],
)
def test_a_chain_that_accepts_the_rest_lets_pass_what_no_rule_of_it_drops_for_sure(rules, answer):
    assert passes(table(*rules, policy="accept"), Packet(4, "lan", "a")) == {"f": answer}


@pytest.mark.parametrize(
    ("first", "inner", "answer"),
    [
        ("jump c", ["accept"], YES),
        ('iifname "docker0" jump c', ["accept"], NO),
        ("jump c", ['iifname "docker0" accept'], NO),
        ("jump c", ["jump c", "return", "accept"], NO),
        ("ip protocol tcp jump c", ["accept"], MAYBE),
        ('iifname vmap { "lan" : jump c, "wan" : drop }', ["accept"], MAYBE),
        ("goto c", ["tcp dport 443 accept"], MAYBE),
    ],
)
def test_chains_that_it_leads_to_are_a_part_of_it(first, inner, answer):
    assert passes(table(first, more=chain("c", *inner)), Packet(4, "lan", "a")) == {"f": answer}


def test_many_chains_that_lead_to_each_other_are_each_read_once():
    more = "".join(chain(f"c{n}", *[f"jump c{n + 1}"] * 9) for n in range(30)) + chain("c30", "tcp dport 443 accept")
    assert passes(table("jump c0", more=more), Packet(4, "lan", "a")) == {"f": MAYBE}


def test_other_hooks_are_no_matter_and_each_chain_in_this_one_has_an_answer():
    other = "\n\tchain i {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n"
    more = "\n\tchain g {\n\t\ttype filter hook forward priority 10; policy accept;\n\t}\n"
    assert passes(table(more=other + more), Packet(6, "lan", "a")) == {"f": NO, "g": YES}


def test_of_several_devices_that_packets_come_in_by_the_best_counts():
    listing = table('iifname "lan" oifname "a" accept')
    assert best(listing, 4, ("docker0", "lan"), "a") == {"f": YES}
    assert best(listing, 4, ("docker0", "lan"), "b") == {"f": NO}
    assert best(listing, 4, (), "a") == {}


@pytest.mark.parametrize(
    ("base", "rule", "answer"),
    [
        ("hook prerouting priority raw", 'iifname "lan" drop', {"f": NO}),
        ("hook prerouting priority raw", 'iifname "wan" drop', {"f": YES}),
        ("hook prerouting priority filter + 10", "fib saddr . mark . iif oif missing drop", {"f": YES}),
        ("hook postrouting priority mangle", 'oifname "a" drop', {"f": NO}),
        ("hook postrouting priority mangle", 'iifname "lan" drop', {"f": NO}),
        ('hook egress device "a" priority filter', 'iifname "lan" drop', {"f": YES}),  # it is not known there
        ('hook ingress device "lan" priority filter', "drop", {"f": NO}),
        ('hook ingress device "wan" priority filter', "drop", {}),
        ("hook ingress devices = { wan, lan } priority filter", "drop", {"f": NO}),
        ("hook egress devices = { a, b } priority filter", "drop", {"f": NO}),
        ("hook input priority filter", "drop", {}),
        ("hook output priority filter", "drop", {}),
    ],
)
def test_each_hook_that_a_forwarded_packet_meets_counts_with_what_is_known_of_the_packet_there(base, rule, answer):
    listing = f"table inet fw {{\n\tchain f {{\n\t\ttype filter {base}; policy accept;\n\t\t{rule}\n\t}}\n}}\n"
    assert passes(listing, Packet(4, "lan", "a")) == answer


def test_a_chain_of_one_device_stops_nothing_that_comes_in_by_another():
    rules = 'type filter hook ingress device "lan" priority filter; policy drop;'
    listing = f"table netdev fw {{\n\tchain f {{\n\t\t{rules}\n\t}}\n}}\n"
    assert best(listing, 4, ("lan", "dmz"), "a") == {"f": YES}
    assert best(listing, 4, ("lan",), "a") == {"f": NO}


def test_a_listing_is_not_kept_for_what_was_found_in_it():
    class Listing(str):
        """Some megabytes, another each time a container comes or goes."""

        __slots__ = ("__weakref__",)

    listing = Listing("table ip f {\n\tchain f {\n\t\ttype filter hook forward priority 0; policy drop;\n\t}\n}\n")
    assert best(listing, 4, ("lan",), "a") == {"f": NO}
    kept = weakref.ref(listing)
    del listing
    assert kept() is None
