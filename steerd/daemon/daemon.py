"""One run of the daemon: its parts are made and joined, started, and stopped. No steering of its own."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from signal import SIGHUP, SIGINT, SIGTERM

from steerd import __version__
from steerd.config.change import StageError
from steerd.config.settings import Config
from steerd.control.server import ControlServer, TakenError
from steerd.core.effects import Switched
from steerd.core.engine import Engine
from steerd.core.events import Event, Observed
from steerd.core.memory import Memory
from steerd.core.policy.drains_and_pins import local, unconfirmed
from steerd.daemon.answers.answers import Answers
from steerd.daemon.answers.connections import Connections
from steerd.daemon.answers.explaining import Explaining
from steerd.daemon.answers.operators import Operators
from steerd.daemon.answers.planning import Planning
from steerd.daemon.answers.tracing import Tracing
from steerd.daemon.catalogue.follower import Follower
from steerd.daemon.driver import Driver
from steerd.daemon.fleet import Fleet
from steerd.daemon.journal import Journal
from steerd.daemon.liveness import Liveness
from steerd.daemon.noticing import Noticing
from steerd.daemon.notify import notify
from steerd.daemon.persistence import Persistence
from steerd.daemon.probing import Probing
from steerd.daemon.readings import Links, Traffic, Tunnels
from steerd.daemon.reload import Reload
from steerd.daemon.steering import Steering
from steerd.daemon.tasks import Tasks
from steerd.daemon.threads import start_threads
from steerd.daemon.transaction import take_up
from steerd.faults import watch_over
from steerd.route.observer import Observer
from steerd.status.savings import Savings
from steerd.status.snapshot import Snapshot
from steerd.store.earlier import StoredState
from steerd.store.store import Store
from steerd.web.http import Server
from steerd.web.metrics import Metrics
from steerd.web.pages import Pages

log = logging.getLogger("steerd")

Recorder = Callable[[Event | Observed | None, float], None]


async def run(config: Config, reload_asked: Callable[[], bool], *, observing: bool = False) -> None:
    """Run until SIGTERM or SIGINT; ``observing``: touch nothing. ``reload_asked``: whether SIGHUP came since the
    configuration began to be read. StageError: a part cannot start."""
    start_threads(asyncio.get_running_loop())
    store = Store(config.store_path, record=config.record)
    stored = await asyncio.to_thread(store.open)
    try:
        daemon = Daemon(config, store, stored, observing=observing)
    except StageError:
        store.close()
        raise
    await daemon.run(reload_asked)


class Daemon:
    """Over one configuration; ``stored`` is what an earlier run left in ``store``. ``stages`` are asked to prepare a
    reload, in this order: see `take_up`."""

    def __init__(self, config: Config, store: Store, stored: StoredState, *, observing: bool = False) -> None:
        seed = random.SystemRandom().getrandbits(32)
        self._tasks = Tasks()
        engine = _engine(config, store, stored, seed)
        self._savings = savings = Savings() if observing else None
        record = store.record if savings is None else _both(savings.told, store.record)
        self._driver = driver = Driver(engine, record=record, failed=self._tasks.failed, observing=observing)
        self._metrics = metrics = Metrics()
        metrics.configure(config)
        metrics.follow(driver.events, driver.facts)
        self._steering = steering = Steering(config, driver, metrics, self._tasks, observing=observing)
        self._probing = Probing(config, driver, steering, metrics, seed=seed, addresses=stored.addresses)
        self._tunnels = Tunnels(config, driver, steering)
        self._traffic = Traffic(config, driver)
        self._links = Links(config, driver, store, stored.counts)
        # Whoever only observes has nothing to tell a fleet: his choices are on paper.
        shared = replace(config, mqtt=None) if observing else config
        self._fleet = Fleet(shared, driver, metrics, self._tasks, kept=stored.orders)
        steering.believed = self._fleet.follow_orders
        addresses = self._probing.prober.addresses
        counts = self._links.uplinks.kept
        self._persistence = Persistence(store, driver, addresses, self._fleet.kept, counts, observing=observing)
        self._fleet.remember = self._links.keep = self._persistence.remember
        self._liveness = Liveness(driver, self._probing.prober.shortest)
        self._reload = Reload(
            config,
            take_up=lambda given: take_up(given, self.stages),
            began=lambda: notify(RELOADING="1"),
            ended=self._reload_ended,
            refused=lambda: metrics.refused("config", "reload"),
            spawn=self._tasks.spawn,
        )
        self._catalogue = Follower(
            lambda: self._reload.config,
            self._reload.take_catalogue,
            metrics,
            observing=observing,
            connected=lambda: self._fleet.connected,
        )
        self._fleet.on_catalogue = self._catalogue.heard
        self._noticing = Noticing(config, driver, metrics.hook, observing=observing)
        self._tracing = Tracing(driver, self._probing.prober, store, lambda: self._reload.config)
        operators = Operators(driver, lambda: self._reload.config, store.trouble)
        planning = Planning(driver, lambda: self._reload.config)
        explaining = Explaining(self._snapshot, store, metrics.render, self._savings)
        connections = Connections(driver, steering.router, lambda: self._reload.config)
        answers = Answers((explaining, operators, planning, connections, self._tracing, self._reload), metrics)
        self._control = ControlServer(config.control_socket, answers.answer)
        pages = Pages(metrics, self._snapshot, self._liveness.healthy, self._liveness.ready)
        self._endpoint = Server(config.export, pages.answer, partial(metrics.refused, "http"))
        self.stages = (
            steering.prepare_engine,
            *(() if observing else (self._fleet.prepare,)),
            lambda given: self._endpoint.prepare(given.export),
            self._noticing.prepare,
            self._catalogue.prepare,
            self._traffic.prepare,
            self._links.prepare,
            self._tunnels.prepare,
            metrics.prepare,
            self._probing.prepare,
            steering.prepare_routes,
        )
        self._journal = Journal(driver, store.noted, observing=observing)
        self._probing.prober.findings.told = self._journal.found
        if savings is not None:
            driver.facts.listen(Switched, savings.switched)

    async def run(self, reload_asked: Callable[[], bool] = lambda: False) -> None:
        """Until SIGTERM or SIGINT, or until the engine fails. StageError: a part cannot start."""
        loop = asyncio.get_running_loop()
        watch_over(loop)
        for number in (SIGTERM, SIGINT):
            loop.add_signal_handler(number, self._tasks.ending.set)
        try:
            await self._start()
            loop.add_signal_handler(SIGHUP, lambda: self._tasks.spawn(self._reload.on_signal()))
            if reload_asked():
                self._tasks.spawn(self._reload.on_signal())
            self._reloaded(ok=True)
            log.info("steerd %s is ready: %s", __version__, self._driver.summary())
            await self._tasks.ending.wait()
        finally:
            await self._stop()
        if self._tasks.failure is not None:
            raise self._tasks.failure

    async def _start(self) -> None:
        # First of all: a socket that is taken says that another steerd runs, and then not even what `on_stop` asks for
        # may touch the kernel.
        try:
            await self._control.start()
        except TakenError as error:
            raise StageError(f"cannot listen: {error}") from error
        await self._endpoint.start()
        self._probing.prober.open()
        await self._steering.start()
        self._links.start()
        self._probing.prober.start()
        self._fleet.read_orders()
        self._steering.believe()
        self._noticing.start()
        self._driver.feed(None)
        for part, work in (
            ("steering", self._steering.run),
            ("tunnels", self._tunnels.watch.run),
            ("traffic", self._traffic.rates.run),
            ("uplinks", self._links.uplinks.run),
            ("orders", self._fleet.follow),
            ("watchdog", self._liveness.watch),
            ("http", self._endpoint.keep_trying),
            ("control", self._control.keep_listening),
            ("hooks", self._noticing.run),
            ("catalogue", self._catalogue.run),
        ):
            self._tasks.keep(part, work)
        self._fleet.start()
        if self._savings is None:  # who observes changes no peer
            self._tunnels.endpoints.start()

    async def _stop(self) -> None:
        notify(STOPPING="1")
        async with AsyncExitStack() as end:  # from its end to its beginning; all of it, whatever fails
            end.push_async_callback(asyncio.to_thread, self._persistence.store.close)
            end.callback(self._persistence.remember)
            end.push_async_callback(self._steering.router.stop)
            end.callback(self._reload.stop)
            end.push_async_callback(self._noticing.stop)
            end.push_async_callback(self._endpoint.stop)
            end.push_async_callback(self._control.stop)
            end.push_async_callback(self._fleet.stop)
            end.push_async_callback(self._tracing.close)
            end.callback(self._tunnels.close)
            end.callback(self._links.close)
            end.push_async_callback(self._tasks.cancel)
            end.callback(self._probing.prober.close)
            end.callback(self._driver.stop)

    def _snapshot(self) -> Snapshot:
        """What there is to see of all stages now."""
        config, view = self._reload.config, self._driver.view()
        prober, router, tunnels = self._probing.prober, self._steering.router, self._tunnels.watch
        paths = [path.path for path in view.paths]
        catalogue = self._catalogue.view()
        return Snapshot(
            view,
            gateway=config.gateway,
            price=config.switch_price,
            installed=router.installed(),
            probing={path: seen for path in paths if (seen := prober.report(path)) is not None},
            outcomes={path: self._metrics.outcomes(path) for path in paths},
            skipped=prober.skipped,
            tunnels={path: tunnel for path in paths if (tunnel := tunnels.view(path)) is not None},
            underlays=router.underlays(),
            dropped=router.dropped(),
            packets=router.packets(),
            packet_totals=router.packet_totals(),
            staying=router.staying(),
            observed=router.observed() if isinstance(router, Observer) else None,
            remarks=(
                *router.remarks(),
                *tunnels.remarks(),
                *self._endpoint.remarks(),
                *(catalogue.remarks() if catalogue else ()),
            ),
            trial=self._reload.trial(),
            uplinks=tuple(self._links.uplinks.views()),
            catalogue=catalogue,
        )

    def _reload_ended(self, ok: bool) -> None:
        self._journal.reloaded(self._reload.problems, self._reload.changed)
        self._noticing.reloaded(self._reload.problems, self._reload.changed)
        self._reloaded(ok)

    def _reloaded(self, ok: bool) -> None:
        self._metrics.reloaded(ok, time.time())
        notify(READY="1", STATUS=self._driver.summary())


def _both(first: Recorder, second: Recorder) -> Recorder:
    def record(event: Event | Observed | None, now: float) -> None:
        first(event, now)
        second(event, now)

    return record


def _engine(config: Config, store: Store, stored: StoredState, seed: int) -> Engine:
    now = time.monotonic()
    memory = local(stored.memory) if config.mqtt is None else unconfirmed(stored.memory)
    draw = random.Random(seed).random  # noqa: S311 (spreads hold-downs; guards nothing)
    try:
        engine = Engine(config.core, memory, now=now, epoch=stored.epoch, draw=draw)
    except Exception:  # what was kept reads well, and makes no sense
        log.exception("what was kept of earlier runs cannot be used: starting without it")
        memory = Memory()
        engine = Engine(config.core, memory, now=now, epoch=stored.epoch, draw=draw)
    store.begin(settings=config.core, memory=memory, seed=seed, epoch=stored.epoch, now=now)
    return engine
