"""Counts what goes over uplinks against their caps, and tells what that, their price and the hour make them cost.

The counters are those of the devices themselves (``/proc/net/dev``): all that a provider may count but its own framing.
What went while steerd was down is counted, if the counter went on.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any, Final

from steerd.config.uplink import METERED, UplinkSettings
from steerd.core.cost.charges import LAST_RESORT, NEAR, scarcity
from steerd.core.events import UplinkPrice
from steerd.net.devices import RX_BYTES, TX_BYTES, Devices, counters
from steerd.status.snapshot import UplinkView
from steerd.text.sizes import show
from steerd.traffic.count import ABSENT, Count
from steerd.traffic.periods import LocalTime, began, ends, within

log = logging.getLogger(__name__)

COUNTERS: Final = Path("/proc/self/net/dev")
BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
EVERY: Final = 1.0
"""Seconds from reading to reading."""
KEPT_EVERY: Final = 300.0
KEPT_SOONEST: Final = 10.0
KEPT_SHARE: Final = 0.01
"""Counts are kept so many seconds after the last time, or as soon as this share of a cap went, but no sooner than after
so many seconds. Only a power cut loses what was counted since: a counter that goes on is read again."""
CLOCK_BELIEVED: Final = 86_400.0
"""Seconds for which the clock has to stand before the beginning of a count until that is taken for wrong."""
HOURS_STAND: Final = 60.0
"""Seconds for which hours are begun, or over, at least."""

Read = Mapping[str, tuple[str, int]]
"""By uplink which device has its name, of all that ever had, and that one's counter. What is not in it was not read."""

OPEN, NEARING, SPARED, REACHED, ANEW = "open", "near", "last-resort", "reached", "reset"
"""How an uplink stands to its cap; and that its count has begun anew."""
_LEVELS: Final = ((1.0, REACHED), (LAST_RESORT / 100.0, SPARED), (NEAR / 100.0, NEARING))
_ORDER: Final = (OPEN, NEARING, SPARED, REACHED)


class _Uplink:
    """One of them: its settings, its count, and what was told of it last."""

    def __init__(self, settings: UplinkSettings, count: Count) -> None:
        self.settings = settings
        self.count = count
        self.metered = settings.metered
        self.busy = False  # it is one of its hours
        self._turned_at = -inf
        self.ends = ""
        self.behind_since: float | None = None
        self.told: UplinkPrice | None = None
        self.state = self.reached()
        self.kept = count.bytes

    @property
    def used(self) -> float:
        """Which share of its cap is used up; 0: it has none."""
        return self.count.bytes / self.settings.cap if self.settings.cap else 0.0

    @property
    def price(self) -> float:
        own = self.settings.price
        usual = METERED if self.metered else 0.0
        return (usual if own is None else own) + (self.settings.bias if self.busy else 0.0)

    def keep_hours(self, local: datetime, now: float) -> None:
        """As the clock says, that may be set forth and back around the hour."""
        busy = within(self.settings.hours, local)
        if busy is not self.busy and now - self._turned_at >= HOURS_STAND:
            self.busy, self._turned_at = busy, now

    def reached(self) -> str:
        return next((state for share, state in _LEVELS if self.used >= share), OPEN)

    def words(self, state: str, before: int) -> str:
        name, cap, count = self.settings.name, show(self.settings.cap or 0), show(self.count.bytes)
        until = f" until {self.ends}" if self.ends else ""
        if state == ANEW:
            return f"{name} is counted anew from {self.count.began} on, after {show(before)}; its cap is {cap}"
        if state == NEARING:
            return f"{name} has carried {count} of its cap of {cap}: it costs more and more{until}"
        done = f"has reached its cap of {cap}" if state == REACHED else f"has carried {count} of its cap of {cap}"
        return f"{name} {done}: it is used only if nothing else is up{until}"


class Uplinks:
    """``kept`` is what an earlier run's `kept` returned. ``on_price`` is told what an uplink costs, when it changes;
    ``on_turn`` when it nears or reaches its cap, or is counted anew: its name, which of these, and a sentence; ``keep``
    is called when counts are to be written down."""

    def __init__(
        self,
        settings: Sequence[UplinkSettings],
        kept: Mapping[str, Any],
        *,
        on_price: Callable[[UplinkPrice], None],
        on_turn: Callable[[str, str, str], None],
        keep: Callable[[], None],
    ) -> None:
        restored = {name: Count.restored(one) for name, one in kept.items()}
        self._counts = {name: count for name, count in restored.items() if count is not None}
        for name in restored.keys() - self._counts.keys():
            log.warning("what was counted of %.40r cannot be read: it is counted from nothing", name)
        self._on_price = on_price
        self._on_turn = on_turn
        self._keep = keep
        self._uplinks: dict[str, _Uplink] = {}
        self._time = LocalTime()
        self._metered: Mapping[str, bool] = {}
        self._kept_at = time.monotonic()
        self._devices = Devices()
        self._boot = _boot()
        self.settings: Sequence[UplinkSettings] = ()
        self._take(settings)

    def configure(self, settings: Sequence[UplinkSettings]) -> None:
        """Take other settings. Counts go on; those of uplinks that are no longer listed rest, and their paths cost
        nothing more. What the others cost is told with the next `read`."""
        gone = self._uplinks.keys() - {one.name for one in settings}
        for name in sorted(gone):
            self._on_price(UplinkPrice(name, 0.0))
        self._take(settings)

    async def run(self) -> None:
        """Read and tell, for ever."""
        while True:
            await asyncio.sleep(EVERY)
            self.read()

    def read(self) -> None:
        """The counters and the clock as they are now."""
        if self._uplinks:
            self.look(self._counters(), time.time(), time.monotonic())

    def look(self, counted: Read, wall: float, now: float) -> None:
        """They were so at this Unix time; ``now`` goes on evenly."""
        local = self._time.look(wall, now)
        turned = [self._look(one, counted.get(name), local, now) for name, one in self._uplinks.items()]
        if any(turned) or self._due(now):
            self._kept_at = now
            for one in self._uplinks.values():
                one.kept = one.count.bytes
            self._keep()

    def metered(self, found: Mapping[str, bool]) -> None:
        """What NetworkManager says of devices."""
        self._metered = found
        for one in self._uplinks.values():
            self._tell(one)

    @property
    def asks(self) -> bool:
        """Whether it matters what NetworkManager says."""
        return any(one.metered is None for one in self.settings)

    def kept(self) -> Mapping[str, Any]:
        """What a restart is not to forget."""
        return {name: count.kept() for name, count in self._counts.items()}

    def views(self) -> Sequence[UplinkView]:
        """What there is to see of each."""
        return [
            UplinkView(
                name=name,
                device=one.count.device != ABSENT,
                metered=one.metered,
                price=one.price,
                scarcity=scarcity(one.used),
                bytes=one.count.bytes,
                cap=one.settings.cap,
                began=one.count.began,
                ends=one.ends,
                state=one.state,
            )
            for name, one in self._uplinks.items()
        ]

    def _take(self, settings: Sequence[UplinkSettings]) -> None:
        self.settings = settings
        before = self._uplinks
        self._uplinks = {}
        for own in settings:
            one = _Uplink(own, self._counts.setdefault(own.name, Count()))
            if (former := before.get(own.name)) is not None:
                one.state = min(one.state, former.state, key=_ORDER.index)  # what is reached by the change is told
            self._uplinks[own.name] = one

    def _look(self, one: _Uplink, counted: tuple[str, int] | None, local: datetime | None, now: float) -> bool:
        """True: it stands otherwise to its cap than before."""
        count, before, anew = one.count, one.count.bytes, False
        if local is not None:
            anew = self._renew(one, local, now)
            one.keep_hours(local, now)
        if counted is not None:
            count.look(*counted)
        former, one.state = one.state, one.reached()
        if one.settings.cap and anew:
            self._on_turn(one.settings.name, ANEW, one.words(ANEW, before))
            former = OPEN
        if _ORDER.index(one.state) > _ORDER.index(former):
            self._on_turn(one.settings.name, one.state, one.words(one.state, before))
        self._tell(one)
        return anew or one.state != former

    def _renew(self, one: _Uplink, local: datetime, now: float) -> bool:
        resets, today = one.settings.resets, local.date()
        first = began(resets, today).isoformat()
        one.ends = ends(resets, today).isoformat()
        if first >= one.count.began:
            one.behind_since = None
        elif one.behind_since is None:
            one.behind_since = now
        elif now - one.behind_since >= CLOCK_BELIEVED:
            one.count.dated(first)
        return one.count.renew(first, f"{resets.every.value} {resets.day}")

    def _tell(self, one: _Uplink) -> None:
        """The engine hears of whole percents alone, as what an uplink costs changes with these."""
        if one.settings.metered is None:
            one.metered = self._metered.get(one.settings.name)
        price = UplinkPrice(one.settings.name, one.price, min(int(100.0 * one.used + 1e-9), 100) / 100.0)
        if scarcity(price.used) == 0.0:
            price = price._replace(used=0.0)
        if price != one.told:
            one.told = price
            self._on_price(price)

    def _counters(self) -> Read:
        # Which device it is comes first: one that takes its place in between is then counted from nothing, not twice.
        indexes = {name: self._devices.index(name) for name in self._uplinks}
        try:
            page = COUNTERS.read_bytes()
        except OSError:
            return {}
        found = {}
        for name, index in indexes.items():
            fields = counters(page, name)
            if fields is None:
                found[name] = (ABSENT, 0)
            elif index:
                found[name] = (f"{self._boot}/{index}", fields[RX_BYTES] + fields[TX_BYTES])
        return found

    def _due(self, now: float) -> bool:
        since = now - self._kept_at
        return since >= KEPT_SOONEST and any(
            one.count.bytes - one.kept >= KEPT_SHARE * (one.settings.cap or inf)
            or (since >= KEPT_EVERY and one.count.bytes != one.kept)
            for one in self._uplinks.values()
        )


def _boot() -> str:
    try:
        return BOOT.read_text().strip()
    except OSError:
        return ""
