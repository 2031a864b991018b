"""What a gateway serves by HTTP: its metrics, its health, and an index of them."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from steerd.status.snapshot import Snapshot
from steerd.web.http import Answer, Request, plain
from steerd.web.metrics import Metrics
from steerd.web.text import CONTENT_TYPE

KEPT: Final = 9.0
KEPT_MAX: Final = 1.0
"""A page of metrics is served again for this many times as long as it took to render, and at most so many seconds."""

_INDEX: Final = b"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>steerd</title></head><body>
<h1>steerd</h1>
<ul>
<li><a href="/metrics">/metrics</a>: for Prometheus</li>
<li><a href="/healthz">/healthz</a>: whether the daemon's event loop runs</li>
<li><a href="/readyz">/readyz</a>: whether it steers</li>
</ul>
</body></html>
"""


class Rendered:
    """A page that takes long to ``render``. However many ask, that takes a tenth of the time at most."""

    def __init__(self, render: Callable[[], bytes]) -> None:
        self._render = render
        self._page = b""
        self._renewed_at = 0.0

    def __call__(self) -> bytes:
        """The page, at most `KEPT_MAX` seconds old."""
        began = time.monotonic()
        if began >= self._renewed_at:
            self._page = self._render()
            ended = time.monotonic()
            self._renewed_at = ended + min(KEPT_MAX, (ended - began) * KEPT)
        return self._page


class Pages:
    """`/metrics`, `/healthz`, `/readyz` and an index. `ready` says whether it steers, and in words why (not)."""

    def __init__(
        self,
        metrics: Metrics,
        snapshot: Callable[[], Snapshot],
        healthy: Callable[[], bool],
        ready: Callable[[], tuple[bool, str]],
    ) -> None:
        self._metrics = Rendered(lambda: metrics.render(snapshot()))
        self._healthy = healthy
        self._ready = ready

    def answer(self, request: Request) -> Answer:
        """As `Server` asks for it."""
        match request.path:
            case b"/metrics":
                return Answer(HTTPStatus.OK, CONTENT_TYPE, self._metrics())
            case b"/healthz":
                return checked(*((True, "ok") if self._healthy() else (False, "stalled")))
            case b"/readyz":
                return checked(*self._ready())
            case b"/":
                return Answer(HTTPStatus.OK, "text/html; charset=utf-8", _INDEX)
            case _:
                return plain(HTTPStatus.NOT_FOUND, "not found")


def checked(good: bool, text: str) -> Answer:
    """What a health check gets to know."""
    return plain(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, text)
