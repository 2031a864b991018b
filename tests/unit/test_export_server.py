"""The HTTP endpoint: pages, and what it does with clients that misbehave."""

import asyncio
import http.client
import socket
import time
from contextlib import ExitStack, suppress
from functools import partial

import pytest

from steerd.config.settings import ExportSettings
from steerd.core.views import View
from steerd.status.snapshot import Snapshot
from steerd.web import http as server
from steerd.web.http import Server
from steerd.web.metrics import Metrics
from steerd.web.pages import Pages

EMPTY = View(now=0.0, epoch=1, paths=(), policies=(), drains=(), declined={})


class State:
    healthy = True
    ready = (True, "steering")
    fails = False


def serving(scenario, state: State | None = None):
    state = state or State()

    def snapshot():
        if state.fails:
            raise RuntimeError("a bug")
        return Snapshot(EMPTY)

    async def run():
        metrics = Metrics()
        pages = Pages(metrics, snapshot, lambda: state.healthy, lambda: state.ready)
        endpoint = Server(ExportSettings("127.0.0.1", 0), pages.answer, partial(metrics.refused, "http"))
        await endpoint.start()
        try:
            return await scenario(endpoint.port)
        finally:
            await endpoint.stop()

    return asyncio.run(run())


async def send(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    return int(status.split()[1]), headers, body


def get(target: str, state: State | None = None, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    request = f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    return serving(lambda port: send(port, request), state)


def test_metrics():
    status, headers, body = get("/metrics?x=1")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert int(headers["content-length"]) == len(body)
    assert b"\nsteerd_loop_lag_seconds_count 0.0\n" in body


def test_a_real_client_reads_it():
    async def scenario(port):
        def ask():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            return answer.status, answer.read()

        return await asyncio.to_thread(ask)

    status, body = serving(scenario)
    assert status == 200
    assert body.startswith(b"# HELP steerd_")


def test_health_and_readiness():
    state = State()
    assert get("/healthz", state)[::2] == (200, b"ok\n")
    assert get("/readyz", state)[::2] == (200, b"steering\n")
    state.healthy, state.ready = False, (False, "no choice was made yet")
    assert get("/healthz", state)[::2] == (503, b"stalled\n")
    assert get("/readyz", state)[::2] == (503, b"no choice was made yet\n")


def test_head_has_no_body():
    status, headers, body = get("/", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 100


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (b"GET http://gw1:9911/healthz HTTP/1.1\r\n\r\n", 200),
        (b"GET /nothing HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"\xff\x00\r\n\r\n", 400),
        (b"GET metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * server.REQUEST_MAX + b"\r\n\r\n", 400),
    ],
)
def test_requests_of_all_kinds(request_, status):
    found, headers, _ = serving(lambda port: send(port, request_))
    assert found == status
    assert headers.get("allow") == ("GET, HEAD" if status == 405 else None)


def test_a_page_that_fails_is_an_error_page():
    state = State()
    state.fails = True
    assert get("/metrics", state)[0] == 500


def test_clients_are_bounded_in_number_and_time(monkeypatch):
    monkeypatch.setattr(server, "CLIENTS_MAX", 2)
    monkeypatch.setattr(server, "READ", 0.1)

    async def scenario(port):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        assert (await send(port, b"GET / HTTP/1.1\r\n\r\n"))[0] == 200, "who has been silent for longest makes room"
        for reader, writer in silent:
            with suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
        return await send(port, b"GET / HTTP/1.1\r\n\r\n")

    assert serving(scenario)[0] == 200


def test_a_client_that_reads_nothing_blocks_nobody(monkeypatch):
    monkeypatch.setattr(server, "WRITE", 0.1)

    async def scenario(port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        status, _, _ = await send(port, b"GET /metrics HTTP/1.1\r\n\r\n")
        writer.transport.abort()
        return status

    assert serving(scenario) == 200


def test_all_addresses_of_ipv6_are_those_of_ipv4_too():
    async def run():
        with socket.socket() as free:
            free.bind(("0.0.0.0", 0))
            port = free.getsockname()[1]
        pages = Pages(Metrics(), Snapshot, lambda: True, lambda: (True, ""))
        endpoint = Server(ExportSettings("::", port), pages.answer, lambda _: None)
        await endpoint.start()
        try:
            for host in ("127.0.0.1", "::1"):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
        finally:
            await endpoint.stop()

    asyncio.run(run())


def test_those_who_never_finish_their_request_keep_no_scrape_out():
    """64 connections that send a header line now and then, for ever."""

    async def scenario(port):
        found = []
        with ExitStack() as opened:
            slow = [opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(64)]
            for _ in range(10):
                for one in slow:
                    with suppress(ConnectionError):
                        one.send(b"GET / HTTP/1.1\r\n")
                await asyncio.sleep(0.02)
                found.append(await send(port, b"GET /metrics HTTP/1.1\r\n\r\n"))
        return found

    found = serving(scenario)
    assert [status for status, _, _ in found] == [200] * 10
    assert b'steerd_refused_total{reason="too many clients",source="http"}' in found[-1][2]


def test_however_many_scrape_rendering_takes_a_tenth_of_the_time():
    asked = []

    class Slow(State):
        @property
        def fails(self):
            time.sleep(0.02)
            asked.append(time.monotonic())
            return False

    async def scenario(port):
        return [(await send(port, b"GET /metrics HTTP/1.1\r\n\r\n"))[0] for _ in range(60)]

    began = time.monotonic()
    assert serving(scenario, Slow()) == [200] * 60
    assert len(asked) <= 1 + (time.monotonic() - began) / 0.2
