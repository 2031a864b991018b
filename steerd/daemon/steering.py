"""Engine and router: what is decided is carried out, and what the kernel has is what the engine believes."""

import logging
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from steerd.config.change import StageChange, Swap
from steerd.config.settings import Config
from steerd.core.effects import PathChanged
from steerd.core.events import Configured, Installed, Link, PathMtu, UplinkPrice
from steerd.core.settings import PathId, Settings
from steerd.core.states import PathState
from steerd.daemon.driver import Driver
from steerd.daemon.notify import notify
from steerd.daemon.tasks import Tasks
from steerd.route.change import RouteChange
from steerd.route.observer import Observer
from steerd.route.router import Router
from steerd.status.stream import Stream
from steerd.web.metrics import Metrics

log = logging.getLogger("steerd")

GONE = frozenset({PathState.DOWN, PathState.ABSENT})
"""What connections pinned to a path do not survive."""


class Steering:
    """What changes in the kernel by itself is told the engine, too. ``links`` tells of devices that come or go, and of
    nothing that was known before; ``believed`` is called when the engine knows what the kernel has: assign it. What may
    fail on its own goes to ``tasks``."""

    def __init__(
        self, config: Config, driver: Driver, metrics: Metrics, tasks: Tasks, *, observing: bool = False
    ) -> None:
        self.router = router = (
            Observer(config, on_link=self._linked, on_observed=driver.note)
            if observing
            else Router(config.route, on_link=self._linked, on_installed=driver.feed, on_repair=metrics.repair)
        )
        self.links: Stream[Link] = Stream()
        self.believed: Callable[[], None] = lambda: None
        self._settings = config.core
        self._driver = driver
        self._metrics = metrics
        self._found: Sequence[Installed] = ()
        self._taking: RouteChange | None = None
        driver.facts.listen(PathChanged, self._path_changed)
        driver.events.listen(PathMtu, lambda size: tasks.spawn(router.size(size.path, size.mtu)))
        driver.events.listen(UplinkPrice | Configured, lambda _: router.spare(self._spared()))

    async def start(self) -> None:
        """Adopt what is there. RouteError: something is in the way."""
        self._found = await self.router.start()

    def believe(self) -> None:
        """Tell the engine what the kernel has. What could not be told apart after a reload (traffic on a path that
        is no longer named) is left to the `Steer` that the reload itself brings."""
        for link in self.router.links().values():
            self._driver.feed(link)
        for one in self._found:
            if one.error is not None:
                log.warning("%s: %s", one.policy, one.error)
                continue
            if one.best is not None and self._driver.engine.policies[one.policy].assignment.choice is None:
                if isinstance(self.router, Observer):
                    log.info("%s: its traffic goes by %s now, and begins there on paper", one.policy, one.best)
                else:
                    log.info("%s: adopted %s from the kernel", one.policy, one.best)
            self._driver.feed(one)
        self.believed()

    async def run(self) -> None:
        """Carry out what the engine wants, for ever."""
        await self._driver.steering(self.router.steer, self._steered)

    async def prepare_routes(self, config: Config) -> StageChange:
        """The router's part of a reload. RouteError: it is refused."""
        if isinstance(self.router, Observer):
            return Swap(self.router.configure, self.router.config, config)
        self._taking = await self.router.prepare(config.route)
        return self._taking

    async def prepare_engine(self, config: Config) -> StageChange:
        """The engine's part: it begins with what the router's part has found, and with the prober's paths."""
        return Swap(self._configure, (self._settings, False), (config.core, True))

    def _configure(self, given: tuple[Settings, bool]) -> None:
        """With the news of the routes' commit, or taken back without: then routing tells itself what became of them."""
        self._settings, committed = given
        self._found = self._taking.installed if committed and self._taking else ()
        self._driver.feed(Configured(self._settings))
        self.believe()

    def _spared(self) -> AbstractSet[PathId]:
        return {id_ for id_, path in self._driver.engine.paths.items() if path.spared}

    def _linked(self, link: Link) -> None:
        self.links.tell(link)
        self._driver.feed(link)

    def _steered(self, seconds: float) -> None:
        self._metrics.switch_duration(seconds)
        notify(STATUS=self._driver.summary())

    def _path_changed(self, fact: PathChanged) -> None:
        if fact.new in GONE:
            self.router.lost(fact.path)
        else:
            self.router.found(fact.path)
