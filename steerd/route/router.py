"""The routing stage's face: asyncio outside, one worker thread for the kernel inside."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from steerd.config.settings import OnStop, RouteSettings
from steerd.core.model import Installed, Steer
from steerd.core.settings import PathId, PolicyId
from steerd.route.error import RouteError
from steerd.route.kernel import Kernel
from steerd.route.objects import Device
from steerd.route.once import cleanup, plan
from steerd.route.reconcile import Outcome, Reconciler
from steerd.route.watch import Watch

__all__ = ["RouteError", "Router", "cleanup", "plan"]

log = logging.getLogger(__name__)

_DEBOUNCE = 0.05
"""Seconds from the first notice to the look at it: changes come in flocks."""
_FULL_COMPARISON = 60.0
_REPAIRS_AT_ONCE = 10
_REPAIRS_PER_SECOND = 1.0
"""When someone undoes every repair: ten without delay, then one a second. Devices never wait for it."""
_REST = 4.0
"""Times as long as the last comparison took, we keep still after it, whatever changes but a device."""

_T = TypeVar("_T")


class Router:
    """Keeps the kernel's routes as the settings and the latest `steer` of each policy want them.

    ``on_link(path, up)`` when a path's device comes or goes; ``on_installed`` when the kernel's state of a
    policy changes without a `steer` having asked; ``on_repair(object)`` once per object put right, object
    being ``rule``, ``nexthop``, ``group`` or ``route``. All are called on the event loop, after `start`.
    """

    def __init__(
        self,
        settings: RouteSettings,
        *,
        on_link: Callable[[PathId, bool], None],
        on_installed: Callable[[Installed], None],
        on_repair: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._on_link = on_link
        self._on_installed = on_installed
        self._on_repair = on_repair
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="steerd-route")
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._urgent = asyncio.Event()
        self._links: dict[PathId, bool] = {}
        self._noticed = 0  # how often a device was; a reading that was under way meanwhile knows no better
        self._counts: Mapping[tuple[PolicyId, int], int] = {}
        self._kernel: Kernel | None = None
        self._reconciler: Reconciler | None = None
        self._watch: Watch | None = None
        self._tending: asyncio.Task[None] | None = None

    async def start(self) -> tuple[Installed, ...]:
        """Checks, adopts what is there, completes it, and starts watching.

        Returns the policies that are in place; one that never had a choice is not, and gets its rules and
        routes with its first `steer`. Raises `RouteError` when something is in the way.
        """
        try:
            self._kernel = kernel = await self._on_worker(Kernel)
            reconciler = Reconciler(self._settings, kernel)
            # Before the first reading, so that nothing falls in between.
            self._watch = Watch(
                protocol=self._settings.protocol,
                port=kernel.port,
                on_device=self._device_noticed,
                on_address=self._address_noticed,
                on_change=self._changed.set,
                on_overrun=self._overrun_noticed,
            )
            outcome = await self._on_worker(reconciler.start)
        except OSError as error:
            await self._close()
            raise RouteError(f"the kernel's routes can not be read: {error}") from error
        except BaseException:
            await self._close()
            raise
        self._reconciler = reconciler
        self._links, self._counts = dict(reconciler.links), reconciler.counts
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._watch.read)
        self._tending = asyncio.create_task(self._tend(reconciler), name="steerd-route")
        return outcome.installed

    async def steer(self, wanted: Steer) -> Installed:
        """Points the policy at ``wanted.best``, with the runner-up standing by; None blocks it.

        Never raises on a kernel's refusal: ``error`` says why, the rest what is really there.
        """
        reconciler = self._running()
        async with self._turn:
            installed = await self._on_worker(lambda: reconciler.steer(wanted))
            self._counts = reconciler.counts
        return installed

    async def configure(self, settings: RouteSettings) -> tuple[Installed, ...]:
        """Takes up new settings: additions first, then removals; `links` has all of them then, without ``on_link``
        having been called. Raises `RouteError` before any change."""
        reconciler = self._running()
        async with self._turn:
            try:
                outcome = await self._on_worker(lambda: reconciler.configure(settings))
            except OSError as error:
                raise RouteError(f"the kernel's routes can not be read: {error}") from error
            self._settings = settings
            if self._watch and self._kernel:
                self._watch.retarget(settings.protocol, self._kernel.port)
            self._links, self._counts = dict(reconciler.links), reconciler.counts
        return outcome.installed

    def links(self) -> Mapping[PathId, bool]:
        """Whether each path's device is there and up, as last seen."""
        return dict(self._links)

    def installed(self) -> Mapping[tuple[PolicyId, int], int]:
        """Routes that lead on, by policy and family (4 or 6), as last read back from the kernel."""
        return self._counts

    async def stop(self) -> None:
        """Leaves, clears or blocks what is there, as ``on_stop`` says. Safe to repeat."""
        if self._tending:
            self._tending.cancel()
            with suppress(asyncio.CancelledError):
                await self._tending
            self._tending = None
        reconciler, self._reconciler = self._reconciler, None
        try:
            if reconciler:
                async with self._turn:
                    match self._settings.on_stop:
                        case OnStop.BLOCK:
                            await self._on_worker(reconciler.block)
                        case OnStop.CLEANUP:
                            await self._on_worker(lambda: cleanup(self._settings))
                        case OnStop.KEEP:
                            pass
        finally:
            await self._close()

    # What happens by itself.

    def _device_noticed(self, device: Device, gone: bool) -> None:
        concerned = [path.path for path in self._settings.paths if path.device == device.name]
        renamed = self._reconciler is not None and device.index in self._reconciler.indexes
        if not concerned and not renamed:
            return
        self._noticed += 1
        up = device.up and not gone
        for path in concerned:
            self._link(path, up)
        self._urgent.set()
        self._changed.set()

    def _address_noticed(self, index: int) -> None:
        # A gateway that was refused may be in reach now. What happens on other devices is not for us.
        if self._reconciler and index in self._reconciler.indexes:
            self._changed.set()

    def _overrun_noticed(self) -> None:
        log.warning("notifications from the kernel were lost: reading everything again")
        self._urgent.set()
        self._changed.set()

    async def _tend(self, reconciler: Reconciler) -> None:
        loop = asyncio.get_running_loop()
        credit, rest, last = float(_REPAIRS_AT_ONCE), 0.0, loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FULL_COMPARISON):
                    await self._changed.wait()
            now = loop.time()
            credit = min(credit + (now - last) * _REPAIRS_PER_SECOND, _REPAIRS_AT_ONCE)
            last = now
            wait = max(rest, (1 - credit) / _REPAIRS_PER_SECOND)
            if wait > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._urgent.wait()
            await asyncio.sleep(_DEBOUNCE)
            self._changed.clear()
            self._urgent.clear()
            began = loop.time()
            try:
                async with self._turn:
                    noticed = self._noticed
                    outcome = await self._on_worker(reconciler.repair)
                    self._publish(reconciler, outcome, fresh=noticed == self._noticed)
                if outcome.repairs:
                    credit -= 1
            except OSError as error:
                log.warning("the kernel's routes could not be compared: %s", error)
                credit -= 1  # not at once again
            rest = _REST * (loop.time() - began)

    def _publish(self, reconciler: Reconciler, outcome: Outcome, *, fresh: bool) -> None:
        self._counts = reconciler.counts
        if fresh:
            for path, up in reconciler.links.items():
                self._link(path, up)
        for installed in outcome.installed:
            self._on_installed(installed)
        for name, times in outcome.repairs.items():
            for _ in range(times):
                self._on_repair(name)

    def _link(self, path: PathId, up: bool) -> None:
        if self._links.get(path) != up:
            self._links[path] = up
            self._on_link(path, up)

    # The worker.

    def _running(self) -> Reconciler:
        if self._reconciler is None:
            raise RouteError("routing was not started, or was stopped")
        return self._reconciler

    async def _on_worker(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    async def _close(self) -> None:
        if self._watch:
            asyncio.get_running_loop().remove_reader(self._watch.fileno())
            self._watch.close()
            self._watch = None
        if self._kernel:
            # Whatever the worker is at, such as a comparison that was given up on, still uses the socket.
            await self._on_worker(lambda: None)
            self._kernel.close()
            self._kernel = None
        self._worker.shutdown(wait=False)
