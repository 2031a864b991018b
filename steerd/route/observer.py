"""Routing that only looks: nothing in the kernel is changed, and the engine is told that it has its way."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, suppress
from functools import partial
from ipaddress import ip_address
from typing import Final

from steerd.config.probe_settings import ProbePath, Target
from steerd.config.route_settings import RoutePath, RouteSettings
from steerd.config.settings import Config
from steerd.core.effects import Steer
from steerd.core.events import Installed, Link, Observed
from steerd.core.settings import PathId, PolicyId
from steerd.faults import Boundary, Reader
from steerd.net.netlink import NetlinkError
from steerd.net.wireguard.device import Device
from steerd.route.around.surroundings import Surroundings
from steerd.route.conflicts.pace import Pace
from steerd.route.error import RouteError
from steerd.route.kernel.kernel import Kernel
from steerd.route.kernel.verify import Verifier
from steerd.route.kernel.watch import Watch
from steerd.route.model.numbers import WayOut
from steerd.route.model.objects import ONLINK, Seen
from steerd.route.nft.firewall import Firewall, ours
from steerd.route.reconcile.absence import why_not
from steerd.route.wanted.choice import way_out
from steerd.route.wanted.selection import selections
from steerd.route.worker import Worker
from steerd.status.snapshot import Packets, Underlay

log = logging.getLogger(__name__)

_EVERY: Final = 15.0  # seconds: what other tables and rules than those that are watched lead elsewhere is seen by then
_DEBOUNCE: Final = 0.05
_NOWHERE: Final = "nowhere"
_UNSEEN: Final = (
    "where steerd cannot tell: no device that its packets come in by is up and has an address, or policies before it"
    " take all of them"
)


class Observer:
    """In the place of a `Router`: sends netlink questions, and no change. ``on_link`` as there; ``on_observed`` is told
    where the kernel leads each policy's packets, when that changes; both on the event loop, from `start` on."""

    def __init__(
        self, config: Config, *, on_link: Callable[[Link], None], on_observed: Callable[[Observed], None]
    ) -> None:
        self.config = config
        self._on_link = on_link
        self._on_observed = on_observed
        self._links: dict[PathId, Link] = {}
        self._observed: dict[PolicyId, Observed] = {}
        self._remarks: tuple[str, ...] = ()
        self._underlays: Mapping[PathId, Underlay] = {}
        self._far_ends: Mapping[str, tuple[str, int]] = {}
        self._worker = Worker()
        self._open = ExitStack()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._boundary = Boundary("observer")

    async def start(self) -> tuple[Installed, ...]:
        """Looks, and watches from then on. Returns by which path each policy's traffic leaves, where it is one. Raises
        `RouteError`: the kernel cannot be read."""
        try:
            self._kernel = self._open.enter_context(await self._worker.do(Kernel))
            self._around = self._open.enter_context(await self._worker.do(Surroundings))
            self._firewall = self._open.enter_context(await self._worker.do(Firewall))
            self._verifier = Verifier(self._kernel)
            self._watch = Watch(
                protocol=self.config.route.protocol,
                port=self._kernel.port,
                on_device=lambda *_: self._changed.set(),
                on_address=lambda _: self._changed.set(),
                on_surroundings=self._changed.set,
                on_change=self._changed.set,
                on_overrun=self._changed.set,
            )
            self._open.callback(self._watch.close)
            await self._look()
        except BaseException as error:
            await self._close()
            if isinstance(error, OSError):
                raise RouteError(f"the kernel's routes cannot be read: {error}") from error
            raise
        reader = Reader(self._boundary, asyncio.get_running_loop(), self._watch.fileno(), self._watch.read)
        self._open.callback(reader.close)
        self._task = asyncio.create_task(self._boundary.keep(self._follow), name="steerd-observer")
        return tuple(Installed(one.policy, one.path) for one in self._observed.values() if one.path is not None)

    async def steer(self, wanted: Steer) -> Installed:
        """Does nothing, and says that it is done."""
        return Installed(wanted.policy, wanted.best, wanted.runner_up, shares=wanted.shares)

    async def configure(self, config: Config) -> None:
        """Look with other settings. Raises `OSError`."""
        self.config = config
        await self._look()

    async def stop(self) -> None:
        """Look no more. Safe to repeat."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._close()

    def links(self) -> Mapping[PathId, Link]:
        """Whether packets get to each path's targets by the path, as last seen."""
        return dict(self._links)

    def observed(self) -> Mapping[PolicyId, Observed]:
        """Where the kernel leads each policy's packets."""
        return dict(self._observed)

    def remarks(self) -> tuple[str, ...]:
        """What was seen that would be in the way, and what cannot be measured, one line each."""
        return self._remarks

    def underlays(self) -> Mapping[PathId, Underlay]:
        """As `Router.underlays`."""
        return self._underlays

    def far_ends(self, found: Mapping[str, tuple[str, int]]) -> None:
        """As `Router.far_ends`."""
        self._far_ends = found
        self._changed.set()

    # What only a router does.

    def astray(self, _: Device) -> bool:
        """Nothing is moved within the device."""
        return False

    def moved(self) -> None:
        pass

    def lost(self, path: PathId) -> None:
        pass

    def spare(self, paths: AbstractSet[PathId]) -> None:
        pass

    def found(self, path: PathId) -> None:
        pass

    async def size(self, path: PathId, mtu: int) -> None:
        pass

    def installed(self) -> Mapping[tuple[PolicyId, int], int]:
        return {}

    def dropped(self) -> Mapping[PolicyId, int]:
        return {}

    def packets(self) -> Mapping[PolicyId, Packets]:
        return {}

    def packet_totals(self) -> Mapping[tuple[PolicyId, int, str, str], int]:
        return {}

    def staying(self) -> Mapping[PathId, int]:
        return {}

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        pace = Pace(loop.time)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY):
                    await self._changed.wait()
            await pace.wait(asyncio.Event())
            await asyncio.sleep(_DEBOUNCE)
            self._changed.clear()
            with pace.work():
                try:
                    await self._look()
                except OSError as error:
                    log.warning("the kernel's routes could not be read: %s", error)

    async def _look(self) -> None:
        links, observed, remarks, underlays = await self._worker.do(partial(self._seen, self.config))
        self._underlays = underlays
        for remark in remarks:
            if remark not in self._remarks:
                log.warning("%s", remark)
        self._remarks = remarks
        for link in links:
            if self._links.get(link.path) != link:
                self._links[link.path] = link
                self._on_link(link)
        self._links = {link.path: link for link in links}
        for one in observed:
            if self._observed.get(one.policy) != one:
                self._on_observed(one)
        self._observed = {one.policy: one for one in observed}

    def _seen(self, config: Config) -> tuple[list[Link], list[Observed], tuple[str, ...], Mapping[PathId, Underlay]]:
        """Runs on the worker's thread."""
        settings = self._around.look(config.route, pinned=False, guarded=False, far_ends=self._far_ends)
        seen = self._kernel.read(settings)
        remarks = list(self._around.remarks)
        remarks += self._left(settings, seen, f"stop it and `steerd cleanup -c {config.source}`")
        probed = {path.path: path for path in config.probe.paths}
        links = []
        for path in settings.paths:
            link, words = self._link(path, probed.get(path.path), seen)
            links.append(link)
            remarks += words
        self._verifier.prepare(settings, selections(settings), seen.devices)
        observed = [self._where(policy.policy, settings) for policy in settings.policies]
        found = self._around.underlays
        underlays = {path.path: found[path.device] for path in settings.paths if path.device in found}
        return links, observed, tuple(remarks), underlays

    def _left(self, settings: RouteSettings, seen: Seen, cure: str) -> Iterator[str]:
        """What an earlier run has left."""
        nobody = "nobody looks after {} while steerd only observes: {}"
        if seen.ours.rules or seen.ours.routes:
            yield f"rules and routes of an earlier run are in the kernel, and {nobody.format('them', cure)}"
        with suppress(NetlinkError):  # who may not ask is not told
            if ours(self._firewall, settings):
                yield (
                    f"the leak guard, table inet {settings.nft_table} of nftables, is in place, and drops what policies"
                    f" send by other devices than those of their paths; {nobody.format('it', cure)}"
                )

    def _link(self, path: RoutePath, probed: ProbePath | None, seen: Seen) -> tuple[Link, list[str]]:
        """Whether the path's probes go by it, and what is to be said of it."""
        if why := why_not(path, seen, {}):
            return Link(path.path, False, why, device=seen.up(path.device)), []
        targets = [one for one in probed.targets if one.address] if probed else []
        wrong = {one: words for one in targets if (words := self._astray(path, one, probed))}
        if not wrong:
            return Link(path.path, True, device=True), []
        said = [f"{path.path} cannot be measured while steerd only observes: {words}" for words in wrong.values()]
        return Link(path.path, False, said[0].partition(" ")[2], device=True), said

    def _astray(self, path: RoutePath, target: Target, probed: ProbePath | None) -> str:
        """How probes of the target leave otherwise than the path's traffic would; empty: they do not."""
        way = way_out(path, target.family)
        if way is None:
            return ""
        wanted = way.via.removesuffix(ONLINK)
        packed = ip_address(target.address).packed
        try:
            via = self._kernel.gateway(target.family, packed, path.device, probed.mark if probed else 0)
        except NetlinkError:
            return f"no route leads to its target {target.address} by {path.device}"
        if wanted in (via, target.address):
            return ""
        return (
            f"its target {target.address} is reached {f'through {via}' if via else f'on {path.device} itself'}, not "
            f"{f'through {wanted}' if wanted else f'on {path.device} itself'} (`ip route get {target.address} oif "
            f"{path.device}`)"
        )

    def _where(self, policy: PolicyId, settings: RouteSettings) -> Observed:
        """By which path the kernel leads the policy's packets now."""
        led = list(dict.fromkeys(self._leads(policy, settings)))
        led = [one for one in led if one[1].words != _NOWHERE] or led  # a family that nobody uses says nothing
        if not led:
            return Observed(policy, None, _UNSEEN)
        if len({way for _, way in led}) == 1:
            return led[0][1]
        each = len({family for family, _ in led}) == len(led)
        said = ((f"IPv{family}" if each else "some", way.words or f"by {way.path}") for family, way in led)
        return Observed(policy, None, "; ".join(dict.fromkeys(" ".join(one) for one in said)))

    def _leads(self, policy: PolicyId, settings: RouteSettings) -> Iterator[tuple[int, Observed]]:
        """For each sample of the policy's packets its family, and where it goes."""
        for family in self._kernel.families:
            paths = {_plain(way): path.path for path in settings.paths if (way := way_out(path, family))}
            for sample in self._verifier.samples.get((policy, family), ()):
                try:
                    goes = self._kernel.way(sample)
                except NetlinkError:
                    yield family, Observed(policy, None, _NOWHERE)
                    continue
                path = paths.get(WayOut(family, goes.device, goes.via))
                by = f"by {goes.device}" + (f" through {goes.via}" if goes.via else "")
                yield family, Observed(policy, path, "" if path else f"{by}, which is no path of it")

    async def _close(self) -> None:
        await self._worker.close()
        self._open.close()


def _plain(way: WayOut) -> WayOut:
    return way._replace(via=way.via.removesuffix(ONLINK))
