"""One run of the daemon: its parts are made and joined, started, and stopped. No steering of its own."""

import asyncio
import logging
import random
import time
from signal import SIGHUP, SIGINT, SIGTERM

from steerd import __version__
from steerd.config.change import StageError
from steerd.config.settings import Config
from steerd.control.server import ControlServer
from steerd.core.effects import Fact
from steerd.core.engine import Engine
from steerd.core.policy.drains_and_pins import local, unconfirmed
from steerd.daemon import journal
from steerd.daemon.answers.answers import Answers
from steerd.daemon.answers.explaining import Explaining
from steerd.daemon.answers.operators import Operators
from steerd.daemon.answers.planning import Planning
from steerd.daemon.answers.tracing import Tracing
from steerd.daemon.driver import Driver
from steerd.daemon.fleet import Fleet
from steerd.daemon.liveness import Liveness
from steerd.daemon.notify import notify
from steerd.daemon.persistence import Persistence
from steerd.daemon.probing import Probing
from steerd.daemon.readings import Traffic, Tunnels
from steerd.daemon.reload import Reload
from steerd.daemon.steering import Steering
from steerd.daemon.tasks import Tasks
from steerd.daemon.transaction import take_up
from steerd.status.snapshot import Snapshot
from steerd.store.earlier import StoredState
from steerd.store.store import Store
from steerd.web.http import ExportServer
from steerd.web.metrics import Metrics

log = logging.getLogger("steerd")


async def run(config: Config) -> None:
    """Run until SIGTERM or SIGINT. StageError: a part cannot start."""
    store = Store(config.store_path, record=config.record)
    stored = await asyncio.to_thread(store.open)
    try:
        daemon = Daemon(config, store, stored)
    except StageError:
        store.close()
        raise
    await daemon.run()


class Daemon:
    """Over one configuration; ``stored`` is what an earlier run left in ``store``. ``stages`` are asked to prepare a
    reload, in this order: see `take_up`."""

    def __init__(self, config: Config, store: Store, stored: StoredState) -> None:
        seed = random.SystemRandom().getrandbits(32)
        self._tasks = Tasks()
        self._driver = driver = Driver(_engine(config, store, stored, seed), record=store.record)
        self._metrics = metrics = Metrics()
        metrics.configure(config)
        metrics.follow(driver.events, driver.facts)
        self._steering = steering = Steering(config, driver, metrics, self._tasks)
        self._probing = Probing(config, driver, steering, metrics, seed=seed, addresses=stored.addresses)
        self._tunnels = Tunnels(config, driver, steering)
        self._traffic = Traffic(config, driver)
        self._fleet = Fleet(config, driver, metrics, self._tasks, kept=stored.orders)
        steering.believed = self._fleet.follow_orders
        self._persistence = Persistence(store, driver, self._probing.prober.addresses, self._fleet.kept)
        self._fleet.remember = self._persistence.remember
        self._liveness = Liveness(driver, self._probing.prober.shortest)
        self._reload = Reload(
            config,
            take_up=lambda given: take_up(given, self.stages),
            began=lambda: notify(RELOADING="1"),
            ended=self._reloaded,
            refused=lambda: metrics.refused("config", "reload"),
            spawn=self._tasks.spawn,
        )
        self._tracing = Tracing(driver, self._probing.prober, store, lambda: self._reload.config)
        operators = Operators(driver, lambda: self._reload.config)
        planning = Planning(driver, lambda: self._reload.config)
        explaining = Explaining(self._snapshot, store)
        answers = Answers((explaining, operators, planning, self._tracing, self._reload), metrics)
        self._control = ControlServer(config.control_socket, answers.answer)
        self._endpoint = ExportServer(
            config.export, metrics, self._snapshot, self._liveness.healthy, self._liveness.ready
        )
        self.stages = (
            steering.prepare_engine,
            self._fleet.prepare,
            lambda given: self._endpoint.prepare(given.export),
            self._traffic.prepare,
            self._tunnels.prepare,
            metrics.prepare,
            self._probing.prepare,
            steering.prepare_routes,
        )
        driver.facts.listen(Fact, journal.tell)

    async def run(self) -> None:
        """Until SIGTERM or SIGINT, or until a part fails. StageError: one cannot start."""
        loop = asyncio.get_running_loop()
        for number in (SIGTERM, SIGINT):
            loop.add_signal_handler(number, self._tasks.ending.set)
        try:
            await self._start()
            loop.add_signal_handler(SIGHUP, lambda: self._tasks.spawn(self._reload.on_signal()))
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
        except OSError as error:
            raise StageError(f"cannot listen: {error}") from error
        await self._endpoint.start()
        self._probing.prober.open()
        await self._steering.start()
        self._probing.prober.start()
        self._fleet.read_orders()
        self._steering.believe()
        self._driver.feed(None)
        for work in (self._steering.run, self._tunnels.watch.run, self._traffic.rates.run, self._fleet.follow):
            self._tasks.spawn(work())
        self._tasks.spawn(self._liveness.watch())
        self._tasks.spawn(self._endpoint.keep_trying())
        self._fleet.start()

    async def _stop(self) -> None:
        notify(STOPPING="1")
        self._driver.stop()
        self._probing.prober.close()
        await self._tasks.cancel()
        self._tunnels.watch.close()
        await self._tracing.close()
        await self._fleet.stop()
        await self._control.stop()
        await self._endpoint.stop()
        self._reload.stop()
        await self._steering.router.stop()
        self._persistence.remember()
        await asyncio.to_thread(self._persistence.store.close)

    def _snapshot(self) -> Snapshot:
        """What there is to see of all stages now."""
        config, view = self._reload.config, self._driver.view()
        prober, router, tunnels = self._probing.prober, self._steering.router, self._tunnels.watch
        paths = [path.path for path in view.paths]
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
            remarks=(*router.remarks(), *tunnels.remarks(), *self._endpoint.remarks()),
            trial=self._reload.trial(),
        )

    def _reloaded(self, ok: bool) -> None:
        self._metrics.reloaded(ok, time.time())
        notify(READY="1", STATUS=self._driver.summary())


def _engine(config: Config, store: Store, stored: StoredState, seed: int) -> Engine:
    now = time.monotonic()
    memory = local(stored.memory) if config.mqtt is None else unconfirmed(stored.memory)
    draw = random.Random(seed).random  # noqa: S311 (spreads hold-downs; guards nothing)
    store.begin(settings=config.core, memory=memory, seed=seed, epoch=stored.epoch, now=now)
    return Engine(config.core, memory, now=now, epoch=stored.epoch, draw=draw)
