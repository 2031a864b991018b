"""The daemon: puts the stages together, and carries effects from the engine to them. No steering of its own."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from signal import SIGHUP, SIGINT, SIGTERM
from typing import TYPE_CHECKING, Any, Final, assert_never

from steerd import __version__
from steerd.config.load import load
from steerd.config.problem import ConfigError
from steerd.config.settings import Config
from steerd.control.server import ControlServer
from steerd.core.engine import Engine
from steerd.core.model import (
    Cadence,
    Configured,
    Declined,
    Effect,
    Event,
    Installed,
    Link,
    Order,
    PathChanged,
    PathState,
    PolicyState,
    PopState,
    Probed,
    Steer,
    Switched,
    View,
)
from steerd.core.settings import PathId, PolicyId
from steerd.export.metrics import Metrics
from steerd.export.server import ExportServer
from steerd.notify import notify, watchdog_period
from steerd.probe.prober import ProbeError, Prober
from steerd.route.router import RouteError, Router
from steerd.store.store import Store
from steerd.verbs import answer

if TYPE_CHECKING:
    from steerd.share.share import Share

log = logging.getLogger("steerd")

REMEMBER_EVERY: Final = 30.0
"""Pins and drains are kept at once; hold-downs, which change by themselves, so often, in seconds."""

PROGRESS_WITHIN: Final = 30.0
"""Without an outcome of any probe for so long, in seconds, the watchdog is not fed."""

CHATTER: Final = frozenset({PathState.UP, PathState.SUSPECT})


class StartError(Exception):
    """The daemon can not start; the message is one line that says what to do."""


class Daemon:
    """One run of the daemon over one configuration file."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics = Metrics()
        self.metrics.configure(config)
        self.store = Store(config.store_path, record=config.record)
        self._stop = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._armed = float("inf")
        self._steers: dict[PolicyId, tuple[Steer, float]] = {}
        self._steering = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._share: Share | None = None
        self._share_task: asyncio.Task[None] | None = None
        self._last_outcome = time.monotonic()
        self._steer_began: float | None = None
        self._skipped = 0
        self._declined: str | None = None

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT. Raises `StartError` when a stage can not start."""
        loop = asyncio.get_running_loop()
        config = self.config
        stored = await asyncio.to_thread(self.store.open)
        seed = random.SystemRandom().getrandbits(32)
        now = time.monotonic()
        draw = random.Random(seed).random  # noqa: S311 (spreads hold-downs; guards nothing)
        self.engine = Engine(config.core, stored.memory, now=now, epoch=stored.epoch, draw=draw)
        self.store.begin(settings=config.core, memory=stored.memory, seed=seed, epoch=stored.epoch, now=now)
        self.router = Router(
            config.route,
            on_link=lambda path, up: self.feed(Link(path, up)),
            on_installed=self.feed,
            on_repair=self.metrics.repair,
        )
        try:
            self.prober = Prober(config.probe, on_outcome=self._probed, seed=seed)
            self.prober.lag = self.metrics.loop_lag
            adopted = await self.router.start()
        except (RouteError, ProbeError) as error:
            self.store.close()
            raise StartError(str(error)) from error
        try:
            await self._start(adopted)
            for number in (SIGTERM, SIGINT):
                loop.add_signal_handler(number, self._stop.set)
            loop.add_signal_handler(SIGHUP, lambda: self._background(self._reload_on_signal()))
            notify(READY="1", STATUS=self._status())
            log.info("steerd %s is ready: %s", __version__, self._status())
            await self._stop.wait()
        finally:
            await self._close()

    def feed(self, event: Event | None) -> None:
        """Give the engine an event, and carry out what it wants."""
        now = time.monotonic()
        if event is not None:
            self.store.record(event, now)
        effects = self.engine.feed(event, now)
        if effects:
            self._carry_out(effects, now)
        deadline = self.engine.next_deadline()
        if deadline != self._armed:
            self._arm(deadline)

    def view(self) -> View:
        return self.engine.view(time.monotonic())

    async def reload(self) -> Sequence[str]:
        """Parse the file whole, then swap. Returns every problem; a bad file changes nothing."""
        async with self._reloading:
            notify(RELOADING="1")
            problems = await self._reload()
            self.metrics.reloaded(not problems, time.time())
            for problem in problems:
                log.error("not reloaded: %s", problem)
            notify(READY="1", STATUS=self._status())
            return problems

    def remember(self) -> None:
        """Keep the pins, drains and hold-downs of now."""
        self.store.remember(self.engine.memory(time.monotonic()))

    # Start and stop

    async def _start(self, adopted: Sequence[Installed]) -> None:
        for path, up in self.router.links().items():
            if not up:
                self.feed(Link(path, up))
        for installed in adopted:
            if installed.best is not None:
                log.info("%s: adopted %s from the kernel", installed.policy, installed.best)
                self.feed(installed)
        try:
            self.prober.start()
        except ProbeError as error:
            raise StartError(str(error)) from error
        self.feed(None)
        for known in self.engine.paths.values():
            if known.cadence is not None:
                self.prober.cadence(known.cadence)
        self._spawn(self._steer(), self._housekeep())
        self.control = ControlServer(self.config.control_socket, lambda request: answer(self, request))
        self.export = ExportServer(self.config.export, self.metrics, self._snapshot, self._healthy, self._ready)
        try:
            await self.control.start()
            await self.export.start()
        except OSError as error:
            raise StartError(f"can not listen: {error}") from error
        self._start_share()

    def _start_share(self) -> None:
        if self.config.mqtt is None:
            return
        from steerd.share.share import Share  # noqa: PLC0415 (gateways without a broker do not pay for it)

        self._share = Share(
            self.config.mqtt,
            epoch=self.engine.epoch,
            pops={path.pop for path in self.config.core.paths},
            snapshot=self.view,
            on_pop_state=self._pop_state,
            on_refused=self.metrics.refused,
            on_connected=self.metrics.mqtt_connected,
            on_message=self.metrics.mqtt_message,
            draw=random.random,
        )
        self._share_task = asyncio.create_task(self._share.run(), name="steerd-share")

    async def _stop_share(self) -> None:
        if self._share is not None and self._share_task is not None:
            await self._share.stop()
            with suppress(asyncio.CancelledError):
                await self._share_task
        self._share = self._share_task = None

    async def _close(self) -> None:
        notify(STOPPING="1")
        if self._timer is not None:
            self._timer.cancel()
        self.prober.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stop_share()
        for server in (getattr(self, "control", None), getattr(self, "export", None)):
            if server is not None:
                await server.stop()
        await self.router.stop()
        self.remember()
        await asyncio.to_thread(self.store.close)

    def _spawn(self, *work: Any) -> None:
        for one in work:
            task = asyncio.create_task(one)
            task.add_done_callback(self._died)
            self._tasks.append(task)

    def _background(self, work: Any) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        self._spawn(work)

    def _died(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("a task failed; the kernel keeps what it has", exc_info=error)
            self._stop.set()
            raise error

    # Events in

    def _probed(self, event: Probed) -> None:
        self._last_outcome = time.monotonic()
        self.metrics.probed(event)
        self.feed(event)

    def _pop_state(self, event: PopState) -> None:
        self.feed(event)
        self.remember()

    def order(self, order: Order) -> str | None:
        """Give an operator's order; returns why it was declined, or None."""
        self._declined = None
        self.feed(order)
        self.remember()
        return self._declined

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = deadline
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(deadline, self._wake) if deadline < float("inf") else None

    def _wake(self) -> None:
        self._armed = float("inf")
        self.feed(None)

    # Effects out

    def _carry_out(self, effects: Sequence[Effect], now: float) -> None:
        for effect in effects:
            match effect:
                case Cadence():
                    self.prober.cadence(effect)
                case Steer():
                    self._steers[effect.policy] = (effect, now)
                    self._steering.set()
                case Switched():
                    log.info("%s", _sentence(effect))
                    self.metrics.fact(effect)
                    self.store.decided(effect, int(time.time() * 1000))
                    if self._share is not None:
                        self._share.fact(effect)
                case PathChanged():
                    level = logging.DEBUG if {effect.old, effect.new} <= CHATTER else logging.INFO
                    log.log(level, "%s is %s: %s", effect.path, effect.new, effect.reason)
                    self.metrics.fact(effect)
                case Declined():
                    log.warning("declined: %s (%s)", effect.reason, type(effect.event).__name__)
                    self._declined = effect.reason
                    self.metrics.fact(effect)
                case _:
                    assert_never(effect)

    async def _steer(self) -> None:
        """Carry out what is wanted, the latest for each policy, one at a time."""
        while True:
            await self._steering.wait()
            self._steering.clear()
            while self._steers:
                policy = next(iter(self._steers))
                wanted, decided = self._steers.pop(policy)
                self._steer_began = time.monotonic()
                installed = await self.router.steer(wanted)
                self._steer_began = None
                self.metrics.switch_duration(time.monotonic() - decided)
                if installed.error is not None:
                    log.error("%s: %s (event %s)", policy, installed.error, wanted.event_id)
                self.feed(installed)

    async def _housekeep(self) -> None:
        period = watchdog_period()
        rest = REMEMBER_EVERY if period is None else min(REMEMBER_EVERY, period / 3.0)
        remembered = time.monotonic()
        while True:
            if self._healthy():
                notify(WATCHDOG="1", STATUS=self._status())
            if time.monotonic() - remembered >= REMEMBER_EVERY:
                remembered = time.monotonic()
                self.remember()
            await asyncio.sleep(rest)

    # Reload

    async def _reload_on_signal(self) -> None:
        await self.reload()

    async def _reload(self) -> Sequence[str]:
        try:
            config = await asyncio.to_thread(load, self.config.source)
        except ConfigError as error:
            return [str(problem) for problem in error.problems]
        old = self.config
        for name in ("control_socket", "store_path", "record"):
            if getattr(config, name) != getattr(old, name):
                log.warning("%s takes effect at the next start", name)
        try:
            installed = await self.router.configure(config.route)
            self.prober.configure(config.probe)
        except (RouteError, ProbeError) as error:
            return [str(error)]
        self.config = config
        self.metrics.configure(config)
        self.feed(Configured(config.core))
        for one in installed:
            self.feed(one)
        for path, up in self.router.links().items():
            self.feed(Link(path, up))
        if config.export != old.export:
            await self.export.stop()
            self.export = ExportServer(config.export, self.metrics, self._snapshot, self._healthy, self._ready)
            await self.export.start()
        if config.mqtt != old.mqtt:
            await self._stop_share()
            self._start_share()
        elif self._share is not None:
            self._share.watch({path.pop for path in config.core.paths})
        log.info("reloaded %s", config.source)
        return []

    # What others look at

    def _snapshot(self) -> tuple[View, Mapping[tuple[PolicyId, int], int], Callable[[PathId], float]]:
        skipped = self.prober.skipped
        self.metrics.skipped(skipped - self._skipped)
        self._skipped = skipped
        return self.view(), self.router.installed(), self.prober.local_queue

    def _healthy(self) -> bool:
        """Progress in probing and in routing; that this is asked at all shows that the loop turns."""
        now = time.monotonic()
        probing = not self.config.probe.paths or now - self._last_outcome < PROGRESS_WITHIN
        resting = all(path.cadence is None or path.cadence.every is None for path in self.engine.paths.values())
        routing = self._steer_began is None or now - self._steer_began < PROGRESS_WITHIN
        return (probing or resting) and routing

    def _ready(self) -> tuple[bool, str]:
        waiting = [policy.policy for policy in self.view().policies if policy.state is PolicyState.NONE]
        return (False, f"no choice yet: {', '.join(waiting)}") if waiting else (True, "ready")

    def _status(self) -> str:
        choices = [f"{policy.policy}: {policy.choice or policy.state}" for policy in self.view().policies]
        return "; ".join(choices) or "no policies"


def _sentence(switched: Switched) -> str:
    gain = switched.margin.get("gain")
    why = f"{switched.rule}, {gain:.1f} ms cheaper" if gain is not None else switched.rule
    return (
        f"{switched.policy}: {switched.old or 'nothing'} -> {switched.new or 'blocked'}, "
        f"{switched.reason} ({why}), event {switched.event_id}"
    )
