"""When pinned connections are released: at once from a path that died or is to be spared, after a while from one that
was left. Pure.

Times are seconds of one clock that only goes forward.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from math import inf
from typing import NamedTuple

from steerd.core.settings import PathId


class Due(NamedTuple):
    """``inbound``: also those that came in by the path, which a path that was merely left goes on answering."""

    path: PathId
    inbound: bool


class Release:
    """Nothing is released while any policy uses the path: what its connections would meet then is the same."""

    def __init__(self) -> None:
        self._chosen: AbstractSet[PathId] = frozenset()
        self._left: dict[PathId, float] = {}
        self._dead: dict[PathId, bool] = {}  # whether its connections were released
        self._spared: AbstractSet[PathId] = frozenset()

    def chose(self, paths: Iterable[PathId], chosen: AbstractSet[PathId], now: float) -> None:
        """Policies use the ``chosen`` ones; others never chosen count as left now: a former run may have used them."""
        known = set(paths)
        left = {path: since for path, since in self._left.items() if path in known and path not in chosen}
        for path in known - set(chosen):
            if path in self._chosen or path not in self._left:
                left[path] = -inf if path in self._spared else now
        self._left = left
        self._chosen = frozenset(chosen)
        self._dead = {path: done and path not in chosen for path, done in self._dead.items() if path in known}

    def lost(self, path: PathId) -> None:
        """The path is down, or its device is gone."""
        self._dead.setdefault(path, False)

    def found(self, path: PathId) -> None:
        """It answers again."""
        self._dead.pop(path, None)

    def spare(self, paths: AbstractSet[PathId]) -> bool:
        """These are used only if nothing else is up: what is left behind there is released at once. What came in by
        them goes on. True: something is due."""
        due = paths & self._left.keys() - self._spared
        self._left |= dict.fromkeys(due, -inf)
        self._spared = frozenset(paths)
        return bool(due)

    def due(self, now: float, max_drain: float) -> list[Due]:
        """What is to be released now; each is told once."""
        found = [Due(path, inbound=True) for path, done in self._dead.items() if not done and path not in self._chosen]
        self._dead |= {one.path: True for one in found}
        over = [path for path, since in self._left.items() if since + max_drain <= now]
        self._left |= dict.fromkeys(over, inf)
        gone = {one.path for one in found}
        return sorted([*found, *(Due(path, inbound=False) for path in over if path not in gone)])

    def deadline(self, max_drain: float) -> float:
        """When something will be due by time alone; infinity: never."""
        return min(self._left.values(), default=inf) + max_drain
