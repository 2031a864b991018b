"""Follows a provider's catalogue: looks for it, checks it, has it taken up whole, and keeps the last good one."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from steerd.config.catalogue import entries
from steerd.config.catalogue.signed import MOST, REASONS, Listed, RefusedError, fresh, verified
from steerd.config.change import StageChange, Swap
from steerd.config.settings import CatalogueSettings, Config
from steerd.daemon.catalogue.source import Source
from steerd.daemon.threads import Apart
from steerd.share import topics
from steerd.status.catalogue import CatalogueView
from steerd.text.lines import printable
from steerd.text.seldom import Seldom, more
from steerd.web.metrics import Metrics

log = logging.getLogger("steerd")

IDLE: Final = 3600.0
PACE: Final = 2.0
REST: Final = 9.0
REST_MAX: Final = 60.0
"""Seconds between two looks at what a broker sends, at least; and so many times as long as the look took, at most a
minute: a broker that sends catalogues without end gets a tenth of a core. What comes last is looked at."""
SAID_EVERY: Final = 60.0
"""Seconds between two lines of the log about the same reason, when one follows the other."""


class _Heard(NamedTuple):
    """A message of the broker's; ``at``: seconds since 1970."""

    topic: str
    payload: bytes
    kind: str | None
    at: float


class Follower:
    """``config``: the configuration in force. ``take`` swaps it for one with another catalogue's PoPs, and returns what
    is in the way, having changed nothing then. ``observing``: no broker is asked; ``connected``: whether
    there is a session with it. ``wall``: seconds since 1970, and
    ``clock`` monotonic."""

    def __init__(
        self,
        config: Callable[[], Config],
        take: Callable[[bytes], Awaitable[Sequence[str]]],
        metrics: Metrics,
        *,
        observing: bool = False,
        connected: Callable[[], bool] = lambda: True,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._take = take
        self._metrics = metrics
        self._observing = observing
        self._connected = connected
        self._wall = wall
        self._clock = clock
        self._source = Source()
        self._reading = Apart("steerd-catalogue")
        self._heard: _Heard | None = None
        self._seldom = Seldom(SAID_EVERY, clock)
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
                began = self._clock()
                looked = await self.look(settings)
                if settings.topic and looked:
                    await asyncio.sleep(min(REST_MAX, max(PACE, REST * (self._clock() - began))))
            try:
                async with asyncio.timeout(settings.interval if settings is not None else IDLE):
                    await self._asked.wait()
            except TimeoutError:
                continue

    async def prepare(self, _: Config) -> StageChange:
        """As the other stages: after a reload the source may be another one."""
        return Swap(self._look_soon, None, None)

    def heard(self, topic: str, payload: bytes, kind: str | None) -> None:
        """A message of this content type. An empty one, which clears the topic, changes nothing."""
        if payload:
            self._heard = _Heard(topic, payload, kind, self._wall())
            self._asked.set()

    async def look(self, settings: CatalogueSettings) -> bool:
        """Once; whether there was anything to look at. Whatever is wrong changes nothing, and is told."""
        heard, read_at = self._heard, self._wall()
        if settings.topic and not self._observing:
            if heard is None or heard.topic != self._topic():
                return False
            if not self._connected():
                read_at = max(heard.at, self._good_at or 0.0)
        try:
            listed = await self._found(settings, heard)
        except RefusedError as error:
            self._refuse(error.reason, str(error))
            return True
        former = self._config().listed
        if listed is not None:
            self._taking = True
            try:
                problems = await self._take(listed.payload)
            finally:
                self._taking = False
            if problems:
                others = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
                self._refuse("clashes", f"serial {listed.serial}: {problems[0]}{others}")
                return True
            log.info("catalogue %s, serial %d: %s", listed.name, listed.serial, entries.counted(former, listed))
            await self._keep(settings.kept, listed)
        self._good_at, self._refused = read_at, ""
        return True

    def view(self) -> CatalogueView | None:
        """What there is to see; None: there is no `[catalogue]`. Of a URL without its query: a token may be there."""
        config, now = self._config(), self._wall()
        settings, listed = config.catalogue, config.listed
        if settings is None:
            return None
        return CatalogueView(
            name=settings.name,
            source=self._topic() if settings.topic else (settings.url or str(settings.file)).partition("?")[0],
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

    def _topic(self) -> str:
        config = self._config()
        return topics.catalogue(config.mqtt.tenant, config.catalogue.name) if config.mqtt and config.catalogue else ""

    async def _found(self, settings: CatalogueSettings, heard: _Heard | None) -> Listed | None:
        """A catalogue that follows the one in force; None: it is that one. RefusedError: it is not to be taken."""
        try:
            if not settings.topic:
                payload = await self._reading.call(lambda: self._source.read(settings))
            elif heard is not None:
                payload = await asyncio.to_thread(_unpacked, heard)
            else:
                raise RefusedError("unreachable", "who only observes asks no broker: a file or a url can be followed")
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
            unsaid = self._seldom.said(reason)
            if unsaid is not None:
                log.warning("catalogue not taken, %s: %s%s", reason, said, more(unsaid))


def _unpacked(heard: _Heard) -> bytes:
    from steerd.share import messages  # noqa: PLC0415 (gateways without a broker do not pay for it)

    try:
        return messages.unpacked(heard.payload, heard.kind, MOST)
    except messages.RefusedError as error:
        words = {
            "content type": "it comes as something else than JSON",
            "too large": f"it is larger than {MOST >> 20} MiB",
        }
        raise RefusedError(error.reason, words.get(error.reason, "it cannot be inflated")) from error


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
