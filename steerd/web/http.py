"""An HTTP server: HTTP/1.1, GET and HEAD, one request a connection, on the program's own event loop. The size of a
request, its time, and the number of clients are bounded."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple

from steerd.config.change import StageError
from steerd.config.settings import ExportSettings
from steerd.faults import Boundary

_log = logging.getLogger(__name__)

CLIENTS_MAX: Final = 32
REQUEST_MAX: Final = 16 << 10
READ: Final = 5.0
"""How long a request may take to come in, in seconds."""
WRITE: Final = 10.0
"""How long an answer may take to be read, in seconds."""
AGAIN: Final = 5.0
"""How long after an address was not available it is tried again, in seconds."""

_PLAIN: Final = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """To one request. ``kind``: the content type; ``fields``: further lines of the head."""

    status: HTTPStatus
    kind: str
    body: bytes
    fields: tuple[str, ...] = ()


class Request(NamedTuple):
    """What is asked for: a path, with what stands behind its question mark; and the head's fields, as they came."""

    path: bytes
    query: bytes = b""
    head: bytes = b""


class Server:
    """Serves what ``answer`` says to a request. ``refused`` is told why each time that a client had to go; ``what`` it
    serves is named in words when it cannot listen."""

    def __init__(
        self,
        settings: ExportSettings,
        answer: Callable[[Request], Answer],
        refused: Callable[[str], None],
        what: str = "metrics",
    ) -> None:
        self._boundary = Boundary("http")
        self._settings = settings
        self._answer = answer
        self._refuse = refused
        self._what = what
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._asking: dict[asyncio.Task[None], None] = {}  # whose request is not whole yet, in the order they came
        self._refused = ""

    @property
    def port(self) -> int:
        """The port in use: the real one where the settings say 0."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else self._settings.port

    async def start(self) -> None:
        """Listen, if the address is available: it may be on a device that comes later, or taken by another program,
        which is no reason not to steer."""
        try:
            server = await self._listen(self._settings)
        except OSError as error:
            refused = f"{self._what} are not served: cannot listen: {error.strerror or error}"
            if refused != self._refused:
                _log.warning("%s; tried again each %.0f s", refused, AGAIN)
            self._refused = refused
            return
        if self._server is not None:  # a reload was faster
            server.close()
            return
        self._server = server
        if self._refused:
            _log.info("%s are served at %s:%d", self._what, self._settings.host, self.port)

    async def keep_trying(self) -> None:
        """As `start`, until it listens."""
        while self._server is None:
            await asyncio.sleep(AGAIN)
            await self.start()

    def remarks(self) -> tuple[str, ...]:
        """That it does not listen, and why."""
        return (self._refused,) if self._server is None and self._refused else ()

    async def prepare(self, settings: ExportSettings) -> "Move":
        """Listen where these settings say, as well. StageError: the address is not available."""
        if settings == self._settings:
            return Move(self, self._settings, settings, None)
        # 127.0.0.1 and 0.0.0.0 with the same port conflict, unless both sockets share it.
        if self._server is not None:
            _share_port(self._server, shared=True)
        try:
            return Move(self, self._settings, settings, await self._listen(settings, beside=True))
        except OSError as error:
            self.serve(self._settings)
            raise StageError(f"export.listen: {error}") from error

    def serve(self, settings: ExportSettings, server: asyncio.Server | None = None) -> None:
        """Serve by this ``server`` alone from now on (None: by the present one)."""
        self._settings = settings
        if server is not None and self._server is not None:
            self._server.close()
        self._server = server or self._server
        if self._server is not None:
            _share_port(self._server, shared=False)

    async def stop(self) -> None:
        """Stop listening, and drop all clients."""
        if self._server is None:
            return
        self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self._server = None

    async def _listen(self, settings: ExportSettings, *, beside: bool = False) -> asyncio.Server:
        # asyncio has a socket for `::` take IPv6 alone.
        hosts = ["::", "0.0.0.0"] if settings.host == "::" else settings.host  # noqa: S104 (as it was asked for)
        return await asyncio.start_server(
            self._connected, hosts, settings.port, limit=REQUEST_MAX, reuse_port=beside or None
        )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or not self._room():
            writer.transport.abort()
            return
        self._clients.add(task)
        self._asking[task] = None
        try:
            request = b""
            async with asyncio.timeout(READ):
                with contextlib.suppress(asyncio.LimitOverrunError):  # longer than allowed: not an HTTP request
                    request = await reader.readuntil(b"\r\n\r\n")
            self._asking.pop(task, None)
            writer.write(self._response(request))
            writer.close()
            async with asyncio.timeout(WRITE):
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()  # the client is gone, or too slow, or we stop
        except Exception as error:  # noqa: BLE001 (whatever a client does, the others are served)
            self._boundary.tell(error, "a client was dropped")
            writer.transport.abort()
        finally:
            self._clients.discard(task)
            self._asking.pop(task, None)

    def _room(self) -> bool:
        """Whether another client may come: whoever has been at his request for longest makes room for it."""
        if len(self._clients) < CLIENTS_MAX:
            return True
        self._refuse("too many clients")
        slowest = next(iter(self._asking), None)
        if slowest is None:
            return False
        del self._asking[slowest]
        self._clients.discard(slowest)
        return slowest.cancel()

    def _response(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        try:
            status, kind, body, fields = self._answered(method, rest)
        except Exception as error:  # noqa: BLE001 (a page that fails must not take the program along)
            self._boundary.tell(error, "a request failed")
            status, kind, body, fields = plain(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error: see the log")
        head = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            *(["Allow: GET, HEAD"] if status is HTTPStatus.METHOD_NOT_ALLOWED else []),
            *fields,
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Connection: close",
        ]
        return "\r\n".join([*head, "", ""]).encode() + (b"" if method == b"HEAD" else body)

    def _answered(self, method: bytes, rest: bytes) -> Answer:
        first, _, head = rest.partition(b"\r\n")
        target, _, version = first.partition(b" ")
        if version not in {b"HTTP/1.1", b"HTTP/1.0"} or not target.startswith((b"/", b"http://")):
            return plain(HTTPStatus.BAD_REQUEST, "not an HTTP/1.1 request")
        if method not in {b"GET", b"HEAD"}:
            return plain(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD")
        if target.startswith(b"http://"):
            target = b"/" + target.removeprefix(b"http://").partition(b"/")[2]
        path, _, query = target.partition(b"?")
        return self._answer(Request(path, query, head))


class Move:
    """A change of address: both are served until this is committed or aborted."""

    def __init__(
        self, endpoint: Server, old: ExportSettings, new: ExportSettings, server: asyncio.Server | None
    ) -> None:
        self._endpoint = endpoint
        self._old = old
        self._new = new
        self._server = server
        self._committed = False

    async def commit(self) -> None:
        self._committed = True
        self._endpoint.serve(self._new, self._server)

    async def abort(self) -> None:
        if self._committed:
            try:
                await (await self._endpoint.prepare(self._old)).commit()
            except StageError as error:
                _log.error("%s: still served at the new address", error)
            return
        if self._server is not None:
            self._server.close()
        self._endpoint.serve(self._old)


def _share_port(server: asyncio.Server, *, shared: bool) -> None:
    for listening in server.sockets:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)


def plain(status: HTTPStatus, text: str) -> Answer:
    """A line of text."""
    return Answer(status, _PLAIN, f"{text}\n".encode())
