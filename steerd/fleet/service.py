"""Joins the fleet service's parts and runs them."""

import asyncio
import logging
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from steerd.config.fleet.settings import FleetSettings
from steerd.faults import Boundary
from steerd.fleet.drains import Drains
from steerd.fleet.heard import Heard
from steerd.fleet.inventory import Inventory, InventoryError, read
from steerd.fleet.member import FleetMember
from steerd.fleet.metrics import Metrics
from steerd.fleet.pages import FleetPages
from steerd.fleet.view import FleetView, Search, page, rows, view
from steerd.share.mqtt.flow import LISTENING
from steerd.share.mqtt.session import Session
from steerd.share.refusals import Refusals
from steerd.share.signing import signers
from steerd.web.http import Server

_log = logging.getLogger(__name__)

VIEWED = 1.0
"""Seconds for which a view of the fleet is shown again: to make one takes 60 ms for 10,000 gateways."""


class FleetService:
    """All of it. InventoryError, OSError: the inventory cannot be read."""

    def __init__(self, settings: FleetSettings) -> None:
        self._settings = settings
        self._inventory = read(settings.inventory) if settings.inventory else Inventory()
        self._connected = False
        self._view: FleetView | None = None
        self._viewed_at = 0.0
        self._metrics = Metrics(self.view)
        refuse = Refusals(self._metrics.refused)
        self._heard = Heard(lambda: self._inventory, refuse, time.monotonic, time.time)
        self._drains = Drains(signers(dict(settings.mqtt.trusted_keys)), time.time)
        self._session = Session(
            settings.mqtt,
            FleetMember(settings, self._heard, self._drains, refuse, epoch=int(time.time())),
            refuse=refuse,
            on_connected=self._connection,
            on_message=self._metrics.message,
            draw=random.random,
            flow=LISTENING,
        )
        pages = FleetPages(self._figures, self._rows, self._metrics.render, self._ready)
        self._server = Server(
            settings.export, pages.answer, lambda reason: self._metrics.refused("http", reason), "page and metrics"
        )

    @property
    def port(self) -> int:
        """Where the page is served."""
        return self._server.port

    def view(self) -> FleetView:
        """The fleet as it was a moment ago."""
        now = time.monotonic()
        if self._view is None or now >= self._viewed_at + VIEWED:
            self._view, self._viewed_at = view(self._heard, self._drains, now, self._settings.stale_after), now
        return self._view

    async def run(self, started: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT. SIGHUP reads the inventory and the broker's credentials again. ``started``
        gets a sentence when it listens."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        tasks: set[asyncio.Task[None]] = set()

        def reload() -> None:
            task = asyncio.create_task(self._reload())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        await self._server.start()
        boundary = Boundary("fleet")
        for work in (self._session.run, self._server.keep_trying):
            tasks.add(asyncio.create_task(boundary.keep(work)))
        started(f"the fleet's page is at http://{self._settings.export.host}:{self.port}/")
        try:
            await stopping.wait()
        finally:
            await self._session.stop()
            await self._server.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _reload(self) -> None:
        await self._session.renew()
        file = self._settings.inventory
        if file is None:
            return
        try:
            self._inventory = await asyncio.to_thread(read, file)
        except (OSError, InventoryError) as error:
            _log.error("the inventory of before stays: %s", _said(file, error))
            return
        self._heard.enrol()
        _log.info("%d gateways are in the inventory", len(self._inventory))

    def _connection(self, connected: bool) -> None:
        self._connected = connected
        self._metrics.connected(connected)

    def _ready(self) -> tuple[bool, str]:
        return (True, "hears the broker") if self._connected else (False, "the broker is not connected")

    def _figures(self) -> dict[str, object]:
        settings = self._settings
        known = len(self._inventory) if settings.inventory else None
        about = {"connected": self._connected, "inventory": known, "drains": bool(settings.mqtt.trusted_keys)}
        return {**about, "tenant": settings.mqtt.tenant, **page(self.view())}

    def _rows(self, search: Search) -> dict[str, object]:
        return rows(self._heard, search, time.monotonic(), self._settings.stale_after)


def _said(file: Path, error: OSError | InventoryError) -> str:
    return str(error) if isinstance(error, InventoryError) else f"{file}: {error.strerror}"
