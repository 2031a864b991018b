"""The broker as config/mosquitto sets it up: who may say what, and what of a hostile client reaches a gateway."""

import asyncio
import json
import os
import shutil
import socket
import ssl
import time
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from steerd import faults
from steerd.core.settings import PathId
from steerd.share.messages import JSON, ZLIB
from steerd.share.orders import Orders
from steerd.share.reports import Reports
from steerd.share.signing import WantedState, generate, public_text, sign, signers
from steerd.share.topics import Topics
from tests.lab.sharing import (
    MOSQUITTO,
    ROOT,
    Broker,
    Gateway,
    GivenBroker,
    certificates,
    client,
    make_authority,
    member,
    observer,
    running,
    watching,
)  # fmt: skip
from tests.lab.waiting import until_async
from tests.unit.test_share_messages import path_view

pytestmark = [
    pytest.mark.broker,
    pytest.mark.fleet,
    pytest.mark.skipif(MOSQUITTO is None or shutil.which("openssl") is None, reason="needs mosquitto and openssl"),
]

KEY = generate()
WALL = 1_800_000_000.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def broker(tmp_path, authority):
    made = GivenBroker(tmp_path, authority)
    made.start()
    yield made
    made.kill()


def report(pop: str = "fra1", epoch: int = 5, seq: int = 1, *, accepting: bool = False) -> bytes:
    return json.dumps({"v": 1, "pop": pop, "epoch": epoch, "seq": seq, "accepting": accepting}).encode()


def properties(kind: str) -> Properties:
    made = Properties(PacketTypes.PUBLISH)
    made.ContentType = kind
    return made


def connections(port: int) -> set[int]:
    """The descriptors of this process that are connected to this port."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if link.readlink().name.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(link.name))) as one:
                    if one.family == socket.AF_INET and one.getpeername()[1] == port:
                        found.add(int(link.name))
    return found


def test_two_gateways_work_and_cannot_touch_each_others_topics(broker, authority):
    async def scenario():
        async with (
            watching(broker, authority) as seen,
            running(member(broker, authority)) as one,
            running(member(broker, authority, "gw2")) as two,
        ):
            theirs = {f"{ROOT}/gw/eu/{name}/{kind}" for name in ("gw1", "gw2") for kind in ("state", "score")}
            await until_async(lambda: theirs <= set(seen.latest))
            async with client(broker, authority, "fra1") as pop:
                await pop.publish(f"{ROOT}/pop/fra1/state", report(), qos=1, retain=True)
                await until_async(lambda: one.states and two.states)
                for stolen in ("ams1", "gw1"):
                    await pop.publish(f"{ROOT}/pop/{stolen}/state", report(stolen), qos=1, retain=True)
                await pop.publish(f"{ROOT}/gw/eu/gw1/state", b'{"online": false}', qos=1, retain=True)
            will = aiomqtt.Will(f"{ROOT}/gw/eu/gw1/state", b'{"online": false, "will": 1}', 1, True)
            # Everything below is said under gw3's certificate, with gw1's name wherever a name can be given.
            heard: list[str] = []

            async def listen(rogue: aiomqtt.Client) -> None:
                async for message in rogue.messages:
                    heard.append(str(message.topic))  # noqa: PERF401 (it ends by a timeout)

            with suppress(aiomqtt.MqttError):
                before = connections(broker.port)
                async with client(broker, authority, "gw3", identifier="steerd-gw1", will=will) as rogue:
                    (cut,) = connections(broker.port) - before
                    with socket.socket(fileno=os.dup(cut)) as rogues:
                        rogues.shutdown(socket.SHUT_RDWR)  # as who dies: now the will is due
                    async with asyncio.timeout(10):
                        await listen(rogue)
            async with client(broker, authority, "operator") as operator:
                await operator.publish(f"{ROOT}/catalogue/another", b"{}", qos=1, retain=True)
            async with client(broker, authority, "gw3", identifier="steerd-gw1") as rogue:
                for kind in ("state", "score", "event"):
                    await rogue.publish(f"{ROOT}/gw/eu/gw1/{kind}", b'{"forged": 1}', qos=1, retain=True)
                await rogue.publish(f"{ROOT}/pop/fra1/state", report(seq=9), qos=1, retain=True)
                await rogue.publish(f"{ROOT}/ctl/all/pop/fra1", b"{}", qos=1, retain=True)
                await rogue.publish(f"{ROOT}/region/eu/rollup", b"{}", qos=1, retain=True)
                await rogue.publish(f"{ROOT}/catalogue/provider", b"{}", qos=1, retain=True)
                await rogue.subscribe([(f"{ROOT}/gw/eu/gw1/#", 1), (f"{ROOT}/ctl/gw/gw1/#", 1), ("#", 1)])
                with suppress(TimeoutError):
                    async with asyncio.timeout(1.5):
                        await listen(rogue)
            assert f"{ROOT}/catalogue/another" in heard  # which is for all gateways
            await asyncio.sleep(0.5)
            assert [topic for topic in heard if "gw1" in topic] == []
            assert seen.latest[f"{ROOT}/gw/eu/gw1/state"]["online"] is True
            assert f"{ROOT}/gw/eu/gw1/event" not in seen.latest
            assert f"{ROOT}/pop/ams1/state" not in seen.latest
            assert f"{ROOT}/ctl/all/pop/fra1" not in seen.latest
            assert f"{ROOT}/region/eu/rollup" not in seen.latest
            assert f"{ROOT}/catalogue/provider" not in seen.latest
            assert seen.latest[f"{ROOT}/pop/fra1/state"]["seq"] == 1
            assert one.connected == [True]  # a forged client id takes nobody's session away
            assert len(one.states) == 1
            assert not one.refused

    asyncio.run(scenario())


def test_nobody_comes_in_without_a_certificate_and_a_revoked_one_is_none(broker, authority, tmp_path):
    async def knock(context: ssl.SSLContext) -> None:
        async with aiomqtt.Client(
            "127.0.0.1", broker.port, tls_context=context, protocol=aiomqtt.ProtocolVersion.V5, timeout=1
        ) as one:
            await one.publish("steer/v1/acme/gw/eu/x/state", b"{}", qos=1)

    nobody = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    with pytest.raises(aiomqtt.MqttError):
        asyncio.run(knock(nobody))
    theirs = tmp_path / "theirs"
    certificates(theirs, "ca")
    certificates(theirs, "client", "gw1")
    nobody.load_cert_chain(theirs / "gw1.pem", theirs / "gw1.key")
    with pytest.raises(aiomqtt.MqttError):
        asyncio.run(knock(nobody))

    mine = tmp_path / "mine"
    shutil.copytree(authority, mine)
    certificates(mine, "client", "lost")
    certificates(mine, "revoke", "lost")
    broker.kill()
    config = (tmp_path / "mosquitto.conf").read_text().replace("# crlfile", "crlfile")
    shutil.copy(mine / "revoked.pem", tmp_path / "revoked.pem")
    (tmp_path / "mosquitto.conf").write_text(
        config.partition("   # `make-certificates revoke")[0] + "\n" + config.partition("leave this out.\n")[2]
    )
    broker.start()
    lost = ssl.create_default_context(cafile=str(mine / "ca.pem"))
    lost.load_cert_chain(mine / "lost.revoked", mine / "lost.key")
    with pytest.raises(aiomqtt.MqttError):
        asyncio.run(knock(lost))
    lost.load_cert_chain(mine / "gw2.pem", mine / "gw2.key")
    asyncio.run(knock(lost))


def test_whatever_a_pop_or_an_operator_says_is_counted_under_its_own_reason(broker, authority):
    """They may publish on their topics, and mean no good."""
    alice = signers({public_text(KEY.verify_key): "alice"})
    gateway = member(
        broker, authority,
        orders=lambda refuse: Orders(
            Topics("acme", "eu", "gw1"), alice, pops=("fra1", "ams1"), policies=("default",), refuse=refuse,
            wall=lambda: WALL,
        ),
    )  # fmt: skip
    now = int(WALL * 1000)
    valid = WantedState(
        tenant="acme", to="all", pop="fra1", drained=True, counter=now, nbf_ms=now - 1000, exp_ms=now + 60_000
    )

    def signed(**changes: Any) -> bytes:
        return sign(KEY, valid.model_copy(update=changes))

    drain = f"{ROOT}/ctl/all/pop/fra1"
    of_pop = [
        ("malformed", report().replace(b"1", b'"x"'), JSON),
        ("malformed", b"\x00\xff", JSON),
        ("malformed", zlib.compress(report())[:-4], ZLIB),
        ("too large", zlib.compress(b"0" * 50_000_000), ZLIB),
        ("content type", report(seq=7), "application/cbor"),
        ("another PoP's topic", report("ams1"), JSON),
        ("stale epoch", report(epoch=4, seq=9), JSON),
        ("stale seq", report(seq=1), JSON),
    ]
    of_orders = [
        ("expired", drain, signed(exp_ms=now - 1)),
        ("not yet valid", drain, signed(nbf_ms=now + 60_000)),
        ("unknown key", drain, sign(generate(), valid)),
        ("signature", drain, signed().replace(b"fra1", b"ams1")),
        ("wrong audience", f"{ROOT}/ctl/gw/gw1/pop/fra1", signed()),
        ("wrong subject", f"{ROOT}/ctl/all/pop/ams1", signed()),
        ("wrong tenant", drain, signed(tenant="other")),
        ("malformed", drain, b'{"drained": true}'),
        ("too large", drain, signed() + b" " * 3000),
        ("unknown PoP", f"{ROOT}/ctl/all/pop/nyc1", signed(pop="nyc1")),
    ]

    async def scenario():
        async with running(gateway):
            await until_async(lambda: "out" in gateway.messages)
            async with client(broker, authority, "fra1") as pop, client(broker, authority, "operator") as operator:
                await pop.publish(f"{ROOT}/pop/fra1/state", report(seq=2, accepting=True), qos=1, retain=True)
                await until_async(lambda: gateway.states)
                for reason, payload, kind in of_pop:
                    before = len(gateway.refused)
                    await pop.publish(f"{ROOT}/pop/fra1/state", payload, qos=1, properties=properties(kind))
                    await until_async(lambda before=before: len(gateway.refused) > before)
                    assert gateway.refused[before:] == [("pop", reason)]
                for reason, topic, payload in of_orders:
                    before = len(gateway.refused)
                    await operator.publish(topic, payload, qos=1, retain=True, properties=properties(JSON))
                    await until_async(lambda before=before: len(gateway.refused) > before)
                    assert gateway.refused[before:] == [("order", reason)]
                assert (len(gateway.states), gateway.obeyed) == (1, 0)
                await operator.publish(drain, signed(), qos=1, retain=True)
                await until_async(lambda: gateway.obeyed)
                before = len(gateway.refused)
                await operator.publish(drain, signed(counter=now - 1), qos=1, retain=True)
                await until_async(lambda: len(gateway.refused) > before)
                assert gateway.refused[before:] == [("order", "replayed")]
                assert gateway.obeyed == 1

    asyncio.run(scenario())


def test_what_is_too_large_for_everybody_ends_at_the_broker(broker, authority):
    async def scenario():
        async with running(member(broker, authority)) as gateway, watching(broker, authority) as seen:
            await until_async(lambda: "out" in gateway.messages)
            with suppress(aiomqtt.MqttError):
                async with client(broker, authority, "fra1", timeout=1) as pop:
                    await pop.publish(f"{ROOT}/pop/fra1/state", b"x" * 200_000, qos=1, retain=True)
            await asyncio.sleep(0.5)
            assert f"{ROOT}/pop/fra1/state" not in seen.count
            assert (gateway.refused, gateway.connected) == ([], [True])

    asyncio.run(scenario())


def test_a_rotated_certificate_is_picked_up_and_a_bad_one_is_not(broker, authority, tmp_path):
    files = {"cert": tmp_path / "own.pem", "key": tmp_path / "own.key"}
    for what, file in files.items():
        shutil.copy(authority / f"gw1.{'pem' if what == 'cert' else 'key'}", file)

    async def scenario():
        async with watching(broker, authority) as seen, running(member(broker, authority, **files)) as gateway:
            await until_async(lambda: seen.latest.get(f"{ROOT}/gw/eu/gw1/state", {}).get("online"))
            await gateway.share.renew()
            files["key"].write_text("half a key")
            await gateway.share.renew()
            await asyncio.sleep(0.5)
            assert gateway.connected == [True]
            mine = tmp_path / "renewed"
            shutil.copytree(authority, mine)
            certificates(mine, "client", "gw1", FORCE="1")
            shutil.copy(mine / "gw1.pem", files["cert"])
            shutil.copy(mine / "gw1.key", files["key"])
            await gateway.share.renew()
            await until_async(lambda: gateway.connected == [True, False, True])
            states = seen.count[f"{ROOT}/gw/eu/gw1/state"]
            await asyncio.sleep(0.5)
            assert seen.latest[f"{ROOT}/gw/eu/gw1/state"]["online"] is True
            assert states <= 3  # nobody left: no farewell, no will

    asyncio.run(scenario())


def test_what_is_larger_than_the_broker_takes_is_counted_and_ends_nothing(tmp_path):
    broker = Broker(tmp_path, "allow_anonymous true\nmax_packet_size 400")
    broker.start()

    async def scenario():
        async with running(Gateway(broker.port, publish_interval=0.1)) as gateway:
            await until_async(lambda: gateway.messages.count("out") >= 5)
            assert not gateway.refused
            gateway.view = replace(gateway.view, paths=tuple(path_view(PathId(f"p{n}/wg{n}")) for n in range(6)))
            await until_async(lambda: len(gateway.refused) > 3)
            assert set(gateway.refused) == {("broker", "packet too large")}
            assert gateway.connected == [True]

    try:
        asyncio.run(scenario())
    finally:
        broker.kill()


def test_a_message_that_makes_us_fail_is_counted_and_ends_no_session(tmp_path, monkeypatch):
    broker = Broker(tmp_path)
    broker.start()
    took = Reports.take

    def fails_on_fra1(reports, topic, *arguments, **more):
        if "fra1" in topic:
            raise KeyError("nobody expected this")
        took(reports, topic, *arguments, **more)

    monkeypatch.setattr(Reports, "take", fails_on_fra1)
    before = faults.counts["mqtt message"]

    async def scenario():
        async with running(Gateway(broker.port)) as gateway, observer(broker.port) as pop:
            await until_async(lambda: gateway.connected == [True])
            # Retained: without a boundary it would end each session anew.
            await pop.publish(f"{ROOT}/pop/fra1/state", report(), retain=True, properties=properties(JSON))
            await pop.publish(f"{ROOT}/pop/ams1/state", report("ams1"), retain=True, properties=properties(JSON))
            await until_async(lambda: [one.pop for one in gateway.states] == ["ams1"])
            assert gateway.connected == [True]

    try:
        asyncio.run(scenario())
    finally:
        broker.kill()
    assert faults.counts["mqtt message"] == before + 1


def test_messages_that_take_long_have_a_tenth_of_the_time(tmp_path, monkeypatch):
    broker = Broker(tmp_path)
    broker.start()
    begins, ends = [], []

    def takes_long(*_: Any, **__: Any) -> None:
        begins.append(time.monotonic())
        time.sleep(0.01)
        ends.append(time.monotonic())

    monkeypatch.setattr(Reports, "take", takes_long)

    async def scenario():
        async with observer(broker.port) as pop:
            for n in range(20):
                await pop.publish(f"{ROOT}/pop/p{n}/state", b"{}", retain=True)
            async with running(Gateway(broker.port)):
                await until_async(lambda: len(ends) >= 20)

    try:
        asyncio.run(scenario())
    finally:
        broker.kill()
    assert all(after - before > 0.08 for before, after in zip(ends, begins[1:], strict=False))


@pytest.mark.parametrize(
    ("limit", "said"), [("max_qos 0", "QoS not supported"), ("retain_available false", "Retain not")]
)
def test_a_broker_that_cannot_do_what_is_needed_says_so_in_the_log(tmp_path, caplog, limit, said):
    broker = Broker(tmp_path, f"allow_anonymous true\n{limit}")
    broker.start()

    async def scenario():
        async with running(Gateway(broker.port)):
            await until_async(lambda: any(said in line for line in caplog.messages))

    try:
        asyncio.run(scenario())
    finally:
        broker.kill()
