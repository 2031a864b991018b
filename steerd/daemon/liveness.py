"""Whether the daemon makes progress, and whether it steers: for systemd, /healthz and /readyz."""

import asyncio
import time
from typing import Final

from steerd.core.events import Probed
from steerd.core.states import PolicyState
from steerd.daemon.driver import Driver
from steerd.daemon.notify import notify, watchdog_period

PROGRESS_WITHIN: Final = 30.0
"""Without an outcome of any probe for so long, in seconds, the watchdog is not fed."""

LOOK: Final = 30.0
"""The longest time between two looks, in seconds."""


class Liveness:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._last_outcome = time.monotonic()
        driver.events.listen(Probed, self._probed)

    def healthy(self) -> bool:
        """Progress in probing and in routing; that this is asked at all shows that the event loop runs."""
        now = time.monotonic()
        probing = now - self._last_outcome < PROGRESS_WITHIN or self._driver.resting()
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
        self._last_outcome = time.monotonic()
