"""The real daemon's reloads on trial, and its plans: what they promise is what the kernel then has."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.test_daemon import FILE, LOG, MISTAKES, SOCKET, ask, metric, start, state_of_kernel, status
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]

FRA, AMS = "fra1/tun-fra1", "ams1/tun-ams1"
GOOD = "steerd_config_last_reload_successful"


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def text(world: World, *arguments: str) -> tuple[int, str, str]:
    """As `ask`, but as people see it."""
    command = [sys.executable, "-m", "steerd.cli.steerctl", "--socket", SOCKET, *arguments]
    process = world.spawn("gw", command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def choice(world: World) -> Any:
    return status(world)["policies"][0]["choice"]


def settled(world: World) -> None:
    """Ten samples of each path: the first ones come late, while devices learn their neighbours."""
    until(lambda: all(one["state"] == "up" and one["samples"] >= 10 for one in status(world)["paths"]))
    # Who was the first choice for a moment stays the runner-up: which of the two others that is, is chance.
    until(lambda: choice(world) == FRA and status(world)["policies"][0]["runner_up"] is not None)


def moved(config: str) -> str:
    """A file that takes traffic from fra1 to ams1, and IPv6 off the policy."""
    return config.replace('name = "users"', 'name = "users"\npops = ["ams1"]').replace(', "2001:2::/48"]', "]")


def flowing(config: str, flows: str) -> str:
    """What becomes of open connections, whatever the lab says of it."""
    lines = [line for line in config.splitlines(keepends=True) if not line.startswith("flows")]
    return "".join(lines).replace("[[policy]]", f'[[policy]]\nflows = "{flows}"')


def on_trial() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        # Connections move with their policy: what is looked at is where they go.
        config = flowing(world.gateway_config(), "move")
        daemon = start(world, config)
        settled(world)
        found["nothing"] = ask(world, "confirm")
        FILE.write_text(MISTAKES.read_text())
        found["bad"] = [ask(world, "reload", "--confirm", "60s")[0], status(world)["reload"], metric(GOOD)]
        FILE.write_text(config)
        assert ask(world, "reload")[0] == 0
        settled(world)
        before, began = state_of_kernel(), time.monotonic()

        FILE.write_text(moved(config))
        found["reload"] = ask(world, "reload", "--confirm", "6s")
        found["pending"] = [status(world)["reload"], metric(GOOD)]
        found["shown"] = text(world, "status")[1]
        until(lambda: choice(world) == AMS)
        found["moved"] = state_of_kernel() != before
        found["second"] = [ask(world, "reload")[0], text(world, "reload", "--confirm", "1h")]
        daemon.send_signal(signal.SIGHUP)
        until(lambda: LOG.read_text().count("not reloaded: the last reload waits to be confirmed") == 1)
        until(lambda: status(world)["reload"]["state"] == "taken-back")
        found["good after"] = metric(GOOD)
        found["shown after"] = text(world, "status")[1]
        found["late"] = text(world, "confirm")
        # 10 ms better: what was forbidden has a whole price to make up, and a whole one to gain.
        until(lambda: choice(world) == FRA and state_of_kernel() == before)
        ended = time.monotonic()
        time.sleep(1.1)
        window = world.traffic.between(began, ended)
        found["by_pop"] = sorted(window.by_pop)

        found["again"] = ask(world, "reload", "--confirm", "3s")[0]
        until(lambda: choice(world) == AMS)
        found["confirm"] = text(world, "confirm")
        time.sleep(4.0)  # longer than it would have been on trial
        found["confirmed"] = [choice(world), status(world)["reload"], metric(GOOD)]

        FILE.write_text(config)
        assert ask(world, "reload", "--confirm", "1h")[0] == 0
        daemon.terminate()
        found["stopped"] = daemon.wait(60)
    found["log"] = LOG.read_text()
    return found


def test_a_reload_that_is_not_confirmed_goes_back_and_one_that_is_stays() -> None:
    found = scene("on_trial")
    assert found["nothing"] == [1, {"ok": False, "code": 1, "error": "nothing waits for confirmation"}]
    assert found["bad"] == [78, None, 0]
    code, answer = found["reload"]
    assert (code, answer["ok"], answer["confirm_within_s"]) == (0, True, 6)
    (pending, good) = found["pending"]
    assert (pending["state"], good) == ("unconfirmed", 1)
    assert 0.0 < pending["left_s"] <= 6.0
    assert "! the last reload waits for `steerctl confirm`: " in found["shown"]
    assert found["moved"]
    plain, (code, output, errors) = found["second"]
    assert (plain, code, output) == (1, 1, "")
    assert errors.startswith("steerctl: the last reload waits to be confirmed, for ")
    assert found["good after"] == 0
    assert "! the last reload was not confirmed, and was taken back " in found["shown after"]
    code, _, errors = found["late"]
    assert code == 1
    assert "nothing waits for confirmation: the last reload was not confirmed in time" in errors
    assert found["by_pop"] == ["ams1", "fra1"]
    assert found["again"] == 0
    assert found["confirm"] == [0, "confirmed: the configuration stays in force\n", ""]
    assert found["confirmed"] == [AMS, None, 1]
    assert found["stopped"] == 0
    assert "on trial: the configuration before it comes back in 6s" in found["log"]
    assert "<4>" not in found["log"]
    assert "the reload was not confirmed within 6s: what was in force before it is again" in found["log"]
    assert "stopped before the last reload was confirmed: the next start takes up" in found["log"]
    assert "Traceback" not in found["log"]


def planned() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        config = flowing(world.gateway_config(), "pin")  # for which nftables is needed
        start(world, config)
        settled(world)
        before = state_of_kernel()
        found["same"] = text(world, "plan")
        FILE.write_text(moved(config))
        found["moved"] = ask(world, "plan")
        found["shown"] = text(world, "plan", "-v")
        found["short"] = text(world, "plan")
        FILE.write_text(MISTAKES.read_text())
        found["bad"] = [ask(world, "plan"), text(world, "plan")]
        found["reload says"] = text(world, "reload")
        FILE.write_text(config.replace("[route]", "[route]\ntable = 5000\nrule_priority = 5000"))
        found["ranges"] = ask(world, "plan")
        found["changed"] = state_of_kernel() != before
        FILE.write_text(moved(config))
        assert ask(world, "reload")[0] == 0
        until(lambda: choice(world) == AMS)
        found["after"] = ask(world, "plan")
    return found


@pytest.mark.nft
def test_a_plan_is_what_a_reload_then_does() -> None:
    found = scene("planned")
    now = f"# policy users: 198.18.0.0/15 and 2001:2::/48 of all that is forwarded: by {FRA}, as now"
    assert found["same"] == [0, f"{now}\n# the kernel already has all of it\n", ""]
    code, answer = found["moved"]
    assert code == 0
    assert answer["total"] == len(answer["lines"])
    assert any(line.startswith("ip -6 route del unreachable 2001:2::/48 table ") for line in answer["lines"])
    routing = [line for line in answer["lines"] if line.startswith("ip ")]
    assert all(line.startswith(("ip -6 rule del ", "ip -6 route del ", "ip nexthop del ")) for line in routing)
    table = answer["lines"][: -len(routing)]
    assert (table[0], table[-1]) == ("nft --file - <<'END'", "END")
    assert not any("2001:2::" in line for line in table)
    (note,) = answer["notes"]
    assert note.startswith(f"policy users: the file rules out its path {FRA}: ")
    summary = [f"# {line}" for line in answer["summary"]]
    assert found["shown"] == [0, "\n".join([*summary, *answer["lines"], f"# {note}"]) + "\n", ""]
    short = found["short"][1].splitlines()
    assert [line for line in short if not line.startswith("# nft --file - with ")] == [*summary, *routing, f"# {note}"]
    assert len(short) == len(summary) + len(routing) + 1 + table.count("END")
    (code, answer), (text_code, output, errors) = found["bad"]
    assert (code, text_code, output) == (78, 78, "")
    assert errors == found["reload says"][2]
    assert len(answer["problems"]) == len(errors.splitlines()) - 1
    code, answer = found["ranges"]
    assert code == 0
    assert any("priority 5031 lookup 50" in line for line in answer["lines"])
    assert answer["notes"] == ["[route] numbers change: what lies within the former ones is removed after that"]
    assert not found["changed"]
    assert found["after"][1]["lines"] == []
    assert found["after"][1]["notes"] == []


def starting() -> Any:
    with World() as world:
        with LOG.open("a") as log:
            daemon = world.run_daemon(world.gateway_config(), stderr=log)
        until(lambda: hangup_is_caught(daemon.pid))  # the file is read after that
        daemon.send_signal(signal.SIGHUP)
        until(lambda: "is ready" in LOG.read_text())
        until(lambda: f"reloaded {FILE}" in LOG.read_text())
        return daemon.poll()


def hangup_is_caught(pid: int) -> bool:
    """Not merely ignored, as whoever started the tests may have had it (nohup)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return any(int(found, 16) & 1 for found in re.findall(r"^SigCgt:\s*(\w+)", status, re.MULTILINE))


def test_a_reload_that_is_asked_for_while_the_daemon_starts_comes_when_it_has() -> None:
    assert scene("starting") is None
