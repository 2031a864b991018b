"""What marks chains of others set, as far as it changes where policies' packets go. Pure.

Only their text is looked at, not which packets it is about: so it is a remark, and a cause where packets go wrong.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from steerd.config.route_settings import RouteSettings
from steerd.route.nft.foreign import chains, hook

_INCOMING: Final = {"prerouting", "ingress"}
_OPERATION: Final = r"(?:&|and|\||or|\^|xor) "
_SET: Final = re.compile(r"\bmeta mark set ((?:(?:meta|ct) )?mark (?:\S+ )*?(?:\||or|\^|xor) )?(0x[0-9a-f]+)\b")
_WHOLE: Final = re.compile(rf"\bct mark set (?:(?:meta )?mark|0x[0-9a-f]+)\b(?! {_OPERATION})")
_RESTORES: Final = re.compile(rf"\bmeta mark set ct mark\b(?! {_OPERATION})")
_SELECTED: Final = re.compile(
    r"\bct state (?:\{[^}]*\bnew\b|new\b)|\bmark (?!set\b)(?:(?:&|and) \S+ )?(?:[!=]= )?(?:0x|@|\{)"
)
"""What only the first packet of a connection meets, or only packets and connections of some mark."""


def remarks(settings: RouteSettings, tables: Mapping[str, str]) -> Iterator[str]:
    """One line for each such chain. ``tables``: of others, as `nft` lists them, by what `nft` calls them."""
    for table, listing in tables.items():
        for name, rules in chains(listing).items():
            where = f"chain {name} of nftables' table {table}"
            look = f"(`nft list chain {table} {name}`)"
            if hook(rules) == "output":
                continue  # what it marks is not forwarded
            incoming = hook(rules) in _INCOMING or not hook(rules)
            for does in dict.fromkeys(found for rule in rules for found in _does(settings, rule, incoming=incoming)):
                yield f"{where} {does} {look}"


def _does(settings: RouteSettings, rule: str, *, incoming: bool) -> Iterator[str]:
    if settings.pins and _WHOLE.search(rule) and not _SELECTED.search(rule):
        yield (
            "sets the whole mark of connections, steerd's bits too: they do not stay on their path at a switch, nor "
            f"are they answered by the one that they came in by; have it leave {settings.mark_mask:#x} alone"
        )
    if not incoming:
        return
    for _, text in _SET.findall(rule):
        yield from _leads(settings, int(text, 0))
    marked = [policy for policy in settings.policies if any(policy.fwmark)]
    if marked and (wiped := _wiped(rule)) is not None and not _SELECTED.search(rule):
        for policy in marked:
            wanted, mask = policy.fwmark
            if wiped & mask != wanted:
                yield (
                    f"sets the whole mark of packets, which policy {policy.policy} selects by ({wanted:#x} of "
                    f"{mask:#x}): what loses its mark there is not the policy's, and goes by main"
                )


def _leads(settings: RouteSettings, value: int) -> Iterator[str]:
    if settings.bypass_mark and value == settings.bypass_mark:
        yield (
            f"marks packets that come in with route.bypass_mark ({value:#x}): these go by main, past policies and leak "
            "guard; choose another bypass_mark, or have it mark with another"
        )
    led = {mark: path for path in settings.paths for mark in (path.mark, path.inbound_mark) if mark}
    if path := led.get(value & settings.mark_mask):
        yield (
            f"sets mark {value:#x}, which is steerd's own for path {path.path} (bits {settings.mark_mask:#x}): what it "
            "marks goes by that path, whatever its policy chose; choose other bits in route.mark, or have it leave "
            "these alone"
        )


def _wiped(rule: str) -> int | None:
    """The mark that a packet has behind the rule, whatever it had before; None: it keeps bits of that."""
    if _RESTORES.search(rule):
        return 0
    found = [int(text, 0) for kept, text in _SET.findall(rule) if not kept]
    return found[-1] if found else None
