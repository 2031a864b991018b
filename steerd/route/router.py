"""The routing stage as the daemon knows it: asyncio outside, one worker thread for the kernel inside."""

import asyncio
import logging
import weakref
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import ExitStack

from steerd.config.route_settings import OnStop, RouteSettings
from steerd.core.effects import Steer
from steerd.core.events import Installed, Link
from steerd.core.settings import PathId, PolicyId
from steerd.net.wireguard.device import Device
from steerd.route.around.surroundings import Surroundings
from steerd.route.change import RouteChange
from steerd.route.claim import Claim
from steerd.route.error import RouteError
from steerd.route.kernel.clients import forget_clients
from steerd.route.kernel.kernel import Kernel
from steerd.route.move import Moved, move
from steerd.route.news import News
from steerd.route.nft.protect import Protection
from steerd.route.once import cleanup
from steerd.route.reconcile.peers import Peers
from steerd.route.reconcile.reconciler import Reconciler
from steerd.route.reconcile.release import Release
from steerd.route.upkeep import Upkeep
from steerd.route.worker import Worker
from steerd.status.snapshot import Packets, Underlay

log = logging.getLogger(__name__)


class Router:
    """Keeps the kernel's routes as the settings and the latest `steer` of each policy want them.

    ``on_link(link)`` when a path's device or next hop comes or goes; ``on_installed`` when the kernel's state
    of a policy changes without a `steer` having asked; ``on_repair(object)`` once per object put right: ``rule``,
    ``nexthop``, ``group``, ``route``, ``allowedips`` or ``nft``. All are called on the event loop, after `start`.
    """

    def __init__(
        self,
        settings: RouteSettings,
        *,
        on_link: Callable[[Link], None],
        on_installed: Callable[[Installed], None],
        on_repair: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._news = News(on_link, on_installed, on_repair)
        self._worker = Worker()
        self._claim = Claim()
        self._release = Release()
        self._open = ExitStack()
        self._reconciler: Reconciler | None = None
        self._peers: Peers | None = None
        self._upkeep: Upkeep | None = None
        self._kernel: Kernel | None = None
        # Not kept alive from here: it has the former settings, with all their prefixes.
        self._change: Callable[[], RouteChange | None] = lambda: None

    async def start(self) -> tuple[Installed, ...]:
        """Checks, adopts what is there, completes it, and starts watching. Returns the policies that are in place; one
        that never had a choice is not, and gets its rules and routes with its first `steer`. Raises `RouteError` when
        something is in the way."""
        try:
            self._claim.take(self._settings)
            kernel = self._open.enter_context(await self._worker.do(Kernel))
            protection = self._open.enter_context(await self._worker.do(Protection))
            around = self._open.enter_context(await self._worker.do(Surroundings))
            peers = self._open.enter_context(Peers(self._settings))
            reconciler = Reconciler(self._settings, kernel, protection, peers)
            # Watches from before the first reading, so that nothing falls in between.
            self._upkeep = Upkeep(
                self._settings,
                kernel=kernel,
                protection=protection,
                around=around,
                reconciler=reconciler,
                worker=self._worker,
                news=self._news,
                release=self._release,
            )
            installed = await self._upkeep.begin()
        except BaseException as error:
            await self._close()
            if isinstance(error, OSError):
                raise RouteError(f"the kernel's routes cannot be read: {error}") from error
            raise
        self._kernel, self._reconciler, self._peers = kernel, reconciler, peers
        return installed

    async def steer(self, wanted: Steer) -> Installed:
        """Points the policy at ``wanted.best``, with the runner-up standing by; None blocks it. Never raises on a
        kernel's refusal: ``error`` says why, the rest is what is really there."""
        reconciler, upkeep = self._running()
        async with self._worker.turn:
            installed = await self._worker.do(lambda: reconciler.steer(wanted))
            self._news.counts = reconciler.counts
            upkeep.chosen()
            await upkeep.release()
            if wanted.best is None:
                await self._unknown(upkeep, wanted.policy)
        return installed

    async def _unknown(self, upkeep: Upkeep, policy: PolicyId | None = None) -> None:
        """What is blocked is so for clients, too: nobody's new connections go by a path that was kept for him.
        ``policy``: its clients alone."""
        settings = upkeep.settings
        marks = [path.mark for path in settings.paths]
        policies = [one for one in settings.policies if policy in (None, one.policy)]
        sets = [name for one in policies for name in upkeep.protection.clients(marks, one)]
        if sets:
            try:
                await self._worker.do(lambda: forget_clients(settings.nft_table, sets))
            except OSError as error:
                log.warning("clients of policies that are blocked cannot be forgotten: %s", error)

    def lost(self, path: PathId) -> None:
        """The path is down: connections pinned to it are released, as soon as no policy uses it."""
        self._release.lost(path)
        if self._upkeep:
            self._upkeep.look_around()

    def found(self, path: PathId) -> None:
        """The path answers again."""
        self._release.found(path)

    def spare(self, paths: AbstractSet[PathId]) -> None:
        """These are to carry nothing but what has no other way: connections pinned to them are released, as soon as no
        policy uses them."""
        if self._release.spare(paths) and self._upkeep:
            self._upkeep.look_around()

    def far_ends(self, found: Mapping[str, tuple[str, int]]) -> None:
        """Where tunnels send their outer packets, and with which mark, by device, where devices do not tell."""
        if self._upkeep:
            self._upkeep.look_around(found)

    def astray(self, device: Device) -> bool:
        """Whether policies' prefixes are not where they were left among the peers of a WireGuard device. For any
        thread."""
        return self._peers is not None and self._peers.moved(device)

    def moved(self) -> None:
        """AllowedIPs are not as they were left: WireGuard itself does not tell."""
        if self._upkeep:
            self._upkeep.changed()

    async def move(self, policy: PolicyId) -> Moved:
        """Lets go of what is pinned to other paths than those that carry the policy now. Raises `RouteError` if none
        does; `OSError`."""
        reconciler, upkeep = self._running()
        async with self._worker.turn:
            addresses = await self._worker.do(upkeep.kernel.addresses)
        # In a thread of its own: there may be many.
        return await asyncio.to_thread(move, reconciler.standing, upkeep.protection, addresses, policy)

    async def size(self, path: PathId, mtu: int) -> None:
        """The largest packet that passes the path, in bytes: what TCP connections are told when they open."""
        _, upkeep = self._running()
        await upkeep.size(path, mtu)

    async def prepare(self, settings: RouteSettings) -> RouteChange:
        """Checks the settings against what there is: raises `RouteError`. Nothing changes before the commit but that
        their numbers are claimed. Of several prepared changes only the last can be committed."""
        reconciler, upkeep = self._running()
        async with self._worker.turn:
            self._expire()
            self._claim.keep(upkeep.settings)
            try:
                self._claim.take(settings)
                effective = await upkeep.resolve(settings)
                proposal = await self._worker.do(lambda: reconciler.prepare(effective))
            except BaseException as error:
                self._claim.keep(upkeep.settings)
                if isinstance(error, OSError):
                    raise RouteError(f"the kernel's routes cannot be read: {error}") from error
                raise
            change = RouteChange(settings, proposal, self._claim, upkeep)
            self._change = weakref.ref(change)
        return change

    def effective(self) -> RouteSettings:
        """The settings in force, with the gateways that main named when it was last read."""
        return self._running()[0].standing.settings

    def links(self) -> Mapping[PathId, Link]:
        """Whether packets can be routed to each path, as last seen."""
        return dict(self._news.links)

    def installed(self) -> Mapping[tuple[PolicyId, int], int]:
        """Routes that lead on, by policy and family (4 or 6), as last read back from the kernel."""
        return self._news.counts

    def changes(self) -> int:
        """Messages sent to the kernel so far to change its routes."""
        return self._kernel.changes if self._kernel else 0

    def remarks(self) -> tuple[str, ...]:
        """What keeps routing from doing all that is asked of it, one line each, as last seen."""
        return (*self._upkeep.remarks, *self._upkeep.census.remarks()) if self._upkeep else ()

    def dropped(self) -> Mapping[PolicyId, int]:
        """Packets of each policy that the leak guard has dropped since the start, as last read."""
        return self._upkeep.census.dropped() if self._upkeep else {}

    def packets(self) -> Mapping[PolicyId, Packets]:
        """Where the last packets of each policy went, of those that had some; none where they are not counted."""
        return self._upkeep.census.recent() if self._upkeep else {}

    def packet_totals(self) -> Mapping[tuple[PolicyId, int, str, str], int]:
        """Packets since the start, by policy, family (4 or 6), where they went, and device."""
        return self._upkeep.census.totals() if self._upkeep else {}

    def staying(self) -> Mapping[PathId, int]:
        """Connections on paths that carry no policy, of those that have some, as last counted."""
        return self._upkeep.staying.counts if self._upkeep else {}

    def underlays(self) -> Mapping[PathId, Underlay]:
        """Where the tunnels that paths lead through send their outer packets, as last seen."""
        return self._upkeep.underlays if self._upkeep else {}

    async def stop(self) -> None:
        """Leaves, clears or blocks what is there, as ``on_stop`` says. Safe to repeat."""
        reconciler, self._reconciler = self._reconciler, None
        self._expire()
        if self._upkeep:
            await self._upkeep.end()
        try:
            if reconciler and self._upkeep:
                settings = self._upkeep.settings
                async with self._worker.turn:
                    match settings.on_stop:
                        case OnStop.BLOCK:
                            await self._worker.do(reconciler.block)
                            await self._unknown(self._upkeep)
                        case OnStop.CLEANUP:
                            await self._worker.do(lambda: cleanup(settings))
                        case OnStop.KEEP:
                            pass
        finally:
            await self._close()

    def _expire(self) -> None:
        """Whatever was prepared before cannot be committed or aborted any more."""
        if (last := self._change()) is not None:
            last.expire()

    def _running(self) -> tuple[Reconciler, Upkeep]:
        if self._reconciler is None or self._upkeep is None:
            raise RouteError("routing was not started, or was stopped")
        return self._reconciler, self._upkeep

    async def _close(self) -> None:
        if self._upkeep:
            self._upkeep.close()
            self._upkeep = None
        await self._worker.close()
        self._open.close()
        self._claim.close()
