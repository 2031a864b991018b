"""The connection to the broker, with our own framing between it and paho, which has one end of a pair of sockets.

So a turn of the event loop sees a few packets only.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Final

from steerd.share.mqtt.flow import STEERING, Flow
from steerd.share.mqtt.framing import BrokenError, Framing

READ: Final = 16 << 10
"""Bytes that are read from the broker at once."""
PASSED_OVER: Final = "too many properties"
_FAREWELL: Final = 1.0


class Link:
    """Carries packets between ``inner``, which is paho's, and the broker, until either side closes. `refuse` as that of
    a `Session`. ``broken``: what the broker did that it must not; ``ended``: nothing is carried any more."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        refuse: Callable[[str, str, str], None],
        flow: Flow,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._refuse = refuse
        self._flow = flow
        self._ours, self.inner = socket.socketpair()
        for end in (self._ours, self.inner):
            end.setblocking(False)
        self.broken: BrokenError | None = None
        self.ended = asyncio.create_task(self._carry(), name="steerd-mqtt-link")
        self.ended.add_done_callback(lambda _: self._ours.close())  # whatever it was cancelled in the midst of

    async def close(self) -> None:
        """Nothing stays open. What paho wrote before it closed its end is sent, if the broker takes it at once."""
        self.inner.close()
        try:
            await asyncio.wait({self.ended}, timeout=2 * _FAREWELL)
        finally:
            self.ended.cancel()
        await asyncio.gather(self.ended, return_exceptions=True)

    async def _carry(self) -> None:
        down, up = asyncio.create_task(self._down()), asyncio.create_task(self._up())
        try:
            await asyncio.wait({down, up}, return_when=asyncio.FIRST_COMPLETED)
            if not up.done():
                with contextlib.suppress(OSError):
                    self._ours.shutdown(socket.SHUT_WR)  # paho reads what is left, and then the end
                await asyncio.wait({up}, timeout=_FAREWELL)
            if self.broken is None:
                self._writer.close()
                with contextlib.suppress(OSError):
                    async with asyncio.timeout(_FAREWELL):
                        await self._writer.wait_closed()
        finally:
            self._writer.transport.abort()
            for task in (down, up):
                task.cancel()
            await asyncio.gather(down, up, return_exceptions=True)

    async def _down(self) -> None:
        loop, framing = asyncio.get_running_loop(), Framing()
        try:
            while data := await self._reader.read(READ):
                for number, packet in enumerate(framing.packets(data), 1):
                    if packet.passed_over:
                        self._refuse("broker", PASSED_OVER, "")
                        self._writer.write(packet.answer)
                    else:
                        await loop.sock_sendall(self._ours, packet.data)
                    if number % self._flow.packets == 0:
                        await asyncio.sleep(self._flow.turn)
                await self._writer.drain()  # who does not take our answers is not read either
                await asyncio.sleep(self._flow.turn)
        except BrokenError as broken:
            self.broken = broken
            self._refuse("broker", broken.reason, "")

    async def _up(self) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self._ours, READ):
            self._writer.write(data)
            await self._writer.drain()


@contextlib.asynccontextmanager
async def linked(
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    refuse: Callable[[str, str, str], None],
    flow: Flow = STEERING,
    *,
    within: float,
) -> AsyncIterator[Link]:
    """Connect ``within`` seconds, and close in the end. OSError: nobody answers, or the certificates are wrong."""
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=READ)
    link = Link(reader, writer, refuse, flow)
    try:
        yield link
    finally:
        await link.close()
