"""What the fleet service serves by HTTP: a page, its figures as JSON, metrics, health. Nothing can be changed by it."""

import json
import zlib
from collections.abc import Callable
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs

from steerd.fleet.heard import Presence
from steerd.fleet.view import Search
from steerd.web.http import Answer, Request, plain
from steerd.web.pages import Rendered, checked
from steerd.web.text import CONTENT_TYPE

_POLICY: Final = (
    (
        "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy: no-referrer",
)
_FILES: Final = {
    b"/": ("index.html", "text/html; charset=utf-8"),
    b"/fleet.js": ("fleet.js", "text/javascript; charset=utf-8"),
    b"/fleet.css": ("fleet.css", "text/css; charset=utf-8"),
}
COMPRESSED_ABOVE: Final = 1 << 10
TEXT_MAX: Final = 100


class FleetPages:
    """``figures`` and ``rows`` are what the page shows, ``metrics`` Prometheus' text; ``ready`` says whether the broker
    is heard, and in words why (not)."""

    def __init__(
        self,
        figures: Callable[[], Any],
        rows: Callable[[Search], Any],
        metrics: Callable[[], bytes],
        ready: Callable[[], tuple[bool, str]],
    ) -> None:
        folder = files("steerd.fleet").joinpath("page")
        self._files = {path: (folder.joinpath(name).read_bytes(), kind) for path, (name, kind) in _FILES.items()}
        self._figures = Rendered(lambda: json.dumps(figures()).encode())
        self._rows = rows
        self._metrics = Rendered(metrics)
        self._ready = ready

    def answer(self, request: Request) -> Answer:
        """As `steerd.web.http.Server` asks for it."""
        if request.path in self._files:
            body, kind = self._files[request.path]
            return Answer(HTTPStatus.OK, kind, body, _POLICY)
        match request.path:
            case b"/fleet.json":
                return _json(self._figures(), request)
            case b"/gateways.json":
                search = _search(request.query)
                if search is None:
                    return plain(HTTPStatus.BAD_REQUEST, "not a search: text, region, pop, presence, start")
                return _json(json.dumps(self._rows(search)).encode(), request)
            case b"/metrics":
                return Answer(HTTPStatus.OK, CONTENT_TYPE, self._metrics())
            case b"/healthz":
                return checked(True, "ok")
            case b"/readyz":
                return checked(*self._ready())
        return plain(HTTPStatus.NOT_FOUND, "not found")


def _json(body: bytes, request: Request) -> Answer:
    kind = "application/json"
    if len(body) > COMPRESSED_ABOVE and b"gzip" in _field(request.head, b"accept-encoding"):
        packer = zlib.compressobj(1, wbits=31)
        return Answer(HTTPStatus.OK, kind, packer.compress(body) + packer.flush(), ("Content-Encoding: gzip",))
    return Answer(HTTPStatus.OK, kind, body)


def _field(head: bytes, name: bytes) -> bytes:
    """A field of the head, or nothing."""
    for line in head.split(b"\r\n"):
        field, _, value = line.partition(b":")
        if field.strip().lower() == name:
            return value
    return b""


def _search(query: bytes) -> Search | None:
    """What the query asks for; None: it cannot be understood."""
    try:
        given = parse_qs(query.decode(), max_num_fields=8)
    except ValueError:
        return None
    words = {key: values[-1][:TEXT_MAX] for key, values in given.items()}
    start = words.pop("start", "0")
    if not words.keys() <= {"text", "region", "pop", "presence"} or not start.isdecimal() or len(start) > 6:
        return None
    if words.get("presence", "") not in {"", *Presence}:
        return None
    return Search(**words, start=int(start))
