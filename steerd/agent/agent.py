"""Joins the agent's parts and runs them."""

import asyncio
import logging
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from zlib import crc32

from steerd.agent.links import Links
from steerd.agent.load import Load
from steerd.agent.metrics import Metrics
from steerd.agent.reflecting import Reflecting
from steerd.config.agent.load import load
from steerd.config.agent.settings import AgentSettings
from steerd.config.change import StageError
from steerd.config.file.problem import ConfigError
from steerd.config.stamp_key import KeyFileError
from steerd.faults import Boundary, watch_over
from steerd.reflect.listener import ListenError
from steerd.share.mqtt.session import Session
from steerd.share.pop import PopMember, PopStatus
from steerd.share.refusals import Refusals
from steerd.web.http import Server

_log = logging.getLogger(__name__)

REFUSALS = (StageError, KeyFileError, ListenError)
"""What says in one line why this machine cannot do as it is configured."""


class Agent:
    """All of it. ``told`` gets a sentence when it runs, and again after a reload; ``ending`` is called when it begins
    to end."""

    def __init__(self, settings: AgentSettings, told: Callable[[str], None], ending: Callable[[], None]) -> None:
        self._settings = settings
        self._told = told
        self._ending = ending
        self._draining = False
        self._links = Links(settings.links, settings.half_life, seed=crc32(settings.pop.encode()))
        self._reflecting = Reflecting()
        self._load: Load | None = None
        self._metrics = Metrics(
            self.status, lambda: self._load.failures if self._load else 0, lambda: self._reflecting.reflector
        )
        self._refuse = Refusals(self._metrics.refused)
        self._epoch = 0
        self._member: PopMember | None = None
        self._session: Session | None = None
        self._server: Server | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._reload_asked = asyncio.Event()
        self._stopping = asyncio.Event()
        self._now = asyncio.Event()  # without draining to its end

    def status(self) -> PopStatus:
        """What the PoP says of itself now."""
        settings = self._settings
        value, age = self._load.reading() if self._load else (None, 0.0)
        accepting = settings.accepting and not self._draining
        return PopStatus(accepting, value, age, settings.capacity, self._links.measured())

    async def run(self) -> None:
        """Until SIGTERM or SIGINT, and then until the PoP's gateways had time to go elsewhere; the second of them ends
        it at once. SIGHUP reads the configuration again. One of `REFUSALS`: it cannot begin."""
        loop = asyncio.get_running_loop()
        watch_over(loop)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload_asked.set)
        settings = self._settings
        try:
            self._reflecting.take(self._reflecting.prepare(settings.reflect))
            self._links.start()
            await self._read_load()
            await self._serve()
            self._keep("reflector", self._reflecting.tell)
            self._speak()
            self._told(self._summary())
            self._keep("reload", self._reload_when_asked)
            await self._stopping.wait()
            await self._forget("reload")
            self._ending()
            await self._drain()
        finally:
            await self._end()

    def _asked_to_stop(self) -> None:
        if self._stopping.is_set():
            self._now.set()
        self._stopping.set()

    async def _drain(self) -> None:
        """Say that the PoP takes nobody, and give its gateways time to hear it and to move."""
        wait = self._settings.drain_for
        if not wait or self._session is None:
            return
        self._draining = True
        self._session.wake()
        _log.info("%s takes nobody any more; ending in %g s", self._settings.pop, wait)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._now.wait()

    async def _end(self) -> None:
        if self._session is not None:
            await self._session.stop()
        if self._server is not None:
            await self._server.stop()
        for task in tuple(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._links.close()
        self._reflecting.close()

    # Its parts, under one configuration and under another

    async def _reload_when_asked(self) -> None:
        """However often that is while one is under way, once more after it."""
        while True:
            await self._reload_asked.wait()
            self._reload_asked.clear()
            await self._reload()

    async def _reload(self) -> None:
        """Another configuration, or the old one: nothing in between."""
        old = self._settings
        try:
            new = await asyncio.to_thread(load, old.source)
            reflecting = self._reflecting.prepare(new.reflect)
            try:
                links = await self._links.prepare(new.links)
            except StageError:
                if reflecting is not None:
                    reflecting.abort()
                raise
        except (ConfigError, *REFUSALS) as error:
            _log.error("reload refused, and the configuration of before stays in force: %s", error)
            return
        self._settings = new
        self._reflecting.take(reflecting)
        self._links.configure(new.links, new.half_life)
        await links.commit()
        if new.load != old.load:
            await self._read_load()
        if new.export != old.export:
            await self._serve()
        if new.mqtt != old.mqtt:
            await self._stop_speaking()
            self._speak()
        elif self._session is not None:
            await self._session.renew()
            self._session.wake()
        self._told(self._summary())

    async def _read_load(self) -> None:
        """Before it is spoken of: a PoP that says nothing of its load takes back what it said."""
        await self._forget("load")
        own = self._settings.load
        self._load = None if own is None else Load(own)
        if self._load is not None:
            await self._load.look()
            self._keep("load", self._load.keep_looking)

    async def _serve(self) -> None:
        await self._forget("http")
        if self._server is not None:
            await self._server.stop()
        self._server = None
        if self._settings.export is not None:
            self._server = Server(
                self._settings.export, self._metrics.answer, lambda reason: self._metrics.refused("http", reason)
            )
            await self._server.start()
            self._keep("http", self._server.keep_trying)

    def _speak(self) -> None:
        mqtt = self._settings.mqtt
        self._epoch = max(self._epoch + 1, int(time.time()))
        self._member = PopMember(mqtt, self.status, epoch=self._epoch)
        self._session = Session(
            mqtt,
            self._member,
            refuse=self._refuse,
            on_connected=self._metrics.connection,
            on_message=self._metrics.message,
            draw=random.random,
        )
        self._keep("mqtt", self._session.run)

    async def _stop_speaking(self) -> None:
        if self._session is not None and self._member is not None:
            await self._session.stop()
            self._epoch = self._member.epoch
        await self._forget("mqtt")

    def _keep(self, part: str, work: Callable[[], Awaitable[None]]) -> None:
        self._tasks[part] = asyncio.create_task(Boundary(part).keep(work))

    async def _forget(self, part: str) -> None:
        task = self._tasks.pop(part, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _summary(self) -> str:
        settings = self._settings
        links = ", ".join(path.pop for path in settings.links.paths) or "no links"
        return f"{settings.pop} {'takes' if settings.accepting else 'does not take'} traffic; measures {links}"
