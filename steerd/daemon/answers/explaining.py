"""In words: what the gateway is doing, what it decided before, and why."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Final

from steerd.control import as_json, requests
from steerd.control.parts import observing
from steerd.control.parts.history import history
from steerd.control.server import Handler, RefusedError, Request, Response
from steerd.status.savings import Savings
from steerd.status.snapshot import Snapshot
from steerd.store.records import RecordError, from_json
from steerd.store.store import Store

HISTORY_MAX: Final = 1000
EVENT_ID: Final = re.compile(r"\d+-\d+", re.ASCII)


class Explaining:
    """``page``: what Prometheus scrapes. ``savings``: None where traffic is steered."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        store: Store,
        page: Callable[[Snapshot], bytes],
        savings: Savings | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._page = page
        self._store = store
        self._saved = savings

    def verbs(self) -> Mapping[str, Handler]:
        return {"status": self._status, "why": self._why, "history": self._history, "savings": self._savings}

    async def _status(self, request: Request) -> Response:
        seen = self._snapshot()
        match request.get("format", "text"):
            case "text":
                pass
            case "prometheus":
                return {"metrics": self._page(seen).decode()}
            case _:
                raise RefusedError("format: must be text or prometheus")
        answer = as_json.status(seen)
        return answer if seen.catalogue is None else {**answer, "catalogue": seen.catalogue.figures()}

    async def _history(self, request: Request) -> Response:
        since = requests.since(request)
        packets = await self._store.notes("packets", since, HISTORY_MAX)
        uplinks = await self._store.notes("uplinks", since, HISTORY_MAX)
        events = await self._store.notes("events", since, HISTORY_MAX)
        kept = await self._store.history(since, HISTORY_MAX)
        return requests.of_history(request, history(kept, packets, uplinks, events))

    async def _savings(self, _: Request) -> Response:
        if self._saved is None:
            raise RefusedError("steerd steers here; what that would save is told where it only looks: run --observe")
        return observing.savings(self._snapshot(), self._saved)

    async def _why(self, request: Request) -> Response:
        seen, name = self._snapshot(), request.get("policy")
        policies = seen.view.policies
        if isinstance(name, str) and EVENT_ID.fullmatch(name) and all(one.policy != name for one in policies):
            return await self._why_event(name)
        last = [policy.last.event_id for policy in policies if policy.last is not None]
        traces = {event_id: trace for event_id in last if (trace := await self._store.trace(event_id)) is not None}
        return as_json.why(seen, name, traces)

    async def _why_event(self, event_id: str) -> Response:
        row = await self._store.decision(event_id)
        if row is None:
            raise RefusedError(f'there is no policy and no event "{event_id}"; `steerctl history` lists what is kept')
        try:
            switched = from_json(row)
        except RecordError as error:
            raise RefusedError(f"event {event_id} was kept by another version of steerd: {error}") from error
        return as_json.event(switched, row["wall_ms"], int(time.time() * 1000), row["trace"])
