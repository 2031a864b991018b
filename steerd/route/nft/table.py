"""Our one table of nftables, and how it takes the place of the one before without a packet noticing. Pure.

One transaction swaps all rules at once, but not what they look up: the kernel shows what was put into a set a tenth of
a millisecond later than the rules that came with it, and removes the verdicts of a map before the rules that ask it.
Lookups in between find nothing, so that the guard drops what it should accept and accepts what it should drop. So what
rules look up never changes: a set's name tells what is in it; it is filled before a rule asks it, and removed when none
does any more. Chains stay, and are refilled in between, in one transaction. Counters stay with what they have counted.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from steerd.route.nft import words

DYNAMIC = "flags dynamic,timeout"
"""Of a set whose elements packets bring: they stay as long as the set does."""
_VERSION = "version_"

Name = tuple[str, str]
"""``chain``, ``set``, ``map`` or ``counter``, and what it is called."""

_HEAD = re.compile(r"^\t(chain|set|map|counter) (\S+) \{", re.MULTILINE)
_LOOKED_UP = ("set", "map")
_REMOVED_IN_ORDER = ("set", "map", "counter", "chain")
"""Maps name counters and chains, and so go first."""
_TARGET = re.compile(r" : goto (\w+)")
_NAMED = re.compile(r'"[^"]*"|(^\t(?:set|map) |@)(\w+)', re.MULTILINE)
"""What is quoted is no set's name: a device may be called `wg@0`."""


@dataclass(frozen=True, slots=True)
class Table:
    """``blocks`` are its chains, sets, maps and counters as `words.block` makes them. What rules look up in ranges, and
    what leads to a verdict, is a set or map of its own, not written into the rule."""

    name: str
    comment: str
    blocks: tuple[str, ...]

    @classmethod
    def of(cls, name: str, comment: str, blocks: Collection[str]) -> Self:
        """Names of sets and maps tell what is in them; that of the empty chain at the end tells the whole table."""
        full = {
            set_: f"{set_}_{_digest(block)}" for block in blocks for kind, set_ in names(block) if kind in _LOOKED_UP
        }
        named = tuple(
            _NAMED.sub(lambda found: found[1] + full[found[2]] if found[2] else found[0], block) for block in blocks
        )
        return cls(name, comment, (*named, words.chain(_VERSION + _digest("\n".join(named)), [])))

    @property
    def version(self) -> str:
        """The chain that only this table has."""
        return names(self.blocks[-1])[0][1]

    @property
    def whole(self) -> str:
        """The transaction that replaces whatever has its name."""
        return removal(self.name) + _table(self.name, [f'\tcomment "{self.comment}"', *self.blocks])

    def changes(self, there: Collection[Name], *, trusted: bool = False) -> list[str]:
        """The transactions from these chains, sets and maps to this table. ``trusted``: names tell what is in them."""
        if not there:
            return [self.whole]
        mine = {names(block)[0]: block for block in self.blocks}
        there = dict.fromkeys(there)
        fresh = [one for one in mine if one[0] != "chain" and one not in there]
        old = [one for one in there if one not in mine]
        spent = [one for one in old if one[1].startswith(_VERSION)]

        found = []
        if fresh:
            targets = {name for one in fresh for name in _TARGET.findall(mine[one])}
            told = [words.chain(name, []) for name in sorted(targets)]
            found.append(_table(self.name, [*told, *(mine[one] for one in fresh)]))
        kept = {one for one, block in mine.items() if DYNAMIC in block}
        doubted = {one for one in mine if one[0] in _LOOKED_UP and not trusted} - kept - {*fresh}
        put = [one for one in mine if one[0] == "chain" or one in doubted]
        emptied = [one for one in there if one in put or one[0] == "chain"]
        swap = [*self._all("flush", emptied), *self._all("delete", spent)]
        found.append("\n".join([*swap, _table(self.name, [mine[one] for one in put])]))
        if unasked := sorted((one for one in old if one not in spent), key=lambda one: _REMOVED_IN_ORDER.index(one[0])):
            found.append("\n".join([*self._all("delete", unasked), ""]))
        return found

    def _all(self, verb: str, found: Collection[Name]) -> list[str]:
        return [f"{verb} {kind} inet {self.name} {name}" for kind, name in found]


def names(text: str) -> list[Name]:
    """The chains, sets, maps and counters in a listing or block."""
    return [(kind, name) for kind, name in _HEAD.findall(text)]


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]


def removal(table: str) -> str:
    """`add` first, so that `delete` never fails."""
    return f"add table inet {table}\ndelete table inet {table}\n"


def _table(name: str, blocks: Collection[str]) -> str:
    return "\n".join([f"table inet {name} {{", *blocks, "}\n"])
