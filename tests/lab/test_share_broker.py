"""Sharing through a real mosquitto: births, wills, retained messages, outages, and access rules."""

import asyncio
import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from steerd.core.effects import Switched
from steerd.core.events import PopState
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import Reason
from tests.lab.sharing import (
    EVENT,
    MOSQUITTO,
    ROOT,
    SCORE,
    SEARCHED,
    STATE,
    Broker,
    Gateway,
    body,
    free_port,
    heard,
    observer,
    running,
    say,
)  # fmt: skip
from tests.lab.waiting import Awake, until_async

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed"),
]


@pytest.fixture
def broker(tmp_path):
    made = Broker(tmp_path)
    made.start()
    yield made
    made.kill()


def report(pop: str = "fra1", seq: int = 1, *, accepting: bool = False) -> dict[str, Any]:
    return {"v": 1, "pop": pop, "epoch": 5, "seq": seq, "accepting": accepting}


SWITCHED = Switched("7-1", PolicyId("p"), None, PathId("fra1/wg0"), Reason.START, 1.0, "first", {}, {}, {})


def test_birth_score_event_and_farewell(broker):
    async def scenario():
        async with running(Gateway(broker.port)) as gateway:
            await until_async(lambda: gateway.messages.count("out") >= 2)
            state = await heard(broker.port, STATE, kept=True)
            assert body(state) == {"v": 1, "gw": "gw1", "epoch": 7, "online": True, "version": body(state)["version"]}
            await heard(broker.port, SCORE)
            first, second = [await heard(broker.port, SCORE, kept=True) for _ in range(2)]
            assert first.properties.MessageExpiryInterval in (1, 2)
            assert body(second)["seq"] >= body(first)["seq"]
            waiting = asyncio.create_task(heard(broker.port, EVENT))
            while not waiting.done():  # events are not retained: told until the observer has subscribed
                gateway.share.fact(SWITCHED)
                await asyncio.wait({waiting}, timeout=0.1)
            event = waiting.result()
            assert body(event)["event_id"] == "7-1"
            assert 3500 < event.properties.MessageExpiryInterval <= 3600
        farewell = body(await heard(broker.port, STATE))
        assert (farewell["online"], farewell["reason"]) == (False, "test ended")
        assert gateway.connected == [True, False]
        assert gateway.messages.count("out") > 3

    asyncio.run(scenario())


def test_after_a_broker_restart_everything_is_back(broker):
    async def scenario():
        async with running(Gateway(broker.port)) as gateway:
            await heard(broker.port, SCORE)
            await say(broker.port, f"{ROOT}/pop/fra1/state", report())
            await until_async(lambda: gateway.states)
            broker.kill()
            await until_async(lambda: gateway.connected[-1] is False)
            gateway.share.fact(SWITCHED)  # waits
            broker.start()
            event = asyncio.create_task(heard(broker.port, EVENT))
            assert body(await heard(broker.port, STATE))["online"] is True
            await heard(broker.port, SCORE)
            assert await heard(broker.port, SCORE, kept=True)
            await say(broker.port, f"{ROOT}/pop/fra1/state", report(seq=2, accepting=True))
            await until_async(lambda: len(gateway.states) == 2)
            assert gateway.states == [PopState("fra1", False), PopState("fra1", True)]
            event.cancel()
            with suppress(asyncio.CancelledError):
                await event
            assert not gateway.share.events

    asyncio.run(scenario())


def test_without_a_broker_nothing_is_held_up():
    async def scenario():
        awake = Awake()
        async with running(Gateway(free_port())) as gateway:
            for _ in range(1000):
                gateway.share.fact(SWITCHED)
            await asyncio.sleep(0.3)
            assert gateway.connected == []
            assert len(gateway.share.events) == 256
            begun = awake.seconds()
        assert awake.seconds() - begun < 3

    asyncio.run(scenario())


def test_reports_of_pops_are_taken_and_others_refused(broker):
    async def scenario():
        async with running(Gateway(broker.port)) as gateway:
            await until_async(lambda: gateway.connected)
            await say(broker.port, f"{ROOT}/pop/fra1/state", report())
            await until_async(lambda: gateway.states)
            await say(broker.port, f"{ROOT}/pop/fra1/state", report(seq=0))
            await say(broker.port, f"{ROOT}/pop/ams1/state", b"nonsense")
            await say(broker.port, f"{ROOT}/pop/nyc1/state", report("nyc1"))
            await until_async(lambda: len(gateway.refused) == 3)
            assert sorted(gateway.refused) == [("pop", "malformed"), ("pop", "stale seq"), ("pop", "unknown PoP")]
            gateway.share.watch({"nyc1"})
            await until_async(lambda: len(gateway.states) == 2)
            assert gateway.states[1] == PopState("nyc1", False)

    asyncio.run(scenario())


def test_the_will_tells_of_a_gateway_that_died(broker):
    async def scenario():
        gateway = Gateway(broker.port, backoff=(60.0, 60.0))  # it does not come back within this test
        task = asyncio.create_task(gateway.share.run())
        await until_async(lambda: "out" in gateway.messages)
        began = time.monotonic()
        cut(broker.port)  # as a crash does: without a DISCONNECT, and nobody connects again
        await until_async(lambda: gateway.connected[-1] is False)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        will = body(await heard(broker.port, STATE, lambda one: not one["online"]))
        assert will["reason"] == "connection lost"
        assert time.monotonic() - began > 2  # who comes back in time was never away

    asyncio.run(scenario())


def cut(port: int) -> None:
    """End this process's connections to the broker."""
    for file in Path("/proc/self/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=os.dup(int(file.name))) as one:
            if one.family == socket.AF_INET and one.getpeername()[1] == port:
                one.shutdown(socket.SHUT_RDWR)


def test_whoever_says_that_a_gateway_is_dead_is_contradicted(broker):
    async def scenario():
        async with running(Gateway(broker.port)) as gateway:
            await until_async(lambda: "out" in gateway.messages)
            alive = body(await heard(broker.port, STATE))
            async with observer(broker.port) as other:
                for lie in (b'{"v":1,"gw":"gw1","epoch":1,"online":false,"version":"0"}', b"{}"):
                    await other.publish(STATE, lie, qos=1, retain=True)
            again = body(await heard(broker.port, STATE, lambda one: one.get("online", False)))
            assert again == alive

    asyncio.run(scenario())


def test_a_frozen_broker_is_noticed(broker, monkeypatch):
    monkeypatch.setattr("steerd.share.mqtt.client.KEEPALIVE", 1)
    monkeypatch.setattr("steerd.share.mqtt.client.TIMEOUT", 1.0)

    async def scenario():
        async with running(Gateway(broker.port)) as gateway:
            await until_async(lambda: gateway.connected)
            broker.freeze(frozen=True)
            await until_async(lambda: gateway.connected[-1] is False)
            broker.freeze(frozen=False)
            await until_async(lambda: gateway.connected[-1] is True)

    asyncio.run(scenario())


def test_a_password_from_a_file_and_a_publication_that_is_forbidden(tmp_path):
    passwords, rules = tmp_path / "passwords", tmp_path / "rules"
    tool = shutil.which("mosquitto_passwd", path=SEARCHED)
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed")
    subprocess.run([tool, "-c", "-b", str(passwords), "gw1", "secret"], check=True, capture_output=True)
    rules.write_text(f"pattern write {ROOT}/gw/+/%u/state\npattern read {ROOT}/pop/+/state\n")
    for file in (passwords, rules):
        file.chmod(0o700)
    broker = Broker(tmp_path, f"allow_anonymous false\npassword_file {passwords}\nacl_file {rules}")
    broker.start()
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")

    async def scenario():
        gateway = Gateway(broker.port, username="gw1", password_file=secret)
        async with running(gateway):
            await asyncio.sleep(0.3)
            assert gateway.connected == []
            secret.write_text("secret\nand a comment\n")  # read anew at the next attempt
            await until_async(lambda: gateway.connected == [True])
            gateway.share.fact(SWITCHED)
            await until_async(lambda: ("broker", "publish: not authorized") in gateway.refused)

    try:
        asyncio.run(scenario())
    finally:
        broker.kill()


def test_tls_with_certificates(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=tmp_path)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    # As RFC 5280 has certificates: Python 3.13 takes no others.
    usage = ("-addext", "keyUsage=critical,keyCertSign")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2", *usage)
    for name in ("server", "gw1"):
        (tmp_path / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-out", f"{name}.pem", "-days", "2", "-extfile", f"{name}.ext"),
        )
    files = f"cafile {tmp_path}/ca.pem\ncertfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key"
    broker = Broker(tmp_path, f"{files}\nrequire_certificate true\nuse_identity_as_username true\nallow_anonymous true")
    broker.start()

    async def scenario():
        stranger = Gateway(broker.port, tls=True, ca=tmp_path / "ca.pem")
        async with running(stranger):
            await asyncio.sleep(0.3)
        own = {"cert": tmp_path / "gw1.pem", "key": tmp_path / "gw1.key"}
        async with running(Gateway(broker.port, tls=True, ca=tmp_path / "ca.pem", **own)) as gateway:
            await until_async(lambda: "out" in gateway.messages)
        assert stranger.connected in ([], [True, False])  # TLS 1.3: refused only after the handshake
        assert "out" not in stranger.messages

    try:
        asyncio.run(scenario())
    finally:
        broker.kill()
