"""How many connections stay on which path, whatever policies have chosen since; and moves them on order."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from steerd.config.settings import Config
from steerd.control import requests
from steerd.control.server import Handler, RefusedError, Request, Response
from steerd.daemon.driver import Driver
from steerd.route.error import RouteError
from steerd.route.kernel.conntrack import counted
from steerd.route.observer import Observer
from steerd.route.router import Router

log = logging.getLogger("steerd")


class Connections:
    """Counted when somebody asks, and in a thread: there may be millions."""

    def __init__(self, driver: Driver, router: Router | Observer, config: Callable[[], Config]) -> None:
        self._driver = driver
        self._router = router
        self._config = config

    def verbs(self) -> Mapping[str, Handler]:
        return {"connections": self._count, "move": self._move}

    async def _move(self, request: Request) -> Response:
        policies = {policy.policy for policy in self._config().core.policies}
        policy = requests.moved_policy(request, policies)
        if isinstance(self._router, Observer):
            raise RefusedError("steerd only observes here: it pins nothing, and moves nothing")
        try:
            done = await self._router.move(policy)
        except RouteError as error:
            raise RefusedError(str(error)) from error
        except OSError as error:
            raise RefusedError(f"not all connections could be let go: {error.strerror or error}") from error
        text = requests.moved(policy, done.paths, done.let_go, done.unsure)
        log.info("by an operator's order: %s", text)
        return {"policy": policy, "paths": list(done.paths), "let_go": done.let_go, "unsure": done.unsure, "text": text}

    async def _count(self, _: Request) -> Response:
        route = self._config().route
        try:
            found = await asyncio.to_thread(counted, route.mark_mask)
        except OSError as error:
            raise RefusedError(f"the connections cannot be listed: {error.strerror or error}") from error
        view = self._driver.view()
        return {
            "connections": [
                {
                    "path": path.path,
                    "ipv4": found.get((path.mark, 4), 0),
                    "ipv6": found.get((path.mark, 6), 0),
                    "inbound": sum(found.get((path.inbound_mark, family), 0) for family in (4, 6)),
                    "used_by": [policy.policy for policy in view.policies if policy.choice == path.path],
                }
                for path in route.paths
            ]
        }
