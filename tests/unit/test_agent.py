"""A PoP's agent: its configuration, what it reads and measures, and what it says of it."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

from steerd.agent import command, prometheus
from steerd.agent.error import LoadError
from steerd.agent.links import SILENT, Links
from steerd.agent.load import KEPT, Load, ratio
from steerd.config.agent.document import LAYOUT
from steerd.config.agent.load import load
from steerd.config.agent.settings import LoadSettings
from steerd.config.file.problem import ConfigError
from steerd.config.file.toml import toml
from steerd.config.probe_settings import HttpCheck, ProbePath, ProbeSettings, Target
from steerd.config.settings import MqttSettings
from steerd.core.events import BackboneLink, Outcome, Probed
from steerd.core.settings import PathId
from steerd.share.messages import PopReport, encode
from steerd.share.mqtt.session import SAY_AGAIN
from steerd.share.pop import RETAINED_WITHIN, PopMember, PopStatus

MQTT = '[mqtt]\nurl = "mqtt://127.0.0.1"\ntenant = "acme"\n'
EXAMPLE = Path(__file__).parents[2] / "config/agent.toml"


@pytest.fixture
def loaded(tmp_path):
    def loaded(text):
        file = tmp_path / "agent.toml"
        file.write_text(text)
        return load(file)

    return loaded


# The configuration


def test_the_example_has_every_key_and_is_sound(monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/nowhere")
    assert load(EXAMPLE).pop == "fra1"
    text = EXAMPLE.read_text()
    raw = toml(EXAMPLE)
    assert {*raw} | {"export"} == set(LAYOUT.keys(""))
    for table in ("agent", "load", "probe", "reflect", "export", "link"):
        for key in LAYOUT.keys(table):
            assert f"\n{key} =" in text or f"# {key} =" in text or f"{key}" in text.partition("[[link]]")[2], key


def test_little_is_enough(loaded):
    settings = loaded('[agent]\npop = "fra1"\n' + MQTT)
    assert (settings.accepting, settings.drain_for, settings.load, settings.reflect, settings.export) == (
        True, 5.0, None, None, None,
    )  # fmt: skip
    assert settings.mqtt.gateway == "fra1"
    assert settings.links.paths == ()


def test_links_are_probed_by_whichever_way_the_routes_lead(loaded):
    links = '[[link]]\nto = "ams1"\ntarget = "2001:db8::1"\n[[link]]\nto = "db"\ntarget = "db.example.net"\n'
    links += 'method = "http"\nget = "http://db.example.net:8080/up?x"\nexpect = 200\n'
    one, other = loaded('[agent]\npop = "fra1"\n' + MQTT + links).links.paths
    assert (one.path, one.device, one.mark, one.targets) == ("ams1/link", "", 0, (Target(6, "2001:db8::1"),))
    assert other.targets == (Target(4, "", "db.example.net"),)
    assert (other.port, other.check) == (8080, HttpCheck("db.example.net:8080", "/up?x", 200))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "mqtt: is missing: must say at which broker the PoP speaks"),
        (MQTT + "[load]\n", "load: must have one of command, file, interface, prometheus"),
        (MQTT + '[load]\nfile = "x"\ncommand = ["y"]\n', 'load: found "command and file"; must have one of'),
        (MQTT + '[load]\nprometheus = "http://x"\n', "load.query: must come with prometheus"),
        (MQTT + '[load]\nfile = "x"\nquery = "up"\n', 'load.query: found "up"; must come with prometheus'),
        (MQTT + '[load]\ninterface = "eth0"\n', "agent.capacity: is missing"),
        (MQTT + '[[link]]\nto = "fra1"\ntarget = "192.0.2.1"\n', 'link[0].to: found "fra1"; is this PoP itself'),
        (MQTT + '[[link]]\nto = "a"\ntarget = "127.0.0.1"\n', "link[0].target: found"),
        (
            MQTT + '[[link]]\nto = "a"\ntarget = "192.0.2.1"\n' * 2,
            'link[1].to: found "a"; must be unique: link[0] has this name (in [[link]] number 2)',
        ),
        (
            MQTT + '[[link]]\nto = "a"\ntarget = "192.0.2.1"\nport = 5\n',
            'link[0].port: found 5; does nothing with method = "icmp": must be left out',
        ),
        (MQTT + '[[link]]\nto = "a"\ntarget = "192.0.2.1"\nmethod = "http"\n', "link[0].get: must be given"),
        (MQTT + "[reflect]\nlisten = []\n", "reflect.listen: found []; must not be empty"),
        (MQTT + '[reflect]\nlisten = ["x"]\n', "must be an address and a port"),
        (MQTT + '[agents]\npop = "x"\n', 'did you mean "agent"?'),
        (MQTT + f'trusted_keys = ["{"A" * 43}="]\n', "mqtt.trusted_keys: does nothing here: an agent takes no orders"),
    ],
)  # fmt: skip
def test_what_is_wrong_names_its_place(loaded, text, said):
    with pytest.raises(ConfigError) as caught:
        loaded('[agent]\npop = "fra1"\n' + text)
    assert said in str(caught.value)


# The load


@pytest.mark.parametrize(("text", "value"), [("0.75", 0.75), (" 75%\n", 0.75), ("0", 0.0), ("1e-1", 0.1), ("3", 3.0)])
def test_a_load_is_a_ratio_or_a_percentage(text, value):
    assert ratio(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "nan", "inf", "-1", "busy", "0x1", "1 2", "%"])
def test_what_is_no_load(text):
    with pytest.raises(LoadError):
        ratio(text)


def script(text):
    return [sys.executable, "-c", text]


def test_a_program_prints_the_load():
    assert command.output(script("print('42%')"), 30.0) == "42%\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["/nowhere"], "cannot be run"),
        (script("raise SystemExit(3)"), "exit code 3"),
        (script("import os; os.kill(os.getpid(), 9)"), "signal 9"),
        (script("while True: print('x' * 999)"), "more than 4096 bytes"),
        (script(r"import os; os.write(1, b'\xff')"), "no UTF-8 text"),
    ],
)
def test_a_program_that_does_not_is_told(argv, said):
    with pytest.raises(LoadError, match=said):
        command.output(argv, 30.0)


def test_a_program_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path):
    pid = tmp_path / "pid"
    child = (
        f"import subprocess, time; p = subprocess.Popen(['sleep', '600']); open({str(pid)!r}, 'w').write(str(p.pid))"
    )
    with pytest.raises(LoadError, match="was killed after 2 s"):
        command.output(script(f"{child}; time.sleep(600)"), 2.0)
    deadline = time.monotonic() + 30
    while pid.exists() and alive(pid.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid):
    """Whether it runs: who nobody waits for stays as a zombie."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:
        return False


def test_a_reading_that_fails_leaves_the_one_before_which_grows_old(tmp_path, caplog):
    file, clock = tmp_path / "load", [0.0]
    file.write_text("150%")
    one = Load(LoadSettings(5.0, 2.0, file=file), lambda: clock[0])
    assert one.reading() == (None, 0.0)
    asyncio.run(one.look())
    file.write_text("busy")
    clock[0] = 7.0
    asyncio.run(one.look())
    assert one.reading() == (1.0, 7.0)
    file.unlink()
    asyncio.run(one.look())
    clock[0] = KEPT
    assert one.reading() == (None, 0.0)
    assert one.failures == 2
    assert len(caplog.messages) == 1
    os.mkfifo(file)
    asyncio.run(one.look())  # nobody writes into it, and it does not wait
    assert one.failures == 3


def test_an_interface_is_as_loaded_as_it_carries_of_its_capacity(monkeypatch, tmp_path):
    page = tmp_path / "dev"
    monkeypatch.setattr("steerd.agent.load.COUNTERS", page)

    def counted(rx, tx):
        row = f"  eth0: {rx} 0 0 0 0 0 0 0 {tx} 0 0 0 0 0 0 0\n"
        page.write_text(f"head\nhead\n    lo: {' '.join(['5'] * 16)}\n{row}")

    clock = [0.0]
    one = Load(LoadSettings(5.0, 2.0, interface="eth0", capacity=1000.0), lambda: clock[0])
    seen = []
    for at, rx, tx in ((0.0, 0, 0), (2.0, 100, 500), (4.0, 900, 600), (5.0, 0, 0), (6.0, 100, 0)):
        clock[0] = at
        counted(rx, tx)
        asyncio.run(one.look())
        seen.append(one.reading()[0])
    assert seen == [None, 0.25, 0.4, 0.4, 0.1]  # made again, it counts from 0
    page.write_text("head\nhead\n")
    asyncio.run(one.look())
    assert one.failures == 1


def answer(kind, result):
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


def test_prometheus_has_one_value():
    assert prometheus.value(answer("scalar", [1.0, "0.5"])) == "0.5"
    assert prometheus.value(answer("vector", [{"metric": {}, "value": [1.0, "0.25"]}])) == "0.25"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (answer("vector", []), "0 values"),
        (answer("vector", [{"value": [1, "1"]}] * 2), "2 values"),
        (answer("matrix", []), "it must have a scalar"),
        (b"[" * 60_000, "as it is documented"),
        (b"{}", "as it is documented"),
        (answer("vector", [{}]), "as it is documented"),
        (b"\xff", "as it is documented"),
    ],
)
def test_what_prometheus_does_not_answer(body, said):
    with pytest.raises(LoadError, match=said):
        prometheus.value(body)


# The links


def path(to, target="192.0.2.1"):
    return ProbePath(PathId(f"{to}/link"), to, "", 0, (Target(4, target),), 1.0, 1.0)


def links(*paths):
    return Links(ProbeSettings(paths, 1.0), 2.0, seed=1)


def heard(one, to, *outcomes):
    """Each probe's RTT in ms, None: it was lost."""
    for at, rtt in enumerate(outcomes):
        id_ = PathId(f"{to}/link")
        if rtt is None:
            one.outcome(Probed(id_, Outcome.OVERDUE, float(at)))
            one.outcome(Probed(id_, Outcome.LOST, float(at)))
        else:
            one.outcome(Probed(id_, Outcome.REPLY, float(at), rtt / 1e3))


def test_a_link_is_said_once_it_answered_and_then_with_its_loss():
    one = links(path("ams1"), path("db"))
    heard(one, "db", *[None] * 9)
    assert one.measured() == []
    heard(one, "ams1", *[7.0, 7.0001] * 5)
    (known,) = one.measured()
    assert (known.to, known.rtt, known.loss) == ("ams1", pytest.approx(7.0, abs=0.01), 0.0)
    heard(one, "nobody", 1.0)


def test_a_link_on_which_nothing_answers_any_more_loses_all():
    one = links(path("ams1"))
    heard(one, "ams1", 7.0, 7.1, *[None] * (SILENT - 1))
    assert 0.0 < one.measured()[0].loss < 1.0
    heard(one, "ams1", *[None] * SILENT)
    assert one.measured() == [BackboneLink("ams1", pytest.approx(7.0, abs=0.1), 1.0)]
    one.outcome(Probed(PathId("ams1/link"), Outcome.LATE, 50.0, 0.007))
    assert one.measured()[0].loss < 1.0


def test_another_configuration_keeps_what_is_known_of_links_that_stay_as_they_are():
    one = links(path("ams1"), path("db"), path("lon1"))
    for to in ("ams1", "db", "lon1"):
        heard(one, to, 7.0, 7.1)
    one.configure(ProbeSettings((path("ams1"), path("db", "192.0.2.9")), 1.0), 2.0)
    assert [known.to for known in one.measured()] == ["ams1"]
    one.configure(ProbeSettings((path("ams1"),), 1.0), 5.0)
    assert one.measured() == []


# What it says


SETTINGS = MqttSettings(
    "127.0.0.1", 1883, False, "acme", "fra1", "default", None, None, None, None, None, publish_interval=10.0
)


class Session:
    def __init__(self):
        self.said = []

    async def publish(self, topic, message, *, qos=1, retain=False, expiry=None):
        assert (topic, qos, retain, expiry) == ("steer/v1/acme/pop/fra1/state", 1, True, None)
        self.said.append(message)


class Speaking:
    """A member, and what it would have said by now."""

    def __init__(self, status, epoch=1000):
        self.status, self.session = status, Session()
        self.member = PopMember(SETTINGS, lambda: self.status, epoch=epoch)

    async def publish(self, *, anew=False):
        due = await self.member.publish(self.session, anew=anew)
        return due - asyncio.get_running_loop().time()

    async def begin(self):
        await self.publish(anew=True)
        await asyncio.sleep(RETAINED_WITHIN + 0.01)
        await self.publish()


def test_it_says_what_it_knows_each_interval_and_at_once_whether_it_accepts():
    async def told():
        one = Speaking(PopStatus(True, 0.5, 1.25, 125e6, (BackboneLink("db", 24.5, 0.01),)))
        assert 0.0 < await one.publish(anew=True) <= RETAINED_WITHIN
        assert one.session.said == []  # what is retained comes first
        await asyncio.sleep(RETAINED_WITHIN + 0.01)
        assert 9.0 < await one.publish() <= 10.0
        await one.publish()
        one.status = PopStatus(False)
        await one.publish()
        await one.publish()
        return one

    one = asyncio.run(told())
    assert [json.loads(encode(message)[0]) for message in one.session.said] == [
        {
            "v": 1, "pop": "fra1", "epoch": 1000, "seq": 1, "accepting": True, "load_ppm": 500_000, "age_ms": 1250,
            "capacity": 10**9, "links": [{"to": "db", "rtt_us": 24_500, "loss_ppm": 10_000}], "interval_ms": 10_000,
        },
        {"v": 1, "pop": "fra1", "epoch": 1000, "seq": 2, "accepting": False, "age_ms": 0, "interval_ms": 10_000},
    ]  # fmt: skip
    assert one.member.state(online=False, reason="connection lost") is None  # it has no will


@pytest.mark.parametrize("links", [(), tuple(BackboneLink(f"pop{n}", 1.0, 0.0) for n in range(100))])
def test_it_begins_after_what_is_retained_of_an_earlier_run(links):
    async def told():
        one = Speaking(PopStatus(True))
        await one.publish(anew=True)
        before = Speaking(PopStatus(True, links=links), epoch=5000)
        await before.begin()
        assert not one.member.lives(encode(before.session.said[0])[0])
        await one.publish()
        assert one.member.lives(encode(one.session.said[0])[0])
        assert not one.member.lives(b"")  # cleared: it is said again, and not at once
        assert 0.0 < await one.publish() <= SAY_AGAIN
        assert not one.member.lives(b"nonsense")
        return one.session.said

    (said,) = asyncio.run(told())
    assert isinstance(said, PopReport)
    assert (said.epoch, said.seq) == (5001, 1)
