"""Numbers that the configuration takes for steerd alone, and others have."""

from collections.abc import Iterator

from steerd.config.settings import Config
from steerd.machine.finding import Finding, do, error, run
from steerd.machine.record import Machine, Process
from steerd.route.around.collisions import collisions
from steerd.route.claim import Claimed, claims

_UNSTARTED = "steerd does not start while this is so."


def look(config: Config, machine: Machine) -> Iterator[Finding]:
    """Tables, rules and marks of others, their table of nftables, and another steerd with the same numbers."""
    seen, table = machine.reserved.seen, machine.reserved.table
    for one in collisions(config.route, seen) if seen else ():
        cure = run(one.command) if one.command else do(f"{_sentence(one.cure)}.")
        what = one.what.removeprefix(f"{one.key.partition(',')[0]}: ")
        yield error("numbers-taken", one.key, f"{_sentence(what)}.", _UNSTARTED, cure)
    if table:
        what, _, cure_ = table.rpartition(": ")
        yield error("numbers-taken", "route.nft_table", f"{_sentence(what)}.", _UNSTARTED, do(f"{_sentence(cure_)}."))
    yield from _others(config, machine)


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
