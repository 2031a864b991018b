"""What operators order: pins and drains."""

import time
from collections.abc import Awaitable, Callable, Mapping

from steerd.config.settings import Config
from steerd.control import requests
from steerd.control.server import Handler, RefusedError, Request, Response
from steerd.core.events import Verb
from steerd.daemon.driver import Driver


class Operators:
    """``trouble`` says why what was ordered would not survive a restart, or None."""

    def __init__(
        self, driver: Driver, config: Callable[[], Config], trouble: Callable[[], Awaitable[str | None]]
    ) -> None:
        self._driver = driver
        self._config = config
        self._trouble = trouble

    def verbs(self) -> Mapping[str, Handler]:
        return dict.fromkeys((verb.value for verb in Verb), self._order)

    async def _order(self, request: Request) -> Response:
        core = self._config().core
        pops = {path.pop for path in core.paths}
        policies = {policy.policy for policy in core.policies}
        now = time.monotonic()
        order = requests.order(request, now, pops=pops, policies=policies)
        before = self._driver.view()
        reason = self._driver.order(order)
        if reason is not None:
            raise RefusedError(requests.declined(order, reason, before))
        text = requests.given(order, now, before, self._driver.view())
        trouble = await self._trouble()
        warnings = [f"this will not survive a restart of steerd: it cannot be kept: {trouble}"] if trouble else []
        return {"text": text, **({"warnings": warnings} if warnings else {})}
