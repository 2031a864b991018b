"""steerctl against a daemon's socket: what it prints and what it exits with."""

import asyncio
import json
import resource
import socket
import subprocess
import sys
import threading

import pytest

from steerd.cli.steerctl import main
from steerd.control.server import ControlServer, RefusedError
from steerd.control.verbs import VERBS

STATUS = {
    "gateway": "gw1", "version": "1", "epoch": 7, "policies": [], "drains": [], "declined": {},
    "paths": [
        {"path": "fra1/wg0", "state": "up", "reason": "", "rtt_ms": 30.0, "jitter_ms": 1.0, "loss": 0.0,
         "cost_ms": {"p": 31.0}, "age_s": 1.0, "hold_s": 0.0, "used_by": ["p"]},
    ],
}  # fmt: skip


@pytest.fixture
def daemon(tmp_path):
    """A daemon that remembers what it was asked; the socket's path and the requests."""
    path, asked = tmp_path / "s", []
    answers = {
        "status": STATUS,
        "why": {"policies": [{"text": ["one", "two"], "details": ["three"]}]},
        "history": {"switches": []},
        "trace": {"pop": "fra1", "traces": []},
        "drain": {"text": "fra1 is drained for 1h00m"},
        "plan": {"lines": ["ip rule add priority 4202"], "total": 1, "notes": ["a switch follows"]},
    }

    async def handle(request):
        asked.append(request)
        if request["verb"] == "reload" and "confirm" not in request:
            raise RefusedError("the configuration was refused", code=78, problems=["a: b", "c: d"])
        if request.get("pop") == "nowhere":
            raise RefusedError('there is no PoP "nowhere"')
        return answers.get(request["verb"], {})

    loop, started = asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()

    async def serve():
        control = ControlServer(path, handle)
        await control.start()
        started.set()
        await stop.wait()
        await control.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(5)
    yield str(path), asked
    loop.call_soon_threadsafe(stop.set)
    thread.join(5)
    loop.close()


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        (["status"], {"verb": "status"}),
        (["why"], {"verb": "why"}),
        (["why", "p"], {"verb": "why", "policy": "p"}),
        (["why", "-v", "17-3"], {"verb": "why", "policy": "17-3"}),
        (["status", "--all"], {"verb": "status"}),
        (["watch", "-v", "--count", "1"], {"verb": "status"}),
        (["history", "--since", "1h"], {"verb": "history", "since": 3600.0}),
        (["watch", "--count", "1"], {"verb": "status"}),
        (["pin", "p", "fra1"], {"verb": "pin", "policy": "p", "pop": "fra1"}),
        (
            ["pin", "p", "fra1", "--for", "1h", "--hard"],
            {"verb": "pin", "policy": "p", "pop": "fra1", "hard": True, "for": 3600.0},
        ),
        (["unpin", "p"], {"verb": "unpin", "policy": "p"}),
        (["drain", "fra1", "--for", "30m"], {"verb": "drain", "pop": "fra1", "for": 1800.0}),
        (["undrain", "fra1"], {"verb": "undrain", "pop": "fra1"}),
        (["move", "p", "--now"], {"verb": "move", "policy": "p", "now": True}),
        (["trace", "fra1"], {"verb": "trace", "pop": "fra1"}),
        (["reload", "--confirm", "90s"], {"verb": "reload", "confirm": 90.0}),
        (["reload", "--confirm", "1.5"], {"verb": "reload", "confirm": 1.5}),
        (["reload", "--confirm", "1d"], {"verb": "reload", "confirm": 86400.0}),
        (["confirm"], {"verb": "confirm"}),
        (["plan"], {"verb": "plan"}),
        (["trace", "fra1", "--path", "wg0"], {"verb": "trace", "pop": "fra1", "path": "wg0"}),
    ],
)
def test_each_verb_asks_what_it_should(daemon, arguments, request_, capsys):
    path, asked = daemon
    assert main(["--socket", path, *arguments]) == 0
    assert asked == [request_]
    capsys.readouterr()
    assert main(["--socket", path, *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_what_is_printed(daemon, capsys):
    path, _ = daemon
    main(["--socket", path, "status"])
    assert "fra1/wg0    up   30.0 ms  1.0 ms  0.0 %  31.0 ms   1.0s  p" in capsys.readouterr().out
    main(["--socket", path, "why"])
    assert capsys.readouterr().out == "one\ntwo\n"
    for option in ("-v", "--verbose"):
        main(["--socket", path, "why", option])
        assert capsys.readouterr().out == "one\ntwo\n\nthree\n"
    main(["--socket", path, "drain", "fra1"])
    assert capsys.readouterr().out == "fra1 is drained for 1h00m\n"
    main(["--socket", path, "plan"])
    assert capsys.readouterr().out == "ip rule add priority 4202\n# a switch follows\n"
    main(["--socket", path, "undrain", "fra1"])
    assert capsys.readouterr().out == "done\n"


def test_a_refused_reload_prints_the_problems(daemon, capsys):
    path, _ = daemon
    assert main(["--socket", path, "reload"]) == 78
    assert capsys.readouterr().err == "a: b\nc: d\nsteerctl: the configuration was refused\n"
    assert main(["--socket", path, "reload", "--json"]) == 78
    assert json.loads(capsys.readouterr().out)["problems"] == ["a: b", "c: d"]


def test_a_refused_order_fails(daemon, capsys):
    path, _ = daemon
    assert main(["--socket", path, "drain", "nowhere"]) == 1
    assert capsys.readouterr().err == 'steerctl: there is no PoP "nowhere"\n'


def test_no_daemon(tmp_path, capsys):
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead"))
    for path in (tmp_path / "absent", tmp_path / "dead"):
        assert main(["--socket", str(path), "status"]) == 3
        assert capsys.readouterr().err == f"steerctl: no daemon at {path}: is steerd running?\n"
        for verb in (["status"], ["watch", "--count", "1"]):
            assert main(["--socket", str(path), *verb, "--json"]) == 3
            assert json.loads(capsys.readouterr().out) == {
                "ok": False,
                "code": 3,
                "error": f"no daemon at {path}: is steerd running?",
            }
    dead.close()


def test_a_daemon_that_says_nothing(tmp_path, capsys):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        def hang_up():
            connection, _ = listening.accept()
            connection.recv(1000)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert main(["--socket", str(tmp_path / "s"), "status"]) == 1
        thread.join(5)
    assert "without an answer" in capsys.readouterr().err


def test_a_daemon_that_has_no_time(tmp_path, capsys, monkeypatch):
    """It finds the order when it has."""
    monkeypatch.setitem(VERBS, "drain", VERBS["drain"]._replace(timeout=0.05))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        assert main(["--socket", str(tmp_path / "s"), "drain", "fra1"]) == 1
    assert "no answer in time; what was asked for may still be done" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["pin", "p"],
        ["drain"],
        ["drain", "a", "--for", "soon"],
        ["history", "--since", "0"],
        ["confirm", "60s"],
        ["move", "p"],
        ["move", "--now"],
        ["reload", "--confirm"],
        *(
            ["reload", "--confirm", time]
            for time in ("0", "0s", "999ms", "-5s", "24h1m", "25h", "1000000d", "soon", "")
        ),
    ],
)
def test_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_help_takes_little_more_than_a_python_that_does_nothing():
    def took(*arguments):
        """Of a core: what other tests take of it is not its own."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    pairs = [(took("-m", "steerd.cli.steerctl", "--help"), took("-c", "pass")) for _ in range(5)]
    assert min(helps for helps, _ in pairs) < 8.0 * min(nothing for _, nothing in pairs), pairs
