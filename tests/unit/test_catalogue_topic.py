"""A catalogue from a retained topic: what is asked for, what of it is inflated, and how often it is looked at."""

import asyncio
import hashlib
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from typing import Any

import pytest

from steerd.cli.steerctl import main
from steerd.config.catalogue.signed import MOST
from steerd.config.file.problem import ConfigError
from steerd.config.file.written import differences
from steerd.config.gateway.load import load, with_catalogue
from steerd.daemon.catalogue.follower import Follower
from steerd.daemon.threads import Apart
from steerd.share.gateway import Share
from steerd.share.messages import JSON, ZLIB, packed
from steerd.share.mqtt.client import receivable
from steerd.share.signing import secret_text
from steerd.share.topics import catalogue
from steerd.web.metrics import Metrics
from tests.unit.test_config_catalogue import FILE, KEY, NOW, OTHER, file, pop, signed
from tests.unit.test_share_events import SETTINGS

__all__ = ["file"]
BROKER = '[mqtt]\nurl = "mqtt://127.0.0.1:1883"\ntenant = "acme"\n'
WITH_TOPIC = FILE.replace('file = "list.json"', "topic = true") + BROKER
TOPIC = "steer/v1/acme/catalogue/provider"


class Followed:
    """A follower with what it has taken; each look takes no time unless ``slow`` says so, in seconds."""

    def __init__(self, file: Any, *, observing: bool = False) -> None:
        file.write_text(WITH_TOPIC)
        self.config = load(file)
        self.taken: list[int] = []
        self.metrics = Metrics()
        self.follower = Follower(
            lambda: self.config, self._take, self.metrics, observing=observing, wall=lambda: NOW, clock=time.monotonic
        )

    async def _take(self, document: bytes) -> list[str]:
        self.config = with_catalogue(self.config, document)
        assert self.config.listed is not None
        self.taken.append(self.config.listed.serial)
        return []

    def say(self, payload: bytes, kind: str | None = JSON, topic: str = TOPIC) -> str:
        """Why it is not taken; empty: it is."""
        self.follower.heard(topic, payload, kind)
        assert self.config.catalogue is not None
        asyncio.run(self.follower.look(self.config.catalogue))
        view = self.follower.view()
        assert view is not None
        return view.refused


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (BROKER, "", "catalogue.topic: found true; must come with an [mqtt] table: which broker has it"),
        ("topic = true", 'topic = true\nurl = "https://a/b"', "must have one of file, url and topic = true"),
        ("topic = true", 'topic = true\nfile = "a"', "must have one of file, url and topic = true"),
        ("topic = true", "topic = false", "must have one of file, url and topic = true"),
        ("topic = true", 'topic = "steer/x"', "catalogue.topic"),
        ("topic = true", 'topic = true\nca = "a"', "catalogue.ca"),
    ],
)
def test_one_source_and_a_broker_for_a_topic(file, old, new, words):
    file.write_text(WITH_TOPIC.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert words in str(caught.value)


def test_it_is_taken_as_it_is_and_compressed(file):
    followed = Followed(file)
    assert followed.say(signed(pop("a"))) == ""
    assert followed.say(zlib.compress(signed(pop("b"), serial=2)), ZLIB) == ""
    assert followed.say(signed(pop("c"), serial=3), None) == ""
    assert followed.say(signed(pop("c"), serial=3)) == ""  # again, after a reconnect
    assert followed.taken == [1, 2, 3]
    view = followed.follower.view()
    assert view is not None
    assert (view.source, view.serial, view.good_at) == (TOPIC, 3, NOW)


def test_what_is_wrong_is_refused_and_an_emptied_topic_changes_nothing(file):
    followed = Followed(file)
    good = signed(pop("a"), serial=5)
    assert followed.say(good) == ""
    for payload, kind, words in (
        (good.replace(b"10.65.0.1", b"10.65.0.2"), JSON, "the signature of alice does not fit"),
        (signed(pop("a"), serial=6, key=OTHER), JSON, "not trusted"),
        (signed(pop("b"), serial=4), JSON, "serial 4 does not follow serial 5"),
        (good, ZLIB, "it cannot be inflated"),
        (zlib.compress(good)[:-1], ZLIB, "it cannot be inflated"),
        (zlib.compress(good) + b"x", ZLIB, "it cannot be inflated"),
        (zlib.compress(b"0" * (MOST + 1)), ZLIB, "it is larger than 4 MiB"),
        (good, "text/plain", "something else than JSON"),
        (b"\0", JSON, "no signed catalogue"),
    ):
        assert words in followed.say(payload, kind)
        assert words in followed.say(b"", None)  # nobody has mended it
    assert followed.say(good) == ""
    assert followed.taken == [5]


def test_another_topic_is_not_looked_at(file):
    followed = Followed(file)
    assert followed.say(b"\0", topic=f"{TOPIC}2") == ""
    view = followed.follower.view()
    assert view is not None
    assert (view.serial, view.good_at) == (None, None)


def test_who_only_observes_says_that_it_hears_no_broker(file):
    followed = Followed(file, observing=True)
    assert followed.config.catalogue is not None
    asyncio.run(followed.follower.look(followed.config.catalogue))
    view = followed.follower.view()
    assert view is not None
    assert "who only observes asks no broker" in view.refused


def test_a_flood_is_looked_at_seldom_and_the_last_of_it_is_taken(file, monkeypatch):
    followed = Followed(file)
    slept: list[float] = []
    messages = iter([signed(pop("a"), serial=serial) for serial in range(2, 300)])

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        for payload in messages:
            followed.follower.heard(TOPIC, payload, JSON)
        if len(slept) == 3:
            raise asyncio.CancelledError
        followed.follower.heard(TOPIC, signed(pop("a"), serial=299 + len(slept)), JSON)

    monkeypatch.setattr("steerd.daemon.catalogue.follower.asyncio.sleep", sleep)
    followed.follower.heard(TOPIC, signed(pop("a")), JSON)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(followed.follower.run())
    assert followed.taken == [1, 300, 301]
    assert all(2.0 <= one <= 60.0 for one in slept)


def test_only_who_follows_one_asks_for_it():
    heard: list[Any] = []
    others: list[Any] = []

    def share(listed: str | None) -> Share:
        return Share(
            SETTINGS, epoch=7, pops=(), snapshot=lambda: None, on_pop_state=lambda _: None,  # type: ignore[arg-type,return-value]
            refuse=lambda *one: others.append(one), on_connected=lambda _: None, on_message=lambda _: None,
            listed=listed, on_catalogue=lambda *one: heard.append(one), draw=lambda: 0.5,
        )  # fmt: skip

    assert TOPIC not in share(None).filters
    one = share("provider")
    assert TOPIC in one.filters
    one.take(TOPIC, b"x", ZLIB, retained=True)
    one.watch((), (), "other")
    assert TOPIC not in one.filters
    one.take(TOPIC, b"x", ZLIB, retained=False)
    one.take(catalogue("acme", "other"), b"y", None, retained=True)
    assert heard == [(TOPIC, b"x", ZLIB), (catalogue("acme", "other"), b"y", None)]
    assert others == []


def test_how_many_pops_a_packet_carries():
    """docs/catalogue.md says it."""

    def packet(number: int) -> bool:
        pops = [
            {"name": f"fra{n}", "region": "eu", "tags": ["backbone"], "target": f"10.{n >> 8}.{n & 255}.1",
             "target6": f"fd64:{n:x}::1"}
            for n in range(number)
        ]  # fmt: skip
        return receivable(TOPIC, packed(signed(*pops))[0])

    assert packet(4096)
    assert not receivable(TOPIC, b"x" * 65_500)


def test_send_catalogue_says_why_it_cannot(file, tmp_path, capsys):
    (tmp_path / "key").write_text(secret_text(KEY))
    lists = tmp_path / "pops.toml"

    def says(number: int) -> tuple[int, str]:
        entries = (
            f'[[pop]]\nname = "p{n}"\nendpoint = "{hashlib.sha256(bytes([n % 251, n >> 8])).hexdigest()}"\n'
            for n in range(number)
        )
        lists.write_text('name = "provider"\n' + "".join(entries))
        code = main(["send-catalogue", str(lists), "-c", str(file), "--key", str(tmp_path / "key")])
        return code, capsys.readouterr().err

    code, said = says(1)
    assert (code, f"{file} has no [mqtt] table" in said) == (78, True)
    file.write_text(WITH_TOPIC.replace(":1883", ":9"))
    code, said = says(2500)
    assert (code, "a gateway takes no MQTT packet above 64 KiB" in said) == (1, True)
    code, said = says(1)
    assert (code, "the broker at 127.0.0.1:9" in said) == (1, True)


def test_a_reload_does_not_tell_a_token(file):
    configs = []
    for token in ("SECRET1", "SECRET2"):
        file.write_text(FILE.replace('file = "list.json"', f'url = "https://a.example.net/list?token={token}"'))
        configs.append(load(file))
    lines = differences(*configs)
    assert lines == ['[catalogue] url: "https://a.example.net/list" -> "https://a.example.net/list", others']
    assert differences(configs[0], replace(configs[0])) == []


def test_a_thread_apart_gives_results_and_errors_and_holds_nothing_up():
    apart = Apart("test")

    def failing() -> None:
        raise OSError("no")

    async def asked() -> int:
        with pytest.raises(OSError, match="no"):
            await apart.call(failing)
        return await apart.call(lambda: 7)

    assert asyncio.run(asked()) == 7
    hung = """
import asyncio, time
from steerd.daemon.threads import Apart

async def asked():
    async with asyncio.timeout(0.05):
        await Apart("test").call(lambda: time.sleep(600))

try:
    asyncio.run(asked())
except TimeoutError:
    print("over")
"""
    assert subprocess.run([sys.executable, "-c", hung], capture_output=True, timeout=60, check=True).stdout == b"over\n"
