"""Traces of paths: for whoever asks, and after a path had to be left."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from steerd.config.settings import Config
from steerd.control import as_json, requests
from steerd.control.server import HANDLE, Handler, RefusedError, Request, Response
from steerd.core.effects import Switched
from steerd.core.settings import PathId
from steerd.daemon.driver import Driver
from steerd.probe.prober import Prober
from steerd.store.store import Store
from steerd.trace.request import Request as TraceRequest
from steerd.trace.request import request as trace_request
from steerd.trace.tracer import BusyError, Record, Tracer

WITHIN: Final = HANDLE - 5.0
"""Seconds for all paths of a PoP: less than the control socket gives an answer."""


class Tracing:
    def __init__(self, driver: Driver, prober: Prober, store: Store, config: Callable[[], Config]) -> None:
        self._prober = prober
        self._store = store
        self._config = config
        self._tracer = Tracer(self._traceable, self._traced)
        self.close = self._tracer.close
        driver.facts.listen(Switched, self._switched)

    def verbs(self) -> Mapping[str, Handler]:
        return {"trace": self._trace}

    async def _trace(self, request: Request) -> Response:
        known: dict[str, list[PathId]] = {}
        for path in self._config().core.paths:
            known.setdefault(path.pop, []).append(path.path)
        pop, paths = requests.traced(request, known)
        wanted = [one for path in paths if (one := self._traceable(PathId(path))) is not None]
        try:
            return as_json.trace(pop, await self._tracer.trace(wanted, WITHIN))
        except BusyError as error:
            raise RefusedError(str(error)) from error

    def _traceable(self, path: PathId) -> TraceRequest | None:
        """How a trace of this path would go now; None: it is not probed."""
        settings = next((one for one in self._config().probe.paths if one.path == path), None)
        probing = self._prober.report(path)
        return None if settings is None or probing is None else trace_request(settings, probing.targets)

    def _switched(self, fact: Switched) -> None:
        if self._config().trace_after_switch:
            self._tracer.switched(fact, time.monotonic())

    def _traced(self, event_id: str, record: Record) -> None:
        self._store.traced(event_id, int(time.time() * 1000), record)
