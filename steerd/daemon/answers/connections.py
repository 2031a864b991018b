"""How many connections stay on which path, whatever policies have chosen since."""

import asyncio
from collections.abc import Callable, Mapping

from steerd.config.settings import Config
from steerd.control.server import Handler, RefusedError, Request, Response
from steerd.daemon.driver import Driver
from steerd.route.kernel.conntrack import counted


class Connections:
    """Counted when somebody asks, and in a thread: there may be millions."""

    def __init__(self, driver: Driver, config: Callable[[], Config]) -> None:
        self._driver = driver
        self._config = config

    def verbs(self) -> Mapping[str, Handler]:
        return {"connections": self._count}

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
