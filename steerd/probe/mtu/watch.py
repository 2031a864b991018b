"""Path MTU: tests regularly which packet size each path carries (`steerd.probe.mtu.search`), with one timer, and no
task or thread for a path."""

import asyncio
import errno
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Final

from steerd.config.family import IPV6
from steerd.config.probe_settings import ProbeSettings
from steerd.core.events import PathMtu
from steerd.core.settings import PathId
from steerd.net.devices import LinkState, look
from steerd.net.icmp import HEADERS, LEAST
from steerd.probe.carrier import Leg
from steerd.probe.mtu.large_echo import Echoes, Run
from steerd.probe.mtu.links import Links
from steerd.probe.mtu.search import Found, Search
from steerd.probe.mtu.turns import Turns
from steerd.probe.mtu.witness import Witness
from steerd.probe.pace import Pace
from steerd.probe.timing.wheel import Wheel
from steerd.probe.wire import echo as packet

_log = logging.getLogger("steerd.probe")

SHARE: Final = 0.1
"""Of a device's budget that the packets of searches may use."""

SETTLED: Final = 1.0
"""Seconds to wait after a change of a device; the searches are then spread over as many again."""

_AT_ONCE: Final = 64  # searches
_GREATEST: Final = 65_535
_GRAIN: Final = 0.05


class MtuProber:
    """Searches the path MTU of every leg at the configured interval, and soon after its device changed.

    ``on_mtu`` is called when a path's result changed. Everything happens in the loop that it was started in.
    """

    def __init__(self, seed: int, pace: Pace, on_mtu: Callable[[PathMtu], None]) -> None:
        """``seed`` spreads gateways apart in phase; ``pace`` shares out the budgets of devices."""
        self._on_mtu = on_mtu
        self._pace = pace
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turns = Turns(seed, pace)
        self._rates: dict[str, float] = {}
        self._free_at: dict[str, float] = {}  # when a device's share of its budget allows the next packet
        self._witnesses: dict[Leg, Witness] = {}
        self._links: Links | None = None
        self._devices: dict[str, LinkState | None] = {}
        self._look_at = math.inf
        self._addressed: set[int] | None = set()
        self._legs: dict[Leg, float] = {}  # when each is due
        self._of: dict[PathId, list[Leg]] = {}
        self._wheel: Wheel[tuple[Leg, float]] = Wheel(_GRAIN)
        self._waiting: deque[Leg] = deque()
        self._runs: dict[Leg, Run] = {}
        self._found: dict[Leg, tuple[str, int, Found]] = {}  # at which address, and with which MTU of the device
        self._told: dict[PathId, PathMtu] = {}
        self._echoes: Echoes | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Everything happens in this loop."""
        self._loop = loop
        self._echoes = Echoes(loop, self._heard)

    def open(self, settings: ProbeSettings, opened: ExitStack) -> None:
        """Open what these paths need; ``opened`` closes what was not open before. Raises `ProbeError`."""
        if self._loop is None or self._echoes is None or settings.mtu_interval <= 0.0:
            return
        for family in {target.family for path in settings.paths for target in path.targets if path.device}:
            self._echoes.open(family, opened)
        if self._links is None:
            self._links = Links(self._loop, self._changed)
            opened.callback(self._shut_links)

    def close(self) -> None:
        """Stop searching and close all sockets."""
        if self._timer:
            self._timer.cancel()
        self._timer = None
        self._runs.clear()
        for witness in self._witnesses.values():
            witness.close()
        self._witnesses.clear()
        if self._echoes is not None:
            self._echoes.close()
        self._shut_links()
        self._echoes = self._loop = None

    def _shut_links(self) -> None:
        if self._links is not None:
            self._links.close()
        self._links = None

    def configure(self, settings: ProbeSettings, legs: Iterable[Leg]) -> None:
        """Search for these legs from now on; new ones soon."""
        wanted = [leg for leg in legs if leg.settings.device] if settings.mtu_interval > 0.0 else []
        now = time.monotonic()
        self._rates = {path.device: path.budget * SHARE for path in settings.paths if path.budget is not None}
        former, self._turns.interval = self._turns.interval, settings.mtu_interval
        kept = set(wanted)
        for leg in self._legs.keys() - kept:
            del self._legs[leg]
            self._turns.forget(leg)
            self._pace.alone(leg, now)
            self._end(leg)
            self._found.pop(leg, None)
        self._of = {}
        for leg in wanted:
            self._of.setdefault(leg.settings.path, []).append(leg)
        self._told = {path: told for path, told in self._told.items() if path in self._of}
        for leg in wanted:
            if leg not in self._legs:
                self._devices[leg.settings.device] = self._device(leg.settings.device)
                self._soon(leg, now)
            elif self._turns.interval != former:
                self._put(leg, self._turns.next(leg, now))
        self._arm(now)

    def renew(self, legs: Iterable[Leg]) -> None:
        """The packets of these legs go another way: search again soon."""
        now = time.monotonic()
        for leg in legs:
            if leg in self._legs:
                self._end(leg)
                self._soon(leg, now)
        self._arm(now)

    def paced(self, legs: Iterable[Leg]) -> None:
        """These legs are probed at another cadence: who is probed more often is searched sooner."""
        now = time.monotonic()
        for leg in legs:
            if leg in self._legs and (slot := self._turns.next(leg, now)) < self._legs[leg]:
                self._put(leg, slot)
        self._arm(now)

    # When

    def _soon(self, leg: Leg, now: float) -> None:
        self._put(leg, now + SETTLED * (1.0 + self._turns.spread(leg)))

    def _put(self, leg: Leg, due: float) -> None:
        self._legs[leg] = due
        self._wheel.put((leg, due), due)

    def _changed(self, addressed: set[int] | None) -> None:
        """Some device changed: look at all once things have settled."""
        now = time.monotonic()
        self._addressed = None if addressed is None or self._addressed is None else self._addressed | addressed
        self._look_at = min(self._look_at, now + SETTLED)
        self._arm(now)

    def _look(self, now: float) -> None:
        addressed, self._addressed, self._look_at = self._addressed, set(), math.inf
        news = set()
        for name in {leg.settings.device for leg in self._legs}:
            before, device = self._devices.get(name), self._device(name)
            self._devices[name] = device
            if device is not None and (device != before or addressed is None or device.interface in addressed):
                news.add(name)
        for leg in [leg for leg in self._legs if leg.settings.device in news]:
            self._end(leg)
            self._put(leg, now + SETTLED * self._turns.spread(leg))

    def _device(self, name: str) -> LinkState | None:
        found = look(name) if self._links is not None else None
        return found if found and found.up else None

    def _arm(self, now: float) -> None:
        if self._loop is None:
            return
        at = min(self._wheel.next_at(), self._look_at, *(self._wake_at(run) for run in self._runs.values()), math.inf)
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(max(at, now), self._wake) if at < math.inf else None

    def _wake_at(self, run: Run) -> float:
        return max(run.search.wake_at, self._free_at.get(run.leg.settings.device, -math.inf))

    def _wake(self) -> None:
        self._timer = None
        now = time.monotonic()
        try:
            if now >= self._look_at:
                self._look(now)
            for leg, due in self._wheel.take(now):
                if self._legs.get(leg) == due:
                    self._turns.came(leg, now)
                    self._put(leg, self._turns.next(leg, now))
                    if leg not in self._runs and leg not in self._waiting and leg not in self._witnesses:
                        self._waiting.append(leg)
            while self._waiting and len(self._runs) < _AT_ONCE:
                self._begin(self._waiting.popleft(), now)
            for run in list(self._runs.values()):
                if now >= self._wake_at(run):
                    self._proceed(run, now)
        finally:
            self._arm(time.monotonic())

    # One search

    def _begin(self, leg: Leg, now: float) -> None:
        device = self._device(leg.settings.device)
        small = HEADERS[leg.family] + packet.PAYLOAD
        if leg not in self._legs or device is None or not leg.packed or device.mtu <= small:
            return
        full = min(device.mtu, _GREATEST)
        self._pace.beside(leg, full + small, self._turns.period(leg), now)
        at, mtu, found = self._found.get(leg, ("", 0, None))
        known, timeout = (found if (at, mtu) == (leg.address, full) else None), leg.settings.timeout
        search = Search(device=full, small=small, least=LEAST[leg.family], timeout=timeout, known=known)
        self._runs[leg] = Run(leg, device._replace(mtu=full), search)

    def _proceed(self, run: Run, now: float) -> None:
        for size in run.search.due(now):
            self._send(run, size, now)
        if run.search.over:
            self._end(run.leg)
            self._weigh(run, run.search.found)

    def _weigh(self, run: Run, found: Found | None) -> None:
        """What looks like a black hole is asked about by another protocol first."""
        leg, size = run.leg, run.device.mtu
        if found is None or found.told or found.mtu == size or self._loop is None:
            return self._settle(run, found)

        def told(passes: bool) -> None:
            self._witnesses.pop(leg, None)
            # No link of IPv6 may take less than 1,280 bytes (RFC 8200): something else is wrong there.
            impossible = leg.family == IPV6 and found.mtu < LEAST[IPV6]
            self._settle(run, Found(size, told=False) if passes else None if impossible else found)

        try:
            self._witnesses[leg] = Witness(self._loop, run, size, leg.settings.timeout, told)
        except OSError:
            told(passes=False)

    def _settle(self, run: Run, found: Found | None) -> None:
        if found is None:
            return
        self._found[run.leg] = run.address, run.device.mtu, found
        self._tell(run.leg.settings.path, run.device.mtu)

    def _send(self, run: Run, size: int, now: float) -> None:
        device = run.leg.settings.device
        if device in self._rates:
            self._free_at[device] = max(now, self._free_at.get(device, now)) + size / self._rates[device]
        error = self._echoes.send(run, size, now) if self._echoes is not None else errno.EBADF
        if error == errno.EMSGSIZE:  # the device takes less than it said, and tells senders so
            run.search.too_big(size, 0, now)
        elif error:
            run.search.give_up()

    def _heard(self, run: Run) -> None:
        now = time.monotonic()
        if self._runs.get(run.leg) is run and (run.search.over or now >= self._wake_at(run)):
            self._proceed(run, now)
        self._arm(now)

    def _end(self, leg: Leg) -> None:
        run = self._runs.pop(leg, None)
        if run is not None and self._echoes is not None:
            self._echoes.forget(run)
        if (witness := self._witnesses.pop(leg, None)) is not None:
            witness.close()

    def _tell(self, path: PathId, device: int) -> None:
        """The smallest of a path's legs counts; the path has a black hole if one of them has."""
        found = [self._found[leg][2] for leg in self._of.get(path, ()) if leg in self._found]
        mtu = min(device, *(one.mtu for one in found)) if found else device
        told = mtu < device and all(one.told or one.mtu >= device for one in found)
        event = PathMtu(path, mtu, device, told)
        before = self._told.get(path)
        if event == before:
            return
        self._told[path] = event
        if before is not None or mtu < device:
            note = ": large packets vanish" if event.black_hole else ": senders of larger ones are told" if told else ""
            _log.info("%s: MTU %d of %d%s", path, mtu, device, note)
        self._on_mtu(event)
