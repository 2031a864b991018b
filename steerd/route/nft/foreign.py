"""Whether chains of others let forwarded packets pass, in each hook that these meet, as far as their text tells. Pure.

A rule that matches on more than devices, the family and new connections may accept a packet or not: that is not
judged. So two answers are certain: some rule accepts whatever comes in and leaves so, or none can.
"""

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

_CHAIN = re.compile(r"^\tchain (\S+) \{\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_BASE = re.compile(r"type filter hook (\w+)(?: devices? (?:= )?([^;]*?))? priority [^;]*;(?: policy (\w+);)?")
_HOOK = re.compile(r"type \w+ hook (\w+) ")
HOOKS = ("ingress", "prerouting", "forward", "postrouting", "egress")
"""Those that a forwarded packet passes, in order."""
_DEVICE = re.compile(r'\b(iif|oif)(?:name)? (!= )?("[^"]*"|\{[^}]*\})')
_LEADS_ON = re.compile(r"\b(?:jump|goto) (\S+?)(?=[\s,}]|$)")
_STATE = re.compile(r"\bct state (!= )?(\{[^}]*\}|[\w,]+)")
_PLAIN = re.compile(
    r'\bmeta nfproto ipv[46]|\bcounter(?: packets \d+ bytes \d+)?|\bcomment "[^"]*"|\blog(?: \w+ "[^"]*")?'
)
_ENDS = re.compile(r"(?:drop|reject(?: .*)?|return|queue.*)$")
_OTHER_FAMILY = {
    4: re.compile(r"\bnfproto ipv6|\bip6 |\bicmpv6 "),
    6: re.compile(r"\bnfproto ipv4|\bip [a-z]|\bicmp "),
}
_REMEMBERED = 256
_found: dict[tuple[int, int, int, tuple[str, ...], str], dict[str, "Passes"]] = {}
"""What `best` found. Hashes stand for listings: each change of others' tables brings another, of megabytes at worst."""


class Passes(IntEnum):
    NO = 0
    MAYBE = 1
    YES = 2


class Packet(NamedTuple):
    """The first of a connection, of one family, as it is forwarded."""

    family: int
    iif: str
    oif: str


def chains(listing: str) -> dict[str, list[str]]:
    """The rules of each chain in a listing of a table; a base chain's first is what `hook` takes."""
    return {name: [line.strip() for line in text.splitlines()] for name, text in _CHAIN.findall(listing)}


def hook(rules: Sequence[str]) -> str:
    """The hook of a base chain; empty: it is none."""
    base = _HOOK.match(rules[0]) if rules else None
    return base[1] if base else ""


def passes(listing: str, packet: Packet) -> dict[str, Passes]:
    """Of each chain that a forwarded packet meets whether it, with those it leads to, lets the packet pass.
    ``listing``: a table, as `nft` lists it without counters."""
    there = chains(listing)
    found: dict[str, Passes] = {}
    known: dict[str, dict[str, tuple[Passes, bool]]] = {}  # of chains that others lead to: many may lead to one
    for name, rules in there.items():
        base = _BASE.match(rules[0]) if rules else None
        if base is None or base[1] not in HOOKS:
            continue
        here = _as_seen(packet, base[1])
        if base[2] and not {here.iif, here.oif} & set(re.findall(r"[^\s{},\"]+", base[2])):
            continue
        best, ended = _walk(there, rules[1:], here, known.setdefault(base[1], {}))
        found[name] = best if ended or base[3] == "drop" else Passes.YES
    return found


def _as_seen(packet: Packet, hook: str) -> Packet:
    """What a chain in the hook sees of it: by which device it will leave is not known before it is routed, and at that
    device not by which it came in."""
    if hook in ("ingress", "prerouting"):
        return packet._replace(oif="")
    return packet._replace(iif="") if hook == "egress" else packet


def best(listing: str, family: int, iifs: tuple[str, ...], oif: str) -> dict[str, Passes]:
    """As `passes`, for what comes in by any of the devices: the best answer for each chain."""
    key = hash(listing), len(listing), family, iifs, oif
    if (known := _found.get(key)) is not None:
        return known
    each = [passes(listing, Packet(family, iif, oif)) for iif in iifs]
    found = {
        name: max(one.get(name, Passes.YES) for one in each) for name in dict.fromkeys(n for one in each for n in one)
    }
    if len(_found) >= _REMEMBERED:
        _found.clear()
    _found[key] = found
    return found


def _walk(
    chains: Mapping[str, Sequence[str]], rules: Sequence[str], packet: Packet, known: dict[str, tuple[Passes, bool]]
) -> tuple[Passes, bool]:
    """The best that may become of the packet, and whether that is all: nothing goes on behind these rules."""
    found = Passes.NO
    for rule in rules:
        if not _may_match(rule, packet):
            continue
        rest = _conditions(rule)
        if rest == "accept":
            return Passes.YES, True
        if re.search(r"\baccept\b", rest):
            found = max(found, Passes.MAYBE)
        for name in _LEADS_ON.findall(rest):
            if name not in known:
                known[name] = Passes.NO, False  # in a circle, which the kernel refuses, nothing is accepted
                known[name] = _walk(chains, chains.get(name, ()), packet, known)
            inner, ended = known[name]
            always = rest in (f"jump {name}", f"goto {name}")
            if always and (ended or rest.startswith("goto")):
                return max(found, inner), ended
            found = max(found, min(inner, Passes.MAYBE))
        if _ENDS.match(rest):
            return (Passes.MAYBE if rest.startswith("queue") else found), rest != "return"
    return found, False


def _may_match(rule: str, packet: Packet) -> bool:
    if _OTHER_FAMILY[packet.family].search(rule):
        return False
    for way, negated, names in _DEVICE.findall(rule):
        patterns = re.findall(r'"([^"]*)"', names)
        device = packet.iif if way == "iif" else packet.oif
        if any(fnmatchcase(device, pattern) for pattern in patterns) == bool(negated):
            return False
    state = _STATE.search(rule)
    return state is None or ("new" in state[2]) != bool(state[1]) or "vmap" in rule


def _conditions(rule: str) -> str:
    """The rule without what is known of the packet: the verdict alone, or more that it depends on."""
    for known in (_DEVICE, _STATE, _PLAIN):
        rule = known.sub("", rule)
    return " ".join(rule.split())
