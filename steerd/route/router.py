"""The routing stage's face: asyncio outside, one worker thread for the kernel inside."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from steerd.config.settings import Actuator, OnStop, RouteSettings
from steerd.core.effects import Steer
from steerd.core.events import Installed
from steerd.core.settings import PathId, PolicyId
from steerd.route.around.gateways import automatic
from steerd.route.around.surroundings import Surroundings
from steerd.route.claim import Claim
from steerd.route.conflicts.pace import Pace
from steerd.route.error import RouteError
from steerd.route.kernel.conntrack import forget
from steerd.route.kernel.kernel import Kernel
from steerd.route.kernel.watch import Watch
from steerd.route.model.objects import Device
from steerd.route.nft.protect import Protection
from steerd.route.nft.watch import NftWatch
from steerd.route.once import cleanup, plan
from steerd.route.reconcile.account import Outcome
from steerd.route.reconcile.peers import Peers
from steerd.route.reconcile.reconciler import Reconciler
from steerd.route.reconcile.release import Release
from steerd.status.snapshot import Underlay

__all__ = ["RouteError", "Router", "cleanup", "plan"]

log = logging.getLogger(__name__)

_DEBOUNCE = 0.05
"""Seconds from the first notice to the look at it: changes come in flocks."""
_FULL_COMPARISON = 60.0

_T = TypeVar("_T")


class Router:
    """Keeps the kernel's routes as the settings and the latest `steer` of each policy want them.

    ``on_link(path, up)`` when a path's device comes or goes; ``on_installed`` when the kernel's state of a
    policy changes without a `steer` having asked; ``on_repair(object)`` once per object put right, object
    being ``rule``, ``nexthop``, ``group``, ``route``, ``allowedips`` or ``nft``; ``on_failure(error)`` when nobody
    looks after the kernel any more, because of a mistake in this program. All are called on the event loop, after
    `start`.
    """

    def __init__(
        self,
        settings: RouteSettings,
        *,
        on_link: Callable[[PathId, bool], None],
        on_installed: Callable[[Installed], None],
        on_repair: Callable[[str], None],
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._settings = settings
        self._effective = settings  # with the gateways that main names
        self._on_link = on_link
        self._on_installed = on_installed
        self._on_repair = on_repair
        self._on_failure = on_failure or _outright
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="steerd-route")
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._urgent = asyncio.Event()
        self._surroundings = asyncio.Event()  # main, nftables, or which paths are alive
        self._release = Release()
        self._links: dict[PathId, bool] = {}
        self._noticed = 0  # how often a device was; a reading that was under way meanwhile knows no better
        self._counts: Mapping[tuple[PolicyId, int], int] = {}
        self._kernel: Kernel | None = None
        self._reconciler: Reconciler | None = None
        self._claim = Claim()
        self._watch: Watch | None = None
        self._protection: Protection | None = None
        self._around: Surroundings | None = None
        self._peers: Peers | None = None
        self._remarks: tuple[str, ...] = ()
        self._far_ends: Mapping[str, tuple[str, int]] = {}
        self._underlays: Mapping[PathId, Underlay] = {}
        self._nft_watch: NftWatch | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> tuple[Installed, ...]:
        """Checks, adopts what is there, completes it, and starts watching.

        Returns the policies that are in place; one that never had a choice is not, and gets its rules and
        routes with its first `steer`. Raises `RouteError` when something is in the way.
        """
        try:
            self._claim.take(self._settings)
            self._kernel = kernel = await self._on_worker(Kernel)
            self._protection = protection = await self._on_worker(Protection)
            self._around = around = await self._on_worker(Surroundings)
            self._peers = peers = Peers(self._settings)
            # Before the first reading, so that nothing falls in between.
            self._watch = Watch(
                protocol=self._settings.protocol,
                port=kernel.port,
                on_device=self._device_noticed,
                on_address=self._address_noticed,
                on_main=self._surroundings.set,
                on_change=self._changed.set,
                on_overrun=self._overrun_noticed,
                main=protection.follows_main(self._settings) or automatic(self._settings),
            )
            self._effective = await self._on_worker(lambda: around.resolve(self._settings))
            reconciler = Reconciler(self._effective, kernel, protection, peers)
            outcome = await self._on_worker(reconciler.start)
            if protection.can:
                self._nft_watch = NftWatch(self._settings.nft_table, self._surroundings.set)
        except OSError as error:
            await self._close()
            raise RouteError(f"the kernel's routes can not be read: {error}") from error
        except BaseException:
            await self._close()
            raise
        self._reconciler = reconciler
        self._links, self._counts = dict(reconciler.links), reconciler.counts
        loop = asyncio.get_running_loop()
        for watch in (self._watch, self._nft_watch):
            if watch:
                loop.add_reader(watch.fileno(), watch.read)
        self._chose(reconciler)
        self._heed(reconciler)
        self._surroundings.set()  # for what fell in between
        self._tasks = [
            asyncio.create_task(self._tend(reconciler), name="steerd-route"),
            asyncio.create_task(self._follow(reconciler), name="steerd-route-surroundings"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._ended)
        return outcome.installed

    async def steer(self, wanted: Steer) -> Installed:
        """Points the policy at ``wanted.best``, with the runner-up standing by; None blocks it.

        Never raises on a kernel's refusal: ``error`` says why, the rest what is really there.
        """
        reconciler = self._running()
        async with self._turn:
            installed = await self._on_worker(lambda: reconciler.steer(wanted))
            self._counts = reconciler.counts
            self._chose(reconciler)
            self._heed(reconciler)
            await self._let_go()
        return installed

    def lost(self, path: PathId) -> None:
        """The path is down: connections pinned to it are let go of, as soon as no policy uses it."""
        self._release.lost(path)
        self._surroundings.set()

    def found(self, path: PathId) -> None:
        """The path answers again."""
        self._release.found(path)

    def far_ends(self, found: Mapping[str, tuple[str, int]]) -> None:
        """Where tunnels send their outer packets, and with which mark, by device, as far as devices do not say it of
        themselves."""
        self._far_ends = found
        self._surroundings.set()

    def moved(self) -> None:
        """Somebody may have moved AllowedIPs: WireGuard itself says nothing of it."""
        if self._settings.actuator is Actuator.WIREGUARD:
            self._changed.set()

    async def size(self, path: PathId, mtu: int) -> None:
        """The largest packet that passes the path, in bytes: what TCP connections are told when they open."""
        reconciler = self._running()
        async with self._turn:
            await self._on_worker(lambda: reconciler.size(path, mtu))

    async def configure(self, settings: RouteSettings) -> tuple[Installed, ...]:
        """Takes up new settings: additions first, then removals; `links` has all of them then, without ``on_link``
        having been called. Raises `RouteError` before any change."""
        reconciler = self._running()
        async with self._turn:
            try:
                with self._claim.trying(settings):
                    effective = await self._on_worker(lambda: self._resolved(settings))
                    outcome = await self._on_worker(lambda: reconciler.configure(effective))
            except OSError as error:
                raise RouteError(f"the kernel's routes can not be read: {error}") from error
            self._settings, self._effective = settings, effective
            if self._watch and self._kernel and self._protection:
                follow = self._protection.follows_main(settings) or automatic(settings)
                self._watch.retarget(settings.protocol, self._kernel.port, main=follow)
            if self._nft_watch:
                self._nft_watch.retarget(settings.nft_table)
            self._links, self._counts = dict(reconciler.links), reconciler.counts
            self._chose(reconciler)
            self._heed(reconciler)
        self._surroundings.set()
        return outcome.installed

    def links(self) -> Mapping[PathId, bool]:
        """Whether each path's device is there and up, as last seen."""
        return dict(self._links)

    def installed(self) -> Mapping[tuple[PolicyId, int], int]:
        """Routes that lead on, by policy and family (4 or 6), as last read back from the kernel."""
        return self._counts

    def remarks(self) -> tuple[str, ...]:
        """What around us keeps routing from doing all that is asked of it, one line each, as last seen."""
        return self._remarks

    def underlays(self) -> Mapping[PathId, Underlay]:
        """Where the tunnels that paths lead through send their outer packets, as last seen."""
        return self._underlays

    async def stop(self) -> None:
        """Leaves, clears or blocks what is there, as ``on_stop`` says. Safe to repeat."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
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

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._on_failure(error)

    def _device_noticed(self, device: Device, gone: bool) -> None:
        self._surroundings.set()  # IPv4 routes of main go with their device without a word
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
        self._surroundings.set()
        self._urgent.set()
        self._changed.set()

    async def _tend(self, reconciler: Reconciler) -> None:
        loop = asyncio.get_running_loop()
        pace = Pace(loop.time)
        seen = self._noticed
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(reconciler.retry_at - loop.time(), 0.0), _FULL_COMPARISON)):
                    await self._changed.wait()
            await pace.wait(self._urgent)
            await asyncio.sleep(_DEBOUNCE)
            self._changed.clear()
            self._urgent.clear()
            with pace.work() as work:
                try:
                    async with self._turn:
                        noticed, calm, seen = self._noticed, seen == self._noticed, self._noticed
                        remover = self._watch.remover if self._watch else 0
                        look = partial(reconciler.repair, loop.time(), calm=calm, remover=remover)
                        outcome = await self._on_worker(look)
                        self._publish(reconciler, outcome, fresh=noticed == self._noticed)
                        self._chose(reconciler)
                    work.repaired = bool(outcome.repairs)
                except OSError as error:
                    log.warning("the kernel's routes could not be compared: %s", error)
                    work.repaired = True  # not at once again

    async def _follow(self, reconciler: Reconciler) -> None:
        """Main, nftables, pinned connections: what changes without our rules, routes and nexthops changing."""
        loop = asyncio.get_running_loop()
        pace = Pace(loop.time)
        while True:
            deadline = self._release.deadline(self._max_drain()) if self._pins() else math.inf
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(deadline - loop.time(), 0.0), _FULL_COMPARISON)):
                    await self._surroundings.wait()
            await self._let_go()
            await pace.wait(self._urgent)
            await asyncio.sleep(_DEBOUNCE)
            self._surroundings.clear()
            await self._let_go()  # of what died while we waited
            with pace.work() as work:
                async with self._turn:
                    await self._adapt(reconciler)
                    work.repaired = await self._on_worker(partial(reconciler.protect, loop.time()))
                if work.repaired:
                    self._on_repair("nft")

    def _heed(self, reconciler: Reconciler) -> None:
        if reconciler.retry_at <= asyncio.get_running_loop().time():
            self._changed.set()

    async def _adapt(self, reconciler: Reconciler) -> None:
        """Takes up the gateways that main names now. Within a turn."""
        try:
            effective = await self._on_worker(self._looked)
            self._remark()
            if effective == self._effective:
                return
            noticed = self._noticed
            outcome = await self._on_worker(lambda: reconciler.configure(effective))
        except (OSError, RouteError) as error:
            log.warning("the gateways of the main table could not be taken up: %s", error)
            return
        self._effective = effective
        self._publish(reconciler, outcome, fresh=noticed == self._noticed)
        self._chose(reconciler)

    def _looked(self) -> RouteSettings:
        return (
            self._around.look(self._settings, pinned=self._pins(), far_ends=self._far_ends)
            if self._around
            else self._effective
        )

    def _remark(self) -> None:
        before, self._remarks = self._remarks, self._around.remarks if self._around else ()
        found = self._around.underlays if self._around else {}
        self._underlays = {path.path: found[path.device] for path in self._settings.paths if path.device in found}
        for remark in self._remarks:
            if remark not in before:
                log.warning("%s", remark)

    def _resolved(self, settings: RouteSettings) -> RouteSettings:
        return self._around.resolve(settings) if self._around else settings

    def _chose(self, reconciler: Reconciler) -> None:
        paths = [path.path for path in self._settings.paths]
        self._release.chose(paths, reconciler.chosen, asyncio.get_running_loop().time())

    async def _let_go(self) -> None:
        if not self._pins():
            return
        due = self._release.due(asyncio.get_running_loop().time(), self._max_drain())
        paths = {path.path: path for path in self._settings.paths}
        marks = [paths[one.path].mark for one in due if one.path in paths]
        marks += [paths[one.path].inbound_mark for one in due if one.inbound and one.path in paths]
        if not marks:
            return
        try:
            await self._on_worker(lambda: forget(marks, self._settings.mark_mask))
        except OSError as error:
            log.warning("connections pinned to %s could not be let go of: %s", ", ".join(o.path for o in due), error)

    def _pins(self) -> bool:
        return self._protection is not None and self._protection.pins(self._settings)

    def _max_drain(self) -> float:
        return max((policy.max_drain for policy in self._settings.policies), default=math.inf)

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
        for watch in (self._watch, self._nft_watch):
            if watch:
                asyncio.get_running_loop().remove_reader(watch.fileno())
                watch.close()
        self._watch = self._nft_watch = None
        parts = [part for part in (self._kernel, self._protection, self._around, self._peers) if part]
        if parts:
            # Whatever the worker is at, such as a comparison that was given up on, still uses the sockets.
            await self._on_worker(lambda: None)
        for part in parts:
            part.close()
        self._kernel = self._protection = self._around = self._peers = None
        self._worker.shutdown(wait=False)
        self._claim.close()


def _outright(error: BaseException) -> None:
    log.critical("the kernel's routes are looked after no more", exc_info=error)
