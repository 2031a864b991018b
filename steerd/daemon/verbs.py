"""What steerctl may ask of the daemon: each request to its answer."""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from steerd import __version__
from steerd.config.gateway.load import load
from steerd.config.problem import ConfigError
from steerd.control import orders, probing, words
from steerd.control.server import HANDLE, RefusedError, Request, Response
from steerd.core.events import Verb
from steerd.core.settings import PathId
from steerd.daemon.plan import plan
from steerd.daemon.reload import TrialError
from steerd.route.router import RouteError
from steerd.store.records import RecordError, from_json
from steerd.text.durations import show
from steerd.trace.tracer import BusyError

if TYPE_CHECKING:
    from steerd.daemon.daemon import Daemon

HISTORY_MAX: Final = 1000
EX_CONFIG: Final = 78
ORDERS: Final = frozenset(verb.value for verb in Verb)
VERBS: Final = ORDERS | {"status", "why", "history", "reload", "confirm", "plan", "trace"}
EVENT_ID: Final = re.compile(r"\d+-\d+", re.ASCII)
TRACE_WITHIN: Final = HANDLE - 5.0
"""Seconds for all paths of a PoP: less than the control socket gives an answer."""


async def answer(daemon: "Daemon", request: Request) -> Response:
    """Serve one request. RefusedError: it can not be done."""
    match request["verb"]:
        case "status":
            said = words.status(
                daemon.driver.view(),
                lambda path: _beside(daemon, path),
                gateway=daemon.config.gateway,
                version=__version__,
                price=daemon.config.switch_price,
            )
            return {
                **said,
                "reload": daemon.reloads.state(),
                "remarks": [*daemon.router.remarks(), *daemon.tunnels.remarks()],
            }
        case "why":
            return await _why(daemon, request)
        case "history":
            rows = await daemon.store.history(orders.since(request), HISTORY_MAX)
            return words.history(rows)
        case "trace":
            return await _trace(daemon, request)
        case "reload":
            return await _reload(daemon, request)
        case "confirm":
            try:
                daemon.reloads.confirm()
            except TrialError as error:
                raise RefusedError(str(error)) from error
            return {"text": "confirmed: the configuration stays in force"}
        case "plan":
            return await _plan(daemon)
        case verb if verb in ORDERS:
            return _order(daemon, request)
        case verb:
            raise RefusedError(f"there is no verb {verb!r}")


def _beside(daemon: "Daemon", path: PathId) -> dict[str, Any]:
    """What others than the engine know of a path."""
    underlay = daemon.router.underlays().get(path)
    return {
        **probing.words(daemon.prober.report(path), daemon.metrics.outcomes(path)),
        "tunnel": probing.tunnel(daemon.tunnels.view(path)),
        "underlay": underlay and {"remote": underlay.remote, "device": underlay.device or None},
    }


async def _reload(daemon: "Daemon", request: Request) -> Response:
    within = orders.confirm_within(request)
    try:
        problems = await daemon.reloads.reload(within)
    except TrialError as error:
        raise RefusedError(str(error)) from error
    if problems:
        raise _refused(problems)
    if within is None:
        return {}
    text = f"in force for {show(within)}, and then taken back, unless `steerctl confirm` comes first"
    return {"confirm_within_s": within, "text": text}


async def _plan(daemon: "Daemon") -> Response:
    try:
        config = await asyncio.to_thread(load, daemon.config.source)
        return await plan(daemon.config, config, daemon.driver.view())
    except ConfigError as error:
        raise _refused([str(problem) for problem in error.problems]) from error
    except RouteError as error:
        raise _refused([str(error)]) from error
    except OSError as error:
        raise RefusedError(f"the kernel's routes can not be read: {error}") from error


def _refused(problems: Sequence[str]) -> RefusedError:
    return RefusedError("the configuration was refused", code=EX_CONFIG, problems=list(problems))


async def _why(daemon: "Daemon", request: Request) -> Response:
    view, name = daemon.driver.view(), request.get("policy")
    if isinstance(name, str) and EVENT_ID.fullmatch(name) and all(one.policy != name for one in view.policies):
        return await _why_event(daemon, name)
    last = [policy.last.event_id for policy in view.policies if policy.last is not None]
    traces = {event_id: trace for event_id in last if (trace := await daemon.store.trace(event_id)) is not None}
    return words.why(
        view,
        name,
        traces,
        lambda path: probing.words(daemon.prober.report(path), {}),
        price=daemon.config.switch_price,
    )


async def _why_event(daemon: "Daemon", event_id: str) -> Response:
    row = await daemon.store.decision(event_id)
    if row is None:
        raise RefusedError(f'there is no policy and no event "{event_id}"; `steerctl history` lists what is kept')
    try:
        switched = from_json(row)
    except RecordError as error:
        raise RefusedError(f"event {event_id} was kept by another version of steerd: {error}") from error
    return words.event(switched, row["wall_ms"], int(time.time() * 1000), row["trace"])


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
