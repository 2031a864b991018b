"""What steerctl may ask of the daemon: each request to its answer."""

import time
from typing import TYPE_CHECKING, Final

from steerd import __version__
from steerd.control import orders, words
from steerd.control.server import RefusedError, Request, Response
from steerd.core.model import Verb

if TYPE_CHECKING:
    from steerd.daemon import Daemon

HISTORY_MAX: Final = 1000
EX_CONFIG: Final = 78
ORDERS: Final = frozenset(verb.value for verb in Verb)
VERBS: Final = ORDERS | {"status", "why", "history", "reload"}


async def answer(daemon: "Daemon", request: Request) -> Response:
    """Serve one request. RefusedError: it can not be done."""
    match request["verb"]:
        case "status":
            return words.status(
                daemon.driver.view(),
                gateway=daemon.config.gateway,
                version=__version__,
            )
        case "why":
            return words.why(daemon.driver.view(), request.get("policy"))
        case "history":
            rows = await daemon.store.history(orders.since(request), HISTORY_MAX)
            return words.history(rows)
        case "reload":
            problems = await daemon.reload()
            if problems:
                raise RefusedError("the configuration was refused", code=EX_CONFIG, problems=list(problems))
            return {}
        case verb if verb in ORDERS:
            return _order(daemon, request)
        case verb:
            raise RefusedError(f"there is no verb {verb!r}")


def _order(daemon: "Daemon", request: Request) -> Response:
    core = daemon.config.core
    order = orders.order(
        request,
        time.monotonic(),
        pops={path.pop for path in core.paths},
        policies={policy.policy for policy in core.policies},
    )
    declined = daemon.order(order)
    if declined is not None:
        raise RefusedError(declined)
    return {}
