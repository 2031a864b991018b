"""Follows a provider's catalogue: looks for it, checks it, has it taken up whole, and keeps the last good one."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from steerd.config.catalogue import entries
from steerd.config.catalogue.signed import REASONS, Listed, RefusedError, fresh, verified
from steerd.config.change import StageChange, Swap
from steerd.config.settings import CatalogueSettings, Config
from steerd.daemon.catalogue.source import Source
from steerd.status.catalogue import CatalogueView
from steerd.text.lines import printable
from steerd.web.metrics import Metrics

log = logging.getLogger("steerd")

IDLE: Final = 3600.0


class Follower:
    """``config``: the configuration in force. ``take`` swaps it for one with another catalogue's PoPs, and returns what
    is in the way, having changed nothing then. ``wall``: seconds since 1970."""

    def __init__(
        self,
        config: Callable[[], Config],
        take: Callable[[bytes], Awaitable[Sequence[str]]],
        metrics: Metrics,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._take = take
        self._metrics = metrics
        self._wall = wall
        self._source = Source()
        self._asked = asyncio.Event()
        self._good_at: float | None = None
        self._taking = False
        self._refused = ""
        self._unkept = ""
        metrics.refusals("catalogue", REASONS)
        metrics.catalogue.follow(self.view)

    async def run(self) -> None:
        """Look every so often, and after each reload, for ever."""
        while True:
            self._asked.clear()
            settings = self._config().catalogue
            if settings is not None:
                await self.look(settings)
            try:
                async with asyncio.timeout(settings.interval if settings is not None else IDLE):
                    await self._asked.wait()
            except TimeoutError:
                continue

    async def prepare(self, _: Config) -> StageChange:
        """As the other stages: after a reload the source may be another one."""
        return Swap(self._look_soon, None, None)

    async def look(self, settings: CatalogueSettings) -> None:
        """Once. Whatever is wrong changes nothing, and is told."""
        try:
            listed = await self._found(settings)
        except RefusedError as error:
            self._refuse(error.reason, str(error))
            return
        former = self._config().listed
        if listed is not None:
            self._taking = True
            try:
                problems = await self._take(listed.payload)
            finally:
                self._taking = False
            if problems:
                more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
                self._refuse("clashes", f"serial {listed.serial}: {problems[0]}{more}")
                return
            log.info("catalogue %s, serial %d: %s", listed.name, listed.serial, entries.counted(former, listed))
            await self._keep(settings.kept, listed)
        self._good_at, self._refused = self._wall(), ""

    def view(self) -> CatalogueView | None:
        """What there is to see; None: there is no `[catalogue]`."""
        config, now = self._config(), self._wall()
        settings, listed = config.catalogue, config.listed
        if settings is None:
            return None
        return CatalogueView(
            name=settings.name,
            source=(settings.url or str(settings.file)).partition("?")[0],  # a token may stand behind it
            serial=listed.serial if listed else None,
            pops=len(listed.pops) if listed else 0,
            issued_ago=max(0.0, now - listed.issued_ms / 1000.0) if listed else None,
            expired=listed is not None and listed.expires_ms / 1000.0 < now,
            good_at=self._good_at,
            good_ago=None if self._good_at is None else max(0.0, now - self._good_at),
            refused=self._refused,
            unkept=self._unkept,
        )

    def _look_soon(self, _: None) -> None:
        if not self._taking:
            self._asked.set()

    async def _found(self, settings: CatalogueSettings) -> Listed | None:
        """A catalogue that follows the one in force; None: it is that one. RefusedError: it is not to be taken."""
        try:
            payload = await asyncio.to_thread(self._source.read, settings)
        except OSError as error:
            raise RefusedError("unreachable", f"it cannot be had: {error.strerror or error}") from error
        except ValueError as error:
            raise RefusedError("too large", str(error)) from error
        former = self._config().listed
        if former is not None and former.name == settings.name and payload == former.payload:
            return None
        listed = await asyncio.to_thread(verified, payload, settings.name, settings.trusted_keys)
        fresh(listed, former if former is not None and former.name == settings.name else None, self._wall())
        return listed

    async def _keep(self, file: Path, listed: Listed) -> None:
        try:
            await asyncio.to_thread(_write, file, listed.payload)
            self._unkept = ""
        except OSError as error:
            self._unkept = (
                f"{file} cannot be written, so a restart does not know serial {listed.serial}: {error.strerror}"
            )
            log.error("catalogue %s: %s", listed.name, self._unkept)  # noqa: TRY400 (its text is the whole of it)

    def _refuse(self, reason: str, words: str) -> None:
        self._metrics.refused("catalogue", reason)
        said = printable(words)
        if said != self._refused:
            self._refused = said
            log.warning("catalogue not taken, %s: %s", reason, said)


def _write(file: Path, payload: bytes) -> None:
    """All of it or nothing, also when the power goes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    with new.open("wb") as stream:
        stream.write(payload)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
