"""The probing stage's shell: carriers, one timer, and the pure parts that say what is due and what became of it.

Each tick checks the clock, reads all that came, judges what did not, sends what is due, and sets the timer for the
next. Nothing is read between ticks: the kernel's stamps do not age.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from steerd.config.probe_settings import ProbeSettings
from steerd.core.effects import Cadence
from steerd.core.events import PathMtu, Probed
from steerd.core.settings import PathId
from steerd.core.views import ProbingView
from steerd.probe.carrier import Leg
from steerd.probe.change import ProbeChange
from steerd.probe.error import ProbeError
from steerd.probe.exchange import Exchange
from steerd.probe.findings import Findings
from steerd.probe.methods.icmp import Wired
from steerd.probe.mtu.watch import MtuProber
from steerd.probe.pace import Pace
from steerd.probe.roster import Roll, Roster


class Prober:
    """Probes every path at the cadence asked for and tells each outcome once. ``lag`` is called at each tick with how
    late it ran, in seconds, and ``on_mtu`` when another packet size gets through a path: assign what observes them.
    ``local_queue`` as `Exchange.local_queue`; ``addresses`` gives the
    addresses of targets that are names (`Names.known`), to be kept for when DNS is down. ``roster`` has the legs."""

    def __init__(
        self,
        settings: ProbeSettings,
        *,
        on_outcome: Callable[[Probed], None],
        seed: int,
        addresses: Mapping[tuple[str, int], str] | None = None,
        wired: Wired | None = None,
    ) -> None:
        """``seed`` spreads gateways apart in phase; ``addresses`` are those that `addresses` gave in an earlier run;
        ``wired`` makes a wire of a raw socket (None: the best)."""
        self.lag: Callable[[float], None] = lambda _: None
        self.on_mtu: Callable[[PathMtu], None] = lambda _: None
        self.findings = Findings()
        self._settings = settings
        self._pace: Pace = Pace(seed, self.findings)
        self._exchange = Exchange(on_outcome, self.findings, wired)
        self._carriers = self._exchange.carriers
        self.roster = Roster(self._carriers, self._pace, self.findings, self._forget, addresses)
        self.local_queue = self._exchange.local_queue
        self.addresses = self.roster.names.known
        self._mtu = MtuProber(seed, self._pace, lambda event: self.on_mtu(event))  # noqa: PLW0108 -- assigned later
        self._change: ProbeChange | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed = math.inf

    @property
    def skipped(self) -> int:
        """How many slots were not probed after stalls."""
        return self._pace.schedule.skipped

    def shortest(self) -> float:
        """The time between two probes of the leg that is probed most often, in seconds; infinity: none is."""
        return self._pace.schedule.shortest

    def open(self) -> None:
        """Open the sockets, to find early what is missing. Raises `ProbeError`."""
        self._carriers.open(self._settings, ExitStack())

    def start(self) -> None:
        """Open the sockets and probe from the running loop. Raises `ProbeError`."""
        self._loop = asyncio.get_running_loop()
        self._exchange.start(time.monotonic())
        self.roster.names.start(self._loop)
        self._mtu.start(self._loop)
        try:
            self._take_up(self._roll(self._settings, ExitStack()))
        except ProbeError:
            self.close()
            raise

    def close(self) -> None:
        """Stop probing. Nothing more is told of probes under way."""
        if self._timer:
            self._timer.cancel()
        self._timer = None
        self._loop = None
        if self._change:
            self._change.expire()
        self.roster.names.stop()
        self._mtu.close()
        self._exchange.close()

    async def prepare(self, settings: ProbeSettings) -> ProbeChange:
        """Open what these paths need that is not open yet. Raises `ProbeError`, and leaves nothing open then. Of
        several changes that were prepared only the last can be committed."""
        if self._change:
            self._change.expire()
        with ExitStack() as opened:
            try:
                roll = self._roll(settings, opened)
            except OSError as error:
                raise ProbeError(f"cannot open what probing needs: {error.strerror}") from error
            change = self._change = ProbeChange(roll, self._take_up, opened.pop_all())
        return change

    def _roll(self, settings: ProbeSettings, opened: ExitStack) -> Roll:
        self._carriers.open(settings, opened)
        self._mtu.open(settings, opened)
        return self.roster.roll(settings)

    def _take_up(self, roll: Roll) -> Roll:
        """Probe these from now on. Returns who was probed before."""
        now = time.monotonic()
        former = self.roster.call(roll, now)
        self._mtu.configure(roll.settings, self.roster)
        self._exchange.keep(set(self.roster))
        self._arm(now)
        return former

    def cadence(self, wanted: Cadence) -> None:
        """Follow the engine from the next tick on."""
        now = time.monotonic()
        for leg in self.roster.of(wanted.path):
            leg.patience = wanted.patience
            self._pace.every(leg, wanted.every, now)
        self._mtu.paced(self.roster.of(wanted.path))
        self._arm(now)

    def renew(self, path: PathId) -> None:
        """This path's packets go another way: what a NAT on the old one knew of the identifier is void."""
        legs = self.roster.of(path)
        for leg in legs:
            leg.renew()
        self._mtu.renew(legs)

    def report(self, path: PathId) -> ProbingView | None:
        """How this path is probed now; None: it is not."""
        legs = self.roster.of(path)
        if not legs:
            return None
        periods = [period for leg in legs if (period := self._pace.period(leg)) is not None]
        return ProbingView(
            method=legs[0].settings.method,
            targets=tuple(leg.address or leg.target.name or "" for leg in legs),
            every=min(periods, default=None),
            local_queue=self.local_queue(path),
            findings=self.findings.of(path),
            directions=tuple(leg.directions() for leg in legs),
            names=self.roster.said_of_names(path),
        )

    # The tick

    def _arm(self, now: float) -> None:
        """One timer for everything: tick by tick while answers are awaited, else when the next probe is due."""
        if self._loop is None:
            return
        at = now if self._exchange.waiting else self._pace.schedule.next_at()
        if at < math.inf:
            at = self._pace.schedule.tick_after(at, now)
        if self._timer:
            if at == self._armed:
                return
            self._timer.cancel()
        self._armed = at
        self._timer = self._loop.call_at(at, self._run) if at < math.inf else None

    def _run(self) -> None:
        planned, now = self._armed, time.monotonic()
        self._timer = None
        try:
            self.lag(max(0.0, now - planned))
            self._exchange.hear(planned, now)
            if due := self._pace.schedule.take(now):
                self._exchange.send([*due, *self._exchange.diagnosis.checks()])
        finally:
            self._arm(time.monotonic())

    def _forget(self, leg: Leg) -> None:
        self._exchange.forget(leg)
        self._mtu.renew([leg])
