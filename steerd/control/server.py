"""Newline-delimited JSON over a Unix socket: a request a line, an answer a line, in order.

What a client may cost is bounded: the size of a request, the time it takes to send one or to read an answer,
and how many clients there are: who comes then takes the place of the one that has been idle longest. What only its
client wants (`Verb.abandoned`) ends when that is gone. Answers are
`{"ok": true, ...}` or `{"ok": false, "code": N, "error": TEXT}`, `code` being what steerctl exits with.
"""

import asyncio
import contextlib
import json
import logging
import os
import select
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from steerd.config.file.problem import EX_CONFIG
from steerd.control.verbs import VERBS
from steerd.faults import Boundary
from steerd.net import peer
from steerd.net.sockets import closed_on_error

_log = logging.getLogger(__name__)

REQUEST_MAX: Final = 64 << 10
CLIENTS_MAX: Final = 32
IDLE: Final = 60.0
"""How long a client may say nothing, or leave an answer unread, in seconds."""
HANDLE: Final = 120.0
"""How long an answer may take, in seconds: a reload waits for the kernel."""
LOOK: Final = 0.5
"""How often it is looked whether such a client is still there, in seconds."""
MODE: Final = 0o660
AGAIN: Final = 5.0
"""How often it is looked whether the socket is still there, in seconds; then it is made again."""

Request = Mapping[str, Any]
Response = Mapping[str, Any]
Handler = Callable[[Request], Awaitable[Response]]
"""Answers the requests of one verb. RefusedError: it cannot be done."""


class RefusedError(Exception):
    """What was asked for cannot be done: the text says why, `code` is what steerctl exits with."""

    def __init__(self, text: str, *, code: int = 1, **more: Any) -> None:
        super().__init__(text)
        self.response: Response = {"ok": False, "code": code, "error": text, **more}


def refused(problems: Sequence[str]) -> RefusedError:
    """A configuration was, for these reasons."""
    return RefusedError("the configuration was refused", code=EX_CONFIG, problems=list(problems))


class TakenError(OSError):
    """Another steerd listens there."""


class _GoneError(ConnectionResetError):
    """The client left before its answer came."""


class ControlServer:
    """Serves `handle` at `path`. `handle` gets a JSON object with a `verb`, returns what goes into the answer, and
    may raise `RefusedError`."""

    def __init__(self, path: Path, handle: Handler) -> None:
        self._path = path
        self._handle = handle
        self._boundary = Boundary("control")
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._idle: dict[asyncio.Task[None], None] = {}  # of these, in the order in which they began to be
        self._inode = 0
        self._refused = ""

    async def start(self) -> None:
        """Takes the place of a socket that nobody listens on any more. Where it cannot, which is no reason not to
        steer, that is logged. TakenError: another daemon is there."""
        try:
            await self._listen()
        except TakenError:
            raise
        except OSError as error:
            refused = f"steerctl is not answered: cannot listen at {self._path}: {error.strerror or error}"
            if refused != self._refused:
                _log.error("%s; tried again each %.0f s", refused, AGAIN)
            self._refused = refused
            return
        if self._refused:
            _log.info("steerctl is answered at %s", self._path)
        self._refused = ""

    async def keep_listening(self) -> None:
        """As `start`, whenever the socket is not there, or no longer, for ever."""
        while True:
            await asyncio.sleep(AGAIN)
            if self._server is not None and not self._is_there():
                self._refused = f"{self._path} was removed: steerctl is not answered"
                _log.warning("%s until it is there again", self._refused)
                self._server.close()
                self._server = None
            if self._server is None:
                with contextlib.suppress(TakenError):
                    await self.start()

    def _is_there(self) -> bool:
        with contextlib.suppress(OSError):
            return self._path.stat().st_ino == self._inode
        return False

    async def _listen(self) -> None:
        with contextlib.suppress(OSError):  # binding says it better
            self._path.parent.mkdir(parents=True, exist_ok=True)
        _clear(self._path)
        listening = socket.socket(socket.AF_UNIX)
        with closed_on_error(listening):
            os.fchmod(listening.fileno(), MODE)  # so that it is never open to others, whatever the umask
            listening.bind(str(self._path))
            self._path.chmod(MODE)
            self._server = await asyncio.start_unix_server(self._connected, sock=listening, limit=REQUEST_MAX)
        self._inode = self._path.stat().st_ino

    async def stop(self) -> None:
        """Ends every connection; removes the socket if it is still ours."""
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        if self._server is not None and self._is_there():
            with contextlib.suppress(OSError):
                self._path.unlink()
        self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or not self._room():
            with contextlib.suppress(OSError, ValueError, TimeoutError):
                async with asyncio.timeout(min(IDLE, 1.0)):
                    await reader.readline()  # closed over an unread request, the answer would be lost
            writer.write(_line({"ok": False, "code": 1, "error": "too many clients"}))
            writer.close()
            return
        self._clients.add(task)
        peer.PEER.set(peer.of(writer.get_extra_info("socket")))  # of this task alone
        try:
            await self._serve(reader, writer, task)
            writer.close()
            async with asyncio.timeout(IDLE):
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.CancelledError):  # the client is gone, or too slow, or we stop
            writer.transport.abort()
        except Exception as error:  # noqa: BLE001 (whatever a client does, the others are served)
            self._boundary.tell(error, "a client was dropped")
            writer.transport.abort()
        finally:
            self._clients.discard(task)

    def _room(self) -> bool:
        """Whether there is room for one more. Who neither asks nor reads makes it."""
        if len(self._clients) < CLIENTS_MAX:
            return True
        idle = next(iter(self._idle), None)
        if idle is None:
            return False
        del self._idle[idle]
        self._clients.discard(idle)
        return idle.cancel()

    @contextlib.contextmanager
    def _waited_for(self, client: asyncio.Task[None]) -> Iterator[None]:
        """Meanwhile it is the client's turn."""
        self._idle[client] = None
        try:
            yield
        finally:
            self._idle.pop(client, None)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: asyncio.Task[None]
    ) -> None:
        while True:
            try:
                with self._waited_for(client):
                    async with asyncio.timeout(IDLE):
                        line = await reader.readline()
            except ValueError:  # longer than the limit
                writer.write(_line({"ok": False, "code": 1, "error": f"a request has at most {REQUEST_MAX} bytes"}))
                return
            if not line.endswith(b"\n"):
                return
            writer.write(_line(await self._answer(line, writer)))
            with self._waited_for(client):
                async with asyncio.timeout(IDLE):
                    await writer.drain()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> Response:
        try:
            request = _parsed(line)
            async with asyncio.timeout(HANDLE):
                if (verb := VERBS.get(request["verb"])) and verb.abandoned:
                    return {"ok": True, **await _while_there(self._handle(request), writer)}
                return {"ok": True, **await self._handle(request)}
        except RefusedError as refused:
            return refused.response
        except TimeoutError:
            return {"ok": False, "code": 1, "error": f"no answer within {HANDLE:.0f} s"}
        except _GoneError:
            raise
        except Exception as error:  # noqa: BLE001 (whatever a request meets, the next one is served)
            self._boundary.tell(error, "a request failed")
            return {"ok": False, "code": 1, "error": "internal error: see the daemon's log"}


async def _while_there(answer: Awaitable[Response], writer: asyncio.StreamWriter) -> Response:
    """The answer; _GoneError: the client has gone before it came. One that only has nothing more to ask,
    and has closed its end of the connection for that, is still there."""
    poll = select.poll()
    poll.register(writer.get_extra_info("socket").fileno(), 0)  # 0: a hang-up alone
    work = asyncio.ensure_future(answer)
    try:
        while not (await asyncio.wait([work], timeout=LOOK))[0]:
            if poll.poll(0):
                raise _GoneError
        return work.result()
    finally:
        if not work.done():
            work.cancel()
            await asyncio.wait([work])


def _parsed(line: bytes) -> Request:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RefusedError("a request is one line of JSON") from error
    if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
        raise RefusedError('a request is a JSON object with a "verb"')
    return request


def _line(response: Response) -> bytes:
    return json.dumps(response, separators=(",", ":")).encode() + b"\n"


def _clear(path: Path) -> None:
    """Removes a socket that nobody listens on. OSError: something else is in its place."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(f"{path} exists, and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            pass  # somebody listens, but has no time
        except ConnectionRefusedError:
            path.unlink()
            return
        raise TakenError(f"{path}: another steerd is listening there")
