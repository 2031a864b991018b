"""The control socket: requests and answers, and what it does with clients that misbehave."""

import asyncio
import json
import os
import socket
import stat

import pytest

from steerd.control import server
from steerd.control.server import ControlServer, RefusedError, TakenError
from tests.lab.waiting import until_async


async def handle(request):
    match request["verb"]:
        case "refuse":
            raise RefusedError("no", code=78, problems=["a", "b"])
        case "fail":
            raise ValueError("a bug")
        case "wait":
            await asyncio.sleep(60)
        case "trace":
            try:
                await asyncio.sleep(request.get("takes", 60))
            except asyncio.CancelledError:
                CANCELLED.append(request)
                raise
    return {"echo": request}


CANCELLED: list[dict] = []


def serving(path, scenario):
    async def run():
        control = ControlServer(path, handle)
        await control.start()
        try:
            return await scenario()
        finally:
            await control.stop()

    return asyncio.run(run())


async def exchange(path, *lines: bytes) -> list[dict]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"".join(lines))
    writer.write_eof()
    answers = [json.loads(line) for line in (await reader.read()).splitlines()]
    writer.close()
    await writer.wait_closed()
    return answers


def ask(path, *lines: bytes) -> list[dict]:
    return serving(path, lambda: exchange(path, *lines))


def test_answers_come_in_order(tmp_path):
    one, two = ask(tmp_path / "s", b'{"verb":"status"}\n', b'{"verb":"why","policy":"p"}\n')
    assert one == {"ok": True, "echo": {"verb": "status"}}
    assert two["echo"]["policy"] == "p"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"nonsense\n", "a request is one line of JSON"),
        (b"\xff\n", "a request is one line of JSON"),
        (b"[" * 20000 + b"\n", "a request is one line of JSON"),
        (b"[]\n", 'a request is a JSON object with a "verb"'),
        (b'{"verb":5}\n', 'a request is a JSON object with a "verb"'),
        (b'{"verb":"fail"}\n', "internal error: see the daemon's log"),
        (b'{"verb":"' + b"x" * server.REQUEST_MAX + b'"}\n', "a request has at most 65536 bytes"),
    ],
)
def test_what_is_wrong_is_answered(tmp_path, line, said):
    (answer,) = ask(tmp_path / "s", line)
    assert answer == {"ok": False, "code": 1, "error": said}


def test_a_refusal_carries_its_code(tmp_path):
    (answer,) = ask(tmp_path / "s", b'{"verb":"refuse"}\n')
    assert answer == {"ok": False, "code": 78, "error": "no", "problems": ["a", "b"]}


def test_clients_are_bounded_in_number_and_time(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "CLIENTS_MAX", 2)
    monkeypatch.setattr(server, "IDLE", 0.05)
    monkeypatch.setattr(server, "HANDLE", 0.05)
    path = tmp_path / "s"

    async def scenario():
        silent = [await asyncio.open_unix_connection(str(path)) for _ in range(2)]
        ends = [await reader.read() for reader, _ in silent]  # ended by the time limit
        slow = await exchange(path, b'{"verb":"wait"}\n')
        monkeypatch.setattr(server, "HANDLE", 60)
        busy = [asyncio.ensure_future(exchange(path, b'{"verb":"trace","takes":0.5}\n')) for _ in range(2)]
        await asyncio.sleep(0.1)
        refused = await exchange(path, b'{"verb":"status"}\n')
        await asyncio.gather(*busy)
        for _, writer in silent:
            writer.close()
            await writer.wait_closed()
        return refused, ends, slow

    refused, ends, slow = serving(path, scenario)
    assert refused == [{"ok": False, "code": 1, "error": "too many clients"}]
    assert ends == [b"", b""]
    assert slow[0]["error"].startswith("no answer within")


def test_those_who_neither_ask_nor_read_keep_no_operator_out(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "CLIENTS_MAX", 4)
    path = tmp_path / "s"

    async def scenario():
        silent = [await asyncio.open_unix_connection(str(path), limit=1024) for _ in range(4)]
        for _, writer in silent[:2]:  # who asks, and does not read
            writer.write((b'{"verb":"' + b"x" * 60_000 + b'"}\n') * 50)
        await asyncio.sleep(0.2)
        answers = [await exchange(path, b'{"verb":"status"}\n') for _ in range(6)]
        for _, writer in silent:
            writer.transport.abort()
        return answers

    assert all(answer[0]["ok"] is True for answer in serving(path, scenario))


def test_a_client_that_does_not_read_blocks_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "IDLE", 0.2)
    path = tmp_path / "s"

    async def scenario():
        _, writer = await asyncio.open_unix_connection(str(path), limit=1024)
        request = b'{"verb":"' + b"x" * 60_000 + b'"}\n'
        writer.write(request * 50)
        answers = await exchange(path, b'{"verb":"status"}\n')
        writer.transport.abort()
        return answers

    assert serving(path, scenario)[0]["ok"] is True


def test_the_socket_is_for_owner_and_group(tmp_path):
    path = tmp_path / "new" / "s"

    async def mode():
        return stat.S_IMODE(path.stat().st_mode)

    before = os.umask(0)
    try:
        assert serving(path, mode) == 0o660
    finally:
        os.umask(before)
    assert not path.exists()


def test_a_dead_socket_is_replaced_and_a_living_one_is_not(tmp_path):
    path = tmp_path / "s"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()

    async def second():
        with pytest.raises(TakenError, match="another steerd is listening"):
            await ControlServer(path, handle).start()
        return await exchange(path, b'{"verb":"status"}\n')

    assert serving(path, second)[0]["ok"] is True


@pytest.mark.parametrize("obstacle", ["file", "folder"])
def test_where_it_cannot_listen_that_is_said_once_and_it_does_when_it_can(tmp_path, monkeypatch, caplog, obstacle):
    monkeypatch.setattr(server, "AGAIN", 0.01)
    caplog.set_level("INFO")
    path = tmp_path / "run" / "s"
    blocked = path if obstacle == "file" else path.parent
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("precious")

    async def run():
        control = ControlServer(path, handle)
        await control.start()
        trying = asyncio.create_task(control.keep_listening())
        await asyncio.sleep(0.2)
        assert blocked.read_text() == "precious"
        blocked.unlink()
        await until_async(path.exists)
        answer = await exchange(path, b'{"verb":"status"}\n')
        trying.cancel()
        await control.stop()
        return answer

    assert asyncio.run(run())[0]["ok"] is True
    assert not path.exists()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert str(path) in said[0]


def test_a_socket_that_somebody_removes_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "AGAIN", 0.01)
    path = tmp_path / "run" / "s"

    async def run():
        control = ControlServer(path, handle)
        await control.start()
        trying = asyncio.create_task(control.keep_listening())
        answers = []
        for _ in range(3):
            path.unlink()
            path.parent.rmdir()
            await until_async(path.exists)
            answers += await exchange(path, b'{"verb":"status"}\n')
        trying.cancel()
        await control.stop()
        return answers

    assert [answer["ok"] for answer in asyncio.run(run())] == [True] * 3


def test_a_trace_ends_when_whoever_asked_for_it_has_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "LOOK", 0.02)
    CANCELLED.clear()

    async def leave():
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(b'{"verb":"trace"}\n')
        await asyncio.sleep(0.1)
        assert not CANCELLED
        writer.close()
        for _ in range(500):
            await asyncio.sleep(0.01)
            if CANCELLED:
                return

    serving(tmp_path / "s", leave)
    assert CANCELLED == [{"verb": "trace"}]


def test_a_trace_goes_on_for_who_only_has_nothing_more_to_ask(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "LOOK", 0.02)
    CANCELLED.clear()
    (answer,) = ask(tmp_path / "s", b'{"verb":"trace","takes":0.2}\n')
    assert answer["ok"]
    assert not CANCELLED


def test_a_stop_ends_a_trace(tmp_path):
    CANCELLED.clear()

    async def run():
        control = ControlServer(tmp_path / "s", handle)
        await control.start()
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(b'{"verb":"trace"}\n')
        await asyncio.sleep(0.1)
        await control.stop()
        assert CANCELLED == [{"verb": "trace"}]
        writer.close()
        await writer.wait_closed()

    asyncio.run(run())
