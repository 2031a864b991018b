"""A region's broker and the one in the middle, joined as config/mosquitto/bridge.conf says."""

import asyncio
import json
import shutil

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.lab.sharing import (
    GIVEN,
    MOSQUITTO,
    ROOT,
    GivenBroker,
    certificates,
    client,
    make_authority,
    member,
    running,
    watching,
)  # fmt: skip
from tests.lab.waiting import until_async

pytestmark = [
    pytest.mark.broker,
    pytest.mark.fleet,
    pytest.mark.skipif(MOSQUITTO is None or shutil.which("openssl") is None, reason="needs mosquitto and openssl"),
]


@pytest.fixture
def brokers(tmp_path):
    authority = make_authority(tmp_path / "authority")
    certificates(authority, "client", "broker-eu")
    made = []
    for name in ("middle", "region"):
        (tmp_path / name).mkdir()
        made.append(GivenBroker(tmp_path / name, authority))
    middle, region = made
    bridge = (GIVEN / "bridge.conf").read_text()
    rules = [line.removeprefix("#   ") for line in bridge.splitlines() if line.startswith("#   ")]
    assert len(rules) == 5
    with (tmp_path / "middle/acl").open("a") as acl:
        acl.write("\n" + "\n".join(rules) + "\n")
    for name in ("broker-eu.pem", "broker-eu.key"):
        shutil.copy(authority / name, tmp_path / "region" / name)
        (tmp_path / "region" / name).chmod(0o644)
    with (tmp_path / "region/mosquitto.conf").open("a") as config:
        here = bridge.replace("/etc/mosquitto/steerd", str(tmp_path / "region"))
        config.write("\n" + here.replace("middle.example.net:8883", f"127.0.0.1:{middle.port}"))
    for broker in made:
        broker.start()
    yield authority, middle, region
    for broker in made:
        broker.kill()


def test_a_region_is_seen_in_the_middle_and_hears_from_there(brokers):
    authority, middle, region = brokers

    async def scenario():
        async with running(member(region, authority)) as gateway:
            async with watching(middle, authority) as seen:
                topics = {f"{ROOT}/gw/eu/gw1/state", f"{ROOT}/gw/eu/gw1/score"}
                await until_async(lambda: topics <= set(seen.latest))
                assert seen.latest[f"{ROOT}/gw/eu/gw1/state"]["online"] is True
                async with client(middle, authority, "fra1") as pop:
                    said = {"v": 1, "pop": "fra1", "epoch": 1, "seq": 1, "accepting": False}
                    kind = Properties(PacketTypes.PUBLISH)
                    kind.ContentType = "application/json"
                    await pop.publish(
                        f"{ROOT}/pop/fra1/state", json.dumps(said).encode(), qos=1, retain=True, properties=kind
                    )
                    await until_async(lambda: gateway.states)
            middle.kill()
            await asyncio.sleep(0.5)
            assert gateway.connected == [True]
            assert not gateway.refused

    asyncio.run(scenario())
