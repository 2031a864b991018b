"""What steerctl may ask of the daemon: each request to its answer."""

import time
from typing import TYPE_CHECKING, Final

from steerd import __version__
from steerd.control import orders, probing, words
from steerd.control.server import HANDLE, RefusedError, Request, Response
from steerd.core.model import Verb
from steerd.core.settings import PathId
from steerd.trace.tracer import BusyError

if TYPE_CHECKING:
    from steerd.daemon import Daemon

HISTORY_MAX: Final = 1000
EX_CONFIG: Final = 78
ORDERS: Final = frozenset(verb.value for verb in Verb)
VERBS: Final = ORDERS | {"status", "why", "history", "reload", "trace"}
TRACE_WITHIN: Final = HANDLE - 5.0
"""Seconds for all paths of a PoP: less than the control socket gives an answer."""


async def answer(daemon: "Daemon", request: Request) -> Response:
    """Serve one request. RefusedError: it can not be done."""
    match request["verb"]:
        case "status":
            return words.status(
                daemon.driver.view(),
                lambda path: probing.words(daemon.prober.report(path), daemon.metrics.outcomes(path)),
                gateway=daemon.config.gateway,
                version=__version__,
            )
        case "why":
            return await _why(daemon, request)
        case "history":
            rows = await daemon.store.history(orders.since(request), HISTORY_MAX)
            return words.history(rows)
        case "trace":
            return await _trace(daemon, request)
        case "reload":
            problems = await daemon.reload()
            if problems:
                raise RefusedError("the configuration was refused", code=EX_CONFIG, problems=list(problems))
            return {}
        case verb if verb in ORDERS:
            return _order(daemon, request)
        case verb:
            raise RefusedError(f"there is no verb {verb!r}")


async def _why(daemon: "Daemon", request: Request) -> Response:
    view = daemon.driver.view()
    last = [policy.last.event_id for policy in view.policies if policy.last is not None]
    traces = {event_id: trace for event_id in last if (trace := await daemon.store.trace(event_id)) is not None}
    return words.why(view, request.get("policy"), traces, lambda path: probing.words(daemon.prober.report(path), {}))


async def _trace(daemon: "Daemon", request: Request) -> Response:
    known: dict[str, list[PathId]] = {}
    for path in daemon.config.core.paths:
        known.setdefault(path.pop, []).append(path.path)
    pop, paths = orders.traced(request, known)
    wanted = [one for path in paths if (one := daemon.traceable(PathId(path))) is not None]
    try:
        return words.trace(pop, await daemon.tracer.trace(wanted, TRACE_WITHIN))
    except BusyError as error:
        raise RefusedError(str(error)) from error


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
