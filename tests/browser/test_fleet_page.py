"""The fleet's page in a real browser, beside the real service, broker and 500 gateways' words."""

import asyncio
import json

import aiomqtt
import pytest

from tests.browser.driver import browser
from tests.lab.sharing import ROOT, Broker
from tests.lab.test_fleet_service import REPORT, STATE, Service
from tests.lab.waiting import until

pytestmark = pytest.mark.browser
GATEWAYS = 500


async def speak(port: int) -> None:
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        for pop in ("fra1", "ams1"):
            await client.publish(f"{ROOT}/pop/{pop}/state", json.dumps({**REPORT, "pop": pop}), qos=1)
        for number in range(GATEWAYS):
            name = f"gw{number:03d}"
            pop = "fra1" if number % 5 else "ams1"
            path = {
                "pop": pop, "path": f"{pop}/wg0", "state": "up", "rtt_us": 12_000, "jitter_us": 1, "loss_ppm": 0,
                "n": 1, "age_ms": 1,
            }  # fmt: skip
            score = {
                "v": 1, "gw": name, "epoch": 5, "seq": 1, "ts_ms": 1, "policies": {"default": path["path"]},
                "paths": [path],
            }  # fmt: skip
            await client.publish(f"{ROOT}/gw/eu/{name}/state", json.dumps({**STATE, "gw": name}), qos=1)
            await client.publish(f"{ROOT}/gw/eu/{name}/score", json.dumps(score), qos=1)


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (400, True)])
def test_everybody_is_found_and_nothing_else_is_asked_for(tmp_path, width, dark):
    broker = Broker(tmp_path)
    broker.start()
    try:
        inventory = "".join(f"eu/gw{number:03d}\n" for number in range(GATEWAYS))
        with Service(tmp_path, broker.port, inventory, 'stale_after = "1h"\n').running() as service:
            asyncio.run(speak(broker.port))
            until(lambda: service.figures()["presence"].get("eu", {}).get("online") == GATEWAYS)
            with browser(dark=dark) as page:
                page.size(width, 900)
                page.open(f"http://127.0.0.1:{service.port}/")
                until(lambda: "500 gateways online" in page.text("#summary"))
                pops = page.text("#pops tbody").splitlines()
                assert pops[0].split("\t")[:3] == ["fra1", "yes", "400"]
                assert pops[1].split("\t")[:3] == ["ams1", "yes", "100"]
                assert page.text("#gateways-count") == "1 to 200 of 500"
                page.click("#next")
                until(lambda: page.text("#gateways-count") == "201 to 400 of 500")
                page.type("#search input[name=text]", "gw49")
                until(lambda: page.text("#gateways-count") == "10")
                page.click("#pops tbody tr:nth-child(2) button")
                until(lambda: page.text("#gateways-count") == "2")
                assert page.text("#gateways tbody").count("ams1/wg0") == 2
                wide = page.run("return document.documentElement.scrollWidth <= window.innerWidth")
                assert wide, "the page itself scrolls sideways"
                unnamed = page.run(
                    "return [...document.querySelectorAll('input, select')].filter(one => !one.labels.length).length"
                )
                assert unnamed == 0
                asked = page.run("return performance.getEntriesByType('resource').map(one => one.name)")
                assert all(one.startswith(f"http://127.0.0.1:{service.port}/") for one in asked)
                service.process.terminate()
                until(lambda: "No answer from the fleet service" in page.text("#summary"))
                assert all("ERR_CONNECTION_REFUSED" in one or "favicon" in one for one in page.errors())
    finally:
        broker.kill()
