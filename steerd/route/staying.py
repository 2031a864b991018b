"""How many connections stay on paths that policies have left: counted while there may be some, and seldom."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from time import monotonic
from typing import Final

from steerd.config.route_settings import Flows
from steerd.core.settings import PathId
from steerd.route.kernel.conntrack import counted
from steerd.route.reconcile.standing import Standing

log = logging.getLogger(__name__)

_EVERY: Final = 5.0
"""Seconds between two looks."""
_REST: Final = 20.0
"""So many times as long as a look took, the next one waits: conntrack may have millions."""
_FEW: Final = 8
"""Paths whose connections are asked for one by one: the kernel then leaves out the others."""


class Staying:
    """``counts`` has the paths that carry no policy and have some, as of the last look."""

    def __init__(self, standing: Callable[[], Standing], pins: Callable[[], bool]) -> None:
        """``pins``: whether connections are pinned now."""
        self.counts: Mapping[PathId, int] = {}
        self._standing = standing
        self._pins = pins
        self._since: dict[PathId, float] = {}  # when a path was used last, or had a connection
        self._empty: set[PathId] = set()
        self._heard = True  # conntrack answered last time: said once if it does not

    def used(self, paths: AbstractSet[PathId]) -> None:
        """Policies use these now: what was found empty stays so until then."""
        self._empty -= paths

    async def run(self) -> None:
        """For ever."""
        while True:
            began = monotonic()
            await self._look(began)
            await asyncio.sleep(max(_EVERY, _REST * (monotonic() - began)))

    async def _look(self, now: float) -> None:
        standing = self._standing()
        settings, used = standing.settings, standing.chosen
        # A client that is kept may come back to a path without connections.
        idle = max((one.client_idle for one in settings.policies if one.flows is Flows.CLIENT), default=0.0)
        left = {path.mark: path.path for path in settings.paths if path.path not in used | self._empty}
        if not left or not self._pins():
            self.counts = {}
            return
        try:
            marks = left if len(left) <= _FEW else None
            found = await asyncio.to_thread(counted, settings.mark_mask, marks)
        except OSError as error:
            if self._heard:
                log.info("connections that stay on paths cannot be counted: %s", error)
            self.counts, self._heard = {}, False
            return
        self._heard = True
        every = {path: sum(found.get((mark, family), 0) for family in (4, 6)) for mark, path in left.items()}
        self.counts = {path: count for path, count in every.items() if count}
        kept = {path: since for path, since in self._since.items() if path in every}
        self._since = {**dict.fromkeys(every, now), **kept, **dict.fromkeys(self.counts, now)}
        self._empty |= {path for path in every if path not in self.counts and now - self._since[path] >= idle}
