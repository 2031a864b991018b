"""Whether the daemon makes progress, and whether it steers: for systemd, /healthz and /readyz."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from steerd.core.events import Probed
from steerd.core.states import PolicyState
from steerd.daemon.driver import Driver
from steerd.daemon.notify import notify, watchdog_period

PROGRESS_WITHIN: Final = 30.0
"""Without an outcome of any probe for so long after one is due, in seconds, the watchdog is not fed."""

LOOK: Final = 30.0
"""The longest time between two looks, in seconds."""


class Liveness:
    """``period`` gives the time between two probes of the path that is probed most often, in seconds; infinity: none
    is. ``clock``: as `time.monotonic`."""

    def __init__(
        self, driver: Driver, period: Callable[[], float], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._driver = driver
        self._period = period
        self._clock = clock
        self._last_outcome = self._clock()
        driver.events.listen(Probed, self._probed)

    def healthy(self) -> bool:
        """Progress in probing and in routing; that this is asked at all shows that the event loop runs."""
        now = self._clock()
        probing = now - self._last_outcome < PROGRESS_WITHIN + self._period()
        since = self._driver.steering_since
        return probing and (since is None or now - since < PROGRESS_WITHIN)

    def ready(self) -> tuple[bool, str]:
        """Whether every policy has a choice that its packets follow, and in words which has not."""
        policies = self._driver.view().policies
        waiting = [policy.policy for policy in policies if policy.state is PolicyState.NONE]
        missing = [f"no choice yet: {', '.join(waiting)}"] if waiting else []
        missing += [f"{policy.policy}: {policy.mismatch}" for policy in policies if policy.mismatch]
        return not missing, "; ".join(missing) or "ready"

    async def watch(self) -> None:
        """Feed systemd's watchdog as long as there is progress, for ever."""
        period = watchdog_period()
        rest = LOOK if period is None else min(LOOK, period / 3.0)
        while True:
            if self.healthy():
                notify(WATCHDOG="1", STATUS=self._driver.summary())
            await asyncio.sleep(rest)

    def _probed(self, _: Probed) -> None:
        self._last_outcome = self._clock()
