"""What operators order: pins and drains."""

import time
from collections.abc import Callable, Mapping

from steerd.config.settings import Config
from steerd.control import requests
from steerd.control.server import Handler, RefusedError, Request, Response
from steerd.core.events import Verb
from steerd.daemon.driver import Driver


class Operators:
    def __init__(self, driver: Driver, config: Callable[[], Config]) -> None:
        self._driver = driver
        self._config = config

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
        return {"text": requests.given(order, now, before, self._driver.view())}
