"""What routing does by itself: follows the kernel and main, restores what others change, releases connections."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

from steerd.config.route_settings import RouteSettings
from steerd.core.events import Installed, Link
from steerd.core.settings import PathId
from steerd.faults import Boundary, Reader
from steerd.route.around.surroundings import Surroundings
from steerd.route.census import Census
from steerd.route.conflicts.pace import Pace
from steerd.route.error import RouteError
from steerd.route.kernel.clients import forget_clients
from steerd.route.kernel.conntrack import forget, let_go, pinned
from steerd.route.kernel.kernel import Kernel
from steerd.route.kernel.watch import Watch
from steerd.route.model.objects import Device
from steerd.route.news import News
from steerd.route.nft.firewall import NftWatch
from steerd.route.nft.protect import Protection
from steerd.route.reconcile.account import Result
from steerd.route.reconcile.reconciler import Reconciler
from steerd.route.reconcile.release import Release
from steerd.route.staying import Staying
from steerd.route.worker import Worker
from steerd.status.snapshot import Underlay

log = logging.getLogger(__name__)

_DEBOUNCE = 0.05  # seconds from the first notice to the look at it: changes come in bursts
_FULL_COMPARISON = 60.0


class Upkeep:
    """``settings`` are those in force. From the last look: ``remarks``, and the ``underlays`` of tunnels by path. Call
    ``changed`` when the kernel may have changed without telling."""

    def __init__(
        self,
        settings: RouteSettings,
        *,
        kernel: Kernel,
        protection: Protection,
        around: Surroundings,
        reconciler: Reconciler,
        worker: Worker,
        news: News,
        release: Release,
    ) -> None:
        self.settings = settings
        self.reconciler = reconciler
        self.worker = worker
        self.news = news
        self.remarks: tuple[str, ...] = ()
        self.underlays: Mapping[PathId, Underlay] = {}
        self.kernel = kernel
        self.protection = protection
        self._around = around
        self._release = release
        self._changed = asyncio.Event()
        self._urgent = asyncio.Event()
        self._surroundings = asyncio.Event()  # main, nftables, or which paths are alive
        self._far_ends: Mapping[str, tuple[str, int]] = {}
        self._noticed = 0  # changes of devices and addresses so far; a reading meanwhile may be older than they are
        self._tasks: list[asyncio.Task[None]] = []
        self._nft = Worker("steerd-nft")  # a thread of its own: no switch waits for `nft`
        self.census = Census(protection, around, reconciler, worker, self._nft, self._publish)
        self.staying = Staying(lambda: reconciler.standing, self._pins)
        self._nft_watch: NftWatch | None = None
        self._boundary = Boundary("routes")
        self._readers: list[Reader] = []
        self._watch = Watch(
            protocol=settings.protocol,
            port=kernel.port,
            on_device=self._device_noticed,
            on_address=self._address_noticed,
            on_surroundings=self._surroundings.set,
            on_change=self._changed.set,
            on_overrun=self._overrun_noticed,
        )
        self.changed = self._changed.set

    async def begin(self) -> tuple[Installed, ...]:
        """Adopt what the kernel has, complete it, and watch from then on. Raises `RouteError`, or `OSError`."""
        effective = await self.resolve(self.settings)
        result = await self.worker.do(lambda: self.reconciler.start(effective))
        if self.protection.can:
            self._nft_watch = NftWatch(self.settings.nft_table, self._surroundings.set)
        loop = asyncio.get_running_loop()
        for watch in filter(None, (self._watch, self._nft_watch)):
            self._readers.append(Reader(self._boundary, loop, watch.fileno(), watch.read))
        self.news.know(self.reconciler)
        self.chosen()
        self._surroundings.set()  # for what changed meanwhile
        self._tasks = [
            asyncio.create_task(self._boundary.keep(self._tend), name="steerd-route"),
            asyncio.create_task(self._boundary.keep(self._follow), name="steerd-route-surroundings"),
            asyncio.create_task(self._boundary.keep(self.census.run), name="steerd-route-packets"),
            asyncio.create_task(self._boundary.keep(self.staying.run), name="steerd-route-connections"),
        ]
        return result.installed

    async def end(self) -> None:
        """Stop looking after the kernel."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self.census.end()
        if self.reconciler.loose:
            await self._nft.do(self.reconciler.protect)
        await self._nft.close()

    def close(self) -> None:
        """Stop watching."""
        for reader in self._readers:
            reader.close()
        for watch in filter(None, (self._watch, self._nft_watch)):
            watch.close()

    def look_around(self, far_ends: Mapping[str, tuple[str, int]] | None = None) -> None:
        """Look at the surroundings again, soon; ``far_ends`` as in `Surroundings.look`, from now on."""
        self._far_ends = self._far_ends if far_ends is None else far_ends
        self._surroundings.set()

    def chosen(self) -> None:
        """Policies may have moved, or the kernel may not do what they want."""
        now = asyncio.get_running_loop().time()
        self._remark()
        self._release.chose([path.path for path in self.settings.paths], self.reconciler.standing.chosen, now)
        self.staying.used(self.reconciler.standing.chosen)
        if self.reconciler.retry_at <= now:
            self._changed.set()
        if self.reconciler.loose:
            self._surroundings.set()

    async def release(self) -> None:
        """Connections pinned to paths that are lost, or were left long ago, begin anew."""
        if not self._pins():
            return
        due = self._release.due(asyncio.get_running_loop().time(), self._max_drain())
        paths = {path.path: path for path in self.settings.paths}
        mask, known = self.settings.mark_mask, [one for one in due if one.path in paths]
        dead, left = ([paths[one.path] for one in known if one.inbound is dies] for dies in (True, False))
        clients = self.protection.clients([path.mark for path in (*dead, *left)])
        marks = [mark for path in dead for mark in (path.mark, path.inbound_mark)]
        # Twice, where clients are kept: a packet that is on its way meanwhile may bring its sender back once.
        # There may be many on a path that works, and no switch is to wait for them.
        do, later = self.worker.do, asyncio.to_thread
        steps: list[Callable[[], Awaitable[object]]]
        steps = [lambda: do(partial(forget_clients, self.settings.nft_table, clients))] if clients else []
        steps += [lambda: do(partial(forget, marks, mask))] if marks else []
        steps += [lambda: later(lambda: let_go(pinned([path.mark for path in left], mask), mask))] if left else []
        for step in steps * (2 if clients else 1):
            try:
                await step()
            except OSError as error:
                log.warning("cannot release connections pinned to %s: %s", ", ".join(one.path for one in due), error)

    async def size(self, path: PathId, mtu: int) -> None:
        """The largest packet that passes the path, in bytes."""
        await self._nft.do(lambda: self.reconciler.protect(path, mtu))

    async def resolve(self, settings: RouteSettings) -> RouteSettings:
        """These settings with the gateways that main names now. Raises `OSError`."""
        return await self.worker.do(lambda: self._around.resolve(settings))

    def retarget(self, settings: RouteSettings) -> None:
        """Watch over these settings, which are in force now."""
        self.settings = settings
        self._watch.retarget(settings.protocol, self.kernel.port)
        if self._nft_watch:
            self._nft_watch.retarget(settings.nft_table)
        self.news.know(self.reconciler)
        self.chosen()
        self._surroundings.set()

    # What is noticed

    def _device_noticed(self, device: Device, gone: bool) -> None:
        self._surroundings.set()  # the kernel removes main's IPv4 routes with their device without telling
        concerned = [path.path for path in self.settings.paths if path.device == device.name]
        if not concerned and device.index not in self.reconciler.indexes:  # nor was it renamed
            return
        self._noticed += 1
        up = device.up and not gone
        why = "" if up else f"device {device.name} {'does not exist' if gone else 'is down'}"
        for path in concerned:
            self.news.link(Link(path, up, why, device=up))
        self._urgent.set()
        self._changed.set()

    def _address_noticed(self, index: int) -> None:
        # A gateway that was refused may be in reach now, and what goes with an address was removed by nobody. Other
        # devices do not matter.
        if index in self.reconciler.indexes:
            self._noticed += 1
            self._changed.set()
            self._surroundings.set()  # it may be guarded, too

    def _overrun_noticed(self) -> None:
        log.warning("notifications from the kernel were lost: reading everything again")
        self._surroundings.set()
        self._urgent.set()
        self._changed.set()

    # What is done about it

    async def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        pace = Pace(loop.time)
        seen = self._noticed
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(self.reconciler.retry_at - loop.time(), 0.0), _FULL_COMPARISON)):
                    await self._changed.wait()
            await pace.wait(self._urgent)
            await asyncio.sleep(_DEBOUNCE)
            self._changed.clear()
            self._urgent.clear()
            with pace.work():
                try:
                    async with self.worker.turn:
                        noticed, calm, seen = self._noticed, seen == self._noticed, self._noticed
                        look = partial(self.reconciler.repair, loop.time(), calm=calm, remover=self._watch.remover)
                        result = await self.worker.do(look)
                        self._publish(result, noticed)
                    self._surroundings.set()  # nftables is looked at as often, and nothing waits for it
                    pace.repaired = bool(result.repairs)
                except OSError as error:
                    log.warning("the kernel's routes could not be compared: %s", error)
                    pace.repaired = True  # not at once again

    async def _follow(self) -> None:
        """Main, nftables, pinned connections: what changes without our rules, routes and nexthops changing."""
        loop = asyncio.get_running_loop()
        pace = Pace(loop.time)
        while True:
            deadline = self._release.deadline(self._max_drain()) if self._pins() else math.inf
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(deadline - loop.time(), 0.0), _FULL_COMPARISON)):
                    await self._surroundings.wait()
            await self.release()
            await pace.wait(self._urgent)
            await asyncio.sleep(_DEBOUNCE)
            self._surroundings.clear()
            await self.release()  # of what died while we waited
            with pace.work():
                async with self.worker.turn:
                    await self._adapt()
                pace.repaired = await self._nft.do(self.reconciler.protect)
                async with self.worker.turn:
                    if pace.repaired:
                        await self.worker.do(partial(self.reconciler.table_changed, loop.time()))
                    if await self.worker.do(self.reconciler.obstructed):
                        self._changed.set()
                    self._remark()
                if pace.repaired:
                    self.news.on_repair("nft")

    async def _adapt(self) -> None:
        """Takes up the gateways that main names now. Within a turn."""
        guarded = "guard" in self.protection.can
        look = partial(self._around.look, self.settings, pinned=self._pins(), guarded=guarded, far_ends=self._far_ends)
        try:
            effective = await self.worker.do(look)
            if effective == self.reconciler.standing.settings:
                return
            noticed = self._noticed
            result = await self.worker.do(lambda: self.reconciler.configure(effective))
        except (OSError, RouteError) as error:
            log.warning("the gateways of the main table could not be taken up: %s", error)
            return
        self._publish(result, noticed)

    def _remark(self) -> None:
        before = self.remarks
        self.remarks = (*self._around.remarks, *self.protection.remarks, *self.reconciler.account.remarks)
        found = self._around.underlays
        self.underlays = {path.path: found[path.device] for path in self.settings.paths if path.device in found}
        for remark in self.remarks:
            if remark not in before:
                log.warning("%s", remark)

    def _publish(self, result: Result, noticed: int = -1) -> None:
        self.news.publish(self.reconciler, result, fresh=noticed == self._noticed)
        self.chosen()

    def _pins(self) -> bool:
        return self.protection.pins(self.settings)

    def _max_drain(self) -> float:
        return max((policy.max_drain for policy in self.settings.policies), default=math.inf)
