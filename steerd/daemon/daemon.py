"""The daemon: puts the stages together, starts, reloads and stops them. No steering of its own."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from signal import SIGHUP, SIGINT, SIGTERM
from typing import Any, Final

from steerd import __version__
from steerd.config.settings import Config
from steerd.control.server import ControlServer, RefusedError, Request, Response
from steerd.core.effects import Declined, PathChanged, Switched
from steerd.core.engine import Engine
from steerd.core.events import Configured, Installed, Link, Order, PathMtu, PopState, Probed
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import PathState, PolicyState
from steerd.core.views import ProbingView, TunnelView, View
from steerd.daemon.driver import Driver
from steerd.daemon.fleet import Fleet
from steerd.daemon.notify import notify, watchdog_period
from steerd.daemon.reload import Reload
from steerd.daemon.verbs import VERBS, answer
from steerd.probe.prober import ProbeError, Prober
from steerd.route.router import RouteError, Router
from steerd.store.store import Store
from steerd.trace.request import Request as TraceRequest
from steerd.trace.request import request as trace_request
from steerd.trace.tracer import Record, Tracer
from steerd.traffic.rates import Rates
from steerd.tunnel.watch import TunnelWatch
from steerd.web.http import ExportServer
from steerd.web.metrics import Metrics

log = logging.getLogger("steerd")

REMEMBER_EVERY: Final = 30.0
"""Pins and drains are kept at once; hold-downs, which change by themselves, so often, in seconds."""

GONE: Final = frozenset({PathState.DOWN, PathState.ABSENT})
"""What connections pinned to a path do not survive."""

PROGRESS_WITHIN: Final = 30.0
"""Without an outcome of any probe for so long, in seconds, the watchdog is not fed."""


class StartError(Exception):
    """The daemon can not start; the message is one line that says what to do."""


class Daemon:
    """One run of the daemon over one configuration file."""

    driver: Driver
    prober: Prober
    router: Router
    tunnels: TunnelWatch
    rates: Rates
    fleet: Fleet
    control: ControlServer | None = None
    export: ExportServer | None = None

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics = Metrics()
        self.metrics.configure(config)
        self.metrics.reloaded(ok=True, wall_time=time.time())
        self.store = Store(config.store_path, record=config.record)
        self.tracer = Tracer(self.traceable, self._traced)
        self.reloads = Reload(
            current=lambda: self.config,
            take_up=self._take_up,
            began=lambda: notify(RELOADING="1"),
            ended=self._reloaded,
            refused=lambda: self.metrics.refused("config", "reload"),
            spawn=self._spawn,
        )
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._last_outcome = time.monotonic()
        self._skipped = 0

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT. Raises `StartError` when a stage can not start."""
        loop = asyncio.get_running_loop()
        await self._build()
        for number in (SIGTERM, SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        try:
            await self._start()
            loop.add_signal_handler(SIGHUP, lambda: self._spawn(self.reloads.on_signal()))
            notify(READY="1", STATUS=self._status())
            log.info("steerd %s is ready: %s", __version__, self._status())
            await self._stop.wait()
        finally:
            await self._close()
        if self._failure is not None:
            raise self._failure

    def order(self, order: Order) -> str | None:
        """Give an operator's order, and keep it. Returns why it was declined, or None."""
        declined = self.driver.order(order)
        self._remember()
        return declined

    # Start and stop

    async def _build(self) -> None:
        config, now = self.config, time.monotonic()
        stored = await asyncio.to_thread(self.store.open)
        seed = random.SystemRandom().getrandbits(32)
        draw = random.Random(seed).random  # noqa: S311 (spreads hold-downs; guards nothing)
        engine = Engine(config.core, stored.memory, now=now, epoch=stored.epoch, draw=draw)
        self.store.begin(settings=config.core, memory=stored.memory, seed=seed, epoch=stored.epoch, now=now)
        try:
            self.prober = Prober(config.probe, on_outcome=self._probed, seed=seed, addresses=stored.addresses)
        except ProbeError as error:
            self.store.close()
            raise StartError(str(error)) from error
        self.prober.lag = self.metrics.loop_lag
        self.prober.on_mtu = self._sized
        self.driver = Driver(engine, record=self.store.record, cadence=self.prober.cadence, fact=self._fact)
        self.router = Router(
            config.route,
            on_link=self._linked,
            on_installed=self.driver.feed,
            on_repair=self.metrics.repair,
            on_failure=self._failed,
        )
        self.tunnels = TunnelWatch(
            config.tunnel,
            on_tunnel=self.driver.feed,
            on_moved=lambda _: self.router.moved(),
            on_far_ends=self.router.far_ends,
        )
        self.rates = Rates(_devices(config), used=self._used, on_rate=self.driver.feed)
        self.fleet = Fleet(
            config,
            self.driver,
            self.metrics,
            kept=stored.orders,
            on_pop_state=self._pop_state,
            remember=self._remember,
            spawn=self._spawn,
        )

    async def _start(self) -> None:
        # First of all: an address or a socket that is taken says that another steerd runs, and then not even what
        # `on_stop` asks for may touch the kernel.
        self.control = ControlServer(self.config.control_socket, self._asked)
        try:
            await self.control.start()
            await self._listen(self.config)
        except OSError as error:
            raise StartError(f"can not listen: {error}") from error
        try:
            self.prober.open()
            adopted = await self.router.start()
            self.prober.start()
        except (RouteError, ProbeError) as error:
            raise StartError(str(error)) from error
        self.fleet.read_orders()
        self._follow_kernel(adopted)
        self.fleet.follow_orders()
        self.driver.feed(None)
        self._spawn(self.driver.steering(self.router.steer, self._steered))
        self._spawn(self.tunnels.run())
        self._spawn(self.rates.run())
        self._spawn(self._housekeep())
        self.fleet.start()

    async def _listen(self, config: Config) -> None:
        """Serve metrics where ``config`` says. OSError: it can not be, and what was served before still is."""
        server = ExportServer(config.export, self.metrics, self._snapshot, self._healthy, self._ready)
        before = self.export
        try:
            await server.start()
        except OSError:
            if before is None:
                raise
            await before.stop()  # the same port at another address: it may be in the way itself
            try:
                await server.start()
            except OSError:
                await before.start()
                raise
        else:
            if before is not None:
                await before.stop()
        self.export = server

    async def _close(self) -> None:
        notify(STOPPING="1")
        self.driver.stop()
        self.prober.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.tunnels.close()
        await self.tracer.close()
        await self.fleet.stop()
        for server in (self.control, self.export):
            if server is not None:
                await server.stop()
        self.reloads.stop()
        await self.router.stop()
        self._remember()
        await asyncio.to_thread(self.store.close)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        log.critical("stopping: a task failed; the kernel keeps what it has", exc_info=error)
        self._failure = error
        self._stop.set()

    # Events in, facts out

    def _probed(self, event: Probed) -> None:
        self._last_outcome = time.monotonic()
        self.metrics.probed(event)
        self.driver.feed(event)

    def _linked(self, path: PathId, up: bool) -> None:
        if up:
            self.prober.renew(path)
        self.tunnels.look(path)
        self.driver.feed(Link(path, up))

    def _sized(self, event: PathMtu) -> None:
        """Another size of packets gets through a path. A restart is not to forget a black hole."""
        self.driver.feed(event)
        self._spawn(self.router.size(event.path, event.mtu))
        self._remember()

    def _pop_state(self, event: PopState) -> None:
        self.driver.feed(event)
        self._remember()

    def _used(self) -> Iterable[PathId]:
        """The paths that policies are on."""
        choices = (policy.assignment.choice for policy in self.driver.engine.policies.values())
        return [choice for choice in choices if choice is not None]

    def _follow_kernel(self, installed: Sequence[Installed]) -> None:
        """Tell the engine what the kernel has. What could not be told apart after a reload (traffic on a path that
        is no longer named) is left to the `Steer` that the reload itself brings."""
        for path, up in self.router.links().items():
            self.driver.feed(Link(path, up))
        for one in installed:
            if one.error is not None:
                log.warning("%s: %s", one.policy, one.error)
                continue
            if one.best is not None and self.driver.engine.policies[one.policy].assignment.choice is None:
                log.info("%s: adopted %s from the kernel", one.policy, one.best)
            self.driver.feed(one)

    def _fact(self, fact: Switched | PathChanged | Declined) -> None:
        self.metrics.fact(fact)
        if isinstance(fact, PathChanged):
            if fact.new in GONE:
                self.router.lost(fact.path)
            else:
                self.router.found(fact.path)
        if isinstance(fact, Switched):
            self.store.decided(fact, int(time.time() * 1000))
            self.fleet.switched(fact)
            if self.config.trace_after_switch:
                self.tracer.switched(fact, time.monotonic())

    def _steered(self, seconds: float) -> None:
        self.metrics.switch_duration(seconds)
        notify(STATUS=self._status())

    def _traced(self, event_id: str, record: Record) -> None:
        self.store.traced(event_id, int(time.time() * 1000), record)

    async def _asked(self, request: Request) -> Response:
        try:
            return await answer(self, request)
        except RefusedError:
            verb = request["verb"]
            self.metrics.refused("control", verb if verb in VERBS else "unknown verb")
            raise

    def traceable(self, path: PathId) -> TraceRequest | None:
        """How a trace of this path would go now; None: it is not probed."""
        settings = next((one for one in self.config.probe.paths if one.path == path), None)
        probing = self.prober.report(path)
        return None if settings is None or probing is None else trace_request(settings, probing.targets)

    def _remember(self) -> None:
        self.store.remember(self.driver.memory(), self.prober.addresses(), self.fleet.kept())

    async def _housekeep(self) -> None:
        period = watchdog_period()
        rest = REMEMBER_EVERY if period is None else min(REMEMBER_EVERY, period / 3.0)
        remembered = time.monotonic()
        while True:
            if self._healthy():
                notify(WATCHDOG="1", STATUS=self._status())
            if time.monotonic() - remembered >= REMEMBER_EVERY:
                remembered = time.monotonic()
                self.fleet.follow_orders()
            await asyncio.sleep(rest)

    # Reload

    async def _take_up(self, config: Config) -> Sequence[str]:
        """Swap the configuration. Returns what is in the way, and has changed nothing then."""
        old = self.config
        for name in ("control_socket", "store_path", "record"):
            if getattr(config, name) != getattr(old, name):
                log.warning("%s takes effect at the next start", name)
        moved = config.export != old.export
        try:
            if moved:
                await self._listen(config)
        except OSError as error:
            return [f"export.listen: {error}"]
        routing = None
        try:
            routing = await self.router.prepare(config.route)
            await routing.commit()
        except RouteError as error:
            if routing is not None:
                await routing.abort()
            if moved:
                await self._listen(old)
            return [str(error)]
        try:
            probing = await self.prober.prepare(config.probe)
            await probing.commit()
        except ProbeError as error:
            await routing.abort()
            if moved:
                await self._listen(old)
            return [str(error)]
        self.config = config
        self.metrics.configure(config)
        self.driver.feed(Configured(config.core))
        self.tunnels.configure(config.tunnel)
        self.rates.configure(_devices(config))
        self._follow_kernel(routing.installed)
        await self.fleet.configure(config)
        return []

    def _reloaded(self, ok: bool) -> None:
        self.metrics.reloaded(ok, time.time())
        notify(READY="1", STATUS=self._status())

    # What others look at

    def _snapshot(
        self,
    ) -> tuple[
        View,
        Mapping[tuple[PolicyId, int], int],
        Callable[[PathId], ProbingView | None],
        Callable[[PathId], TunnelView | None],
    ]:
        skipped = self.prober.skipped
        self.metrics.skipped(skipped - self._skipped)
        self._skipped = skipped
        return self.driver.view(), self.router.installed(), self.prober.report, self.tunnels.view

    def _healthy(self) -> bool:
        """Progress in probing and in routing; that this is asked at all shows that the loop turns."""
        now = time.monotonic()
        probing = now - self._last_outcome < PROGRESS_WITHIN or self.driver.resting()
        since = self.driver.steering_since
        return probing and (since is None or now - since < PROGRESS_WITHIN)

    def _ready(self) -> tuple[bool, str]:
        waiting = [policy.policy for policy in self.driver.view().policies if policy.state is PolicyState.NONE]
        return (False, f"no choice yet: {', '.join(waiting)}") if waiting else (True, "ready")

    def _status(self) -> str:
        choices = [f"{policy.policy}: {policy.choice or policy.state}" for policy in self.driver.view().policies]
        return "; ".join(choices) or "no policies"


def _devices(config: Config) -> Mapping[PathId, str]:
    return {path.path: path.device for path in config.route.paths}
