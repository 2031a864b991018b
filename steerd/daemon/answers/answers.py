"""Who answers what steerctl asks: the handlers of all verbs, together."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from steerd.control.server import Handler, RefusedError, Request, Response
from steerd.control.verbs import ASKED
from steerd.web.metrics import Metrics


class Answering(Protocol):
    """A part of the daemon that answers some of the verbs."""

    def verbs(self) -> Mapping[str, Handler]:
        """Who answers each of them."""
        ...


class Answers:
    """ValueError: the parts do not answer to just the verbs that the table has."""

    def __init__(self, parts: Iterable[Answering], metrics: Metrics) -> None:
        self._handlers = {verb: handler for part in parts for verb, handler in part.verbs().items()}
        self._metrics = metrics
        if odd := self._handlers.keys() ^ ASKED:
            raise ValueError(f"either without a handler or not in the table: {', '.join(sorted(odd))}")

    async def answer(self, request: Request) -> Response:
        """Serve one request. RefusedError: it cannot be done."""
        verb = request["verb"]
        handler = self._handlers.get(verb)
        if handler is None:
            self._metrics.refused("control", "unknown verb")
            raise RefusedError(f"there is no verb {verb!r}")
        try:
            return await handler(request)
        except RefusedError:
            self._metrics.refused("control", verb)
            raise
