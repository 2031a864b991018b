"""Numbers that the configuration takes for steerd alone, and others have."""

import re
from collections.abc import Iterator

from steerd.config.route_settings import RouteSettings
from steerd.config.settings import Config
from steerd.machine.finding import Cure, Finding, do, error, put, run
from steerd.machine.record import Machine, Process
from steerd.route.around.collisions import collisions
from steerd.route.claim import Claimed, claims
from steerd.route.model import numbers
from steerd.route.model.objects import Seen

_PROTOCOL = re.compile(r"of protocol (\d+)")
_WHOSE = {11: " (zebra)", 12: " (bird)", 18: " (keepalived)", 42: " (babeld)", 186: " (BGP, as FRR's)", 188: " (OSPF)"}
"""As iproute2 names them (rt_protos)."""
_STEP, _TRIES = 1000, 100
_UNSTARTED = "steerd does not start while this is so."


def look(config: Config, machine: Machine) -> Iterator[Finding]:
    """Tables, rules and marks of others, their table of nftables, and another steerd with the same numbers."""
    seen, table = machine.reserved.seen, machine.reserved.table
    for one in collisions(config.route, seen) if seen else ():
        other = _others_numbers(config.route, machine, seen, one.key) if seen else None
        cure = other or (run(one.command) if one.command else do(f"{_sentence(one.cure)}."))
        what = one.what.removeprefix(f"{one.key.partition(',')[0]}: ")
        what = _PROTOCOL.sub(lambda found: found[0] + _WHOSE.get(int(found[1]), ""), what)
        yield error("numbers-taken", one.key, f"{_sentence(what)}.", _UNSTARTED, cure)
    if table:
        what, _, cure_ = table.rpartition(": ")
        yield error("numbers-taken", "route.nft_table", f"{_sentence(what)}.", _UNSTARTED, do(f"{_sentence(cure_)}."))
    yield from _others(config, machine)


def _others_numbers(settings: RouteSettings, machine: Machine, seen: Seen, key: str) -> Cure | None:
    """Numbers that nobody has, as far as is known: what others have is left to them."""
    rules = [rule for protocol, rule in machine.rules if protocol != settings.protocol]
    if key == "route.table":
        taken = {number for _, number in machine.tables} | {kind.table for _, kind in seen.foreign.routes}
        size = len(numbers.tables(settings))
        bases = range(settings.table + _STEP, settings.table + _TRIES * _STEP, _STEP)
        free = [base for base in bases if not any(base <= one < base + size for one in taken)]
        return put(f"route.table = {free[0]}") if free else None
    if key == "route.rule_priority":
        # Below: what is above comes before ours.
        bases = range(settings.rule_priority - numbers.PRIORITIES, 0, -numbers.PRIORITIES)
        free = [base for base in bases if not any(base <= rule.priority < base + numbers.PRIORITIES for rule in rules)]
        return put(f"route.rule_priority = {free[0]}") if free else None
    return None


def _others(config: Config, machine: Machine) -> Iterator[Finding]:
    """One finding for each other steerd. Whom we may not ask who it is may be this configuration's own daemon."""
    mine = claims(config.route)
    met: dict[Process, list[Claimed]] = {}
    for other, inode in machine.sockets.claims:
        holder = machine.sockets.holders.get(inode)
        # Anybody may take such a name, and nobody but root may change routes.
        if holder is None or holder.pid == machine.sockets.daemon or holder.user != 0:
            continue
        if any(one.meets(other) for one in mine):
            met.setdefault(holder, []).append(other)
    for holder, taken in met.items():
        named = ", ".join(f"{one.key} {one.words}" for one in taken)
        yield error(
            "second-steerd",
            f"route.{taken[0].key}",
            f"Another steerd, process {holder.pid}, has {named} here.",
            "Two that think the same routes theirs undo each other's work: the second does not start.",
            run(f"kill {holder.pid}"),
        )


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
