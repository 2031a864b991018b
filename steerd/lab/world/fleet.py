"""A small fleet: gateways and PoPs, each in a namespace of its own, and in the middle the broker and the fleet service.

::

    gw1 ... gw5 --- the middle (the broker, the fleet service) --- fra1, ams1, lon1 (an agent each)

The wires to the middle carry MQTT alone. What a gateway sees of a PoP, and a PoP of its links, are TUN devices with an
emulated far end each, whose conditions can be changed.
"""

import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, Self

from steerd.lab import namespaces
from steerd.lab.enclosure import RUN, LabError
from steerd.lab.worker import Worker
from steerd.lab.world.broker import Broker
from steerd.lab.world.line import Conditions
from steerd.lab.world.world import TENANT

MIDDLE: Final = "middle"
ADDRESS: Final = "10.99.0.1"
PAGE: Final = f"{ADDRESS}:9912"
SPOKEN: Final = 30.0
"""Seconds that the PoPs' agents may take to speak for the first time."""
SERVICE: Final = "db"
"""What the gateways' policy is for, behind the PoPs."""


class Site:
    """A namespace with a wire to the middle, and TUN devices with an emulated far end each. ``far``: the round trip to
    each, by name, in ms."""

    def __init__(self, name: str, number: int, far: Mapping[str, float]) -> None:
        self.name = name
        self._targets = {end: f"10.64.{place}.1" for place, end in enumerate(far, 1)}
        namespaces.add(name)
        namespaces.ip(f"link add eth0 netns {name} type veth peer name {name} netns {MIDDLE}")
        namespaces.ip(f"addr add 10.99.0.{number + 1}/24 dev eth0\nlink set eth0 up", name)
        namespaces.ip(f"link set {name} master br0\nlink set {name} up", MIDDLE)
        ends = {
            end: {
                "device": self.device(end),
                "targets": [bytes(map(int, target.split("."))).hex()],
                "conditions": asdict(Conditions(delay_ms=far[end])),
            }
            for end, target in self._targets.items()
        }
        self._ends = Worker(name, "steerd.lab.world.pop", {"pops": ends, "seed": number})
        for end, target in self._targets.items():
            namespaces.ip(
                f"addr add {target.removesuffix('1')}2/24 dev {self.device(end)}\nlink set {self.device(end)} up", name
            )
        self._process: subprocess.Popen[Any] | None = None

    def device(self, end: str) -> str:
        """Which leads there."""
        return f"tun-{end}"

    def target(self, end: str) -> str:
        """What is probed there."""
        return self._targets[end]

    def set(self, end: str, **conditions: Any) -> None:
        """Change these of the `Conditions` of the way there."""
        self._ends.ask(pop=end, change=conditions, at=0.0)

    def start(self, verb: str, config: str) -> None:
        """Start `steerd VERB` here, with this configuration."""
        file = RUN / f"{self.name}.toml"
        file.write_text(config)
        command = [sys.executable, "-m", "steerd.cli.steerd", verb, "-c", str(file)]
        with (RUN / f"{self.name}.log").open("a") as log:
            self._process = namespaces.spawn(self.name, command, stdout=log, stderr=log)

    def tell(self, number: signal.Signals) -> None:
        """Send the program here a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def ended(self) -> bool:
        """Whether the program here has."""
        return self._process is None or self._process.poll() is not None

    def last_words(self) -> str:
        """The end of its log."""
        file = RUN / f"{self.name}.log"
        return "\n  ".join(file.read_text().splitlines()[-8:]) if file.exists() else ""

    def close(self) -> None:
        """End the program here, and the far ends."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._ends.close()


class FleetWorld:
    """Builds it all on entry: gateways with the round trips to each PoP that ``gateways`` has, and PoPs with those to
    `SERVICE` and to each other that ``pops`` has, in ms. Raises `LabError`."""

    def __init__(self, gateways: Mapping[str, Mapping[str, float]], pops: Mapping[str, Mapping[str, float]]) -> None:
        self._given = gateways, pops
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for site in (*self.gateways.values(), *self.pops.values()):
            site.tell(signal.SIGTERM)  # all at once: an agent takes its time to drain its PoP
        self._open.close()

    def status(self, gateway: str) -> dict[str, Any]:
        """What `steerctl status` tells there."""
        return self.ctl(gateway, "status")

    def ctl(self, gateway: str, *arguments: str) -> dict[str, Any]:
        """What steerctl tells there, as JSON. LabError: it refuses."""
        command = [sys.executable, "-m", "steerd.cli.steerctl", "--socket", str(RUN / f"{gateway}.sock"), "--json"]
        process = namespaces.spawn(gateway, [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output, errors = process.communicate(timeout=30)
        if process.returncode:
            raise LabError(f"steerctl {arguments[0]} on {gateway}: {errors.decode().strip()}")
        return dict(json.loads(output))

    def choices(self) -> dict[str, str | None]:
        """Which PoP each gateway uses, as each says itself; None: none yet."""
        found: dict[str, str | None] = {}
        for name in self.gateways:
            if not (RUN / f"{name}.sock").exists():
                found[name] = None
                continue
            choice = self.status(name)["policies"][0]["choice"]
            found[name] = choice and choice.partition("/")[0]
        return found

    def figures(self) -> dict[str, Any]:
        """What the fleet service's page shows; nothing while it does not answer."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{PAGE}/fleet.json", timeout=5) as answer:
            return dict(json.load(answer))
        return {}

    def start_agent(self, pop: str) -> None:
        """Start the PoP's agent, for the first time or again."""
        site = self.pops[pop]
        links = "".join(f'[[link]]\nto = "{end}"\ntarget = "{site.target(end)}"\n' for end in self._given[1][pop])
        site.start(
            "agent",
            f'[agent]\npop = "{pop}"\ndrain_for = "3s"\n[mqtt]\nurl = "{self.broker.url}"\ntenant = "{TENANT}"\n'
            f'publish_interval = "1s"\n[probe]\ninterval = "200ms"\nhalf_life = "1s"\n{links}',
        )

    def _build(self) -> None:
        namespaces.add(MIDDLE)
        namespaces.ip(f"link add br0 type bridge\naddr add {ADDRESS}/24 dev br0\nlink set br0 up", MIDDLE)
        namespaces.enter(MIDDLE)  # so that the page is reached from here
        given, far = self._given
        numbers = iter(range(1, 250))
        self.gateways = {name: self._site(name, next(numbers), ends) for name, ends in given.items()}
        self.pops = {name: self._site(name, next(numbers), ends) for name, ends in far.items()}
        self.broker = self._open.enter_context(contextlib.closing(Broker(MIDDLE, RUN, ADDRESS)))
        self._start_service()
        for pop in far:
            self.start_agent(pop)
        self._wait_for_links()
        for gateway in self.gateways.values():
            gateway.start("run", self._gateway(gateway, list(far)))

    def _wait_for_links(self) -> None:
        """Until every PoP has said how far the others are from it: gateways that start meanwhile know of some only."""
        end = time.monotonic() + SPOKEN
        topics = {name: f"steer/v1/{TENANT}/pop/{name}/state" for name in self.pops}
        while any(b'"links":[{' not in self.broker.latest.get(topic, b"") for topic in topics.values()):
            for name, site in self.pops.items():
                if site.ended() or time.monotonic() > end:
                    raise LabError(f"the agent of {name} says nothing of its links\n  {site.last_words()}")
            time.sleep(0.1)

    def _site(self, name: str, number: int, ends: Mapping[str, float]) -> Site:
        return self._open.enter_context(contextlib.closing(Site(name, number, ends)))

    def _start_service(self) -> None:
        inventory = RUN / "inventory"
        inventory.write_text("".join(f"lab/{name}\n" for name in self._given[0]))
        file = RUN / "fleet.toml"
        file.write_text(
            f'[fleet]\nname = "middle"\ninventory = "{inventory}"\nrollup_interval = "2s"\nstale_after = "5s"\n'
            f'[mqtt]\nurl = "{self.broker.url}"\ntenant = "{TENANT}"\n[export]\nlisten = "{PAGE}"\n'
        )
        command = [sys.executable, "-m", "steerd.cli.steerd", "fleet", "-c", str(file)]
        with (RUN / "fleet.log").open("w") as log:
            process = namespaces.spawn(MIDDLE, command, stdout=log, stderr=log)
        self._open.callback(process.wait, 30)
        self._open.callback(process.terminate)

    def _gateway(self, site: Site, pops: Sequence[str]) -> str:
        listed = "".join(
            f'[[pop]]\nname = "{pop}"\nregion = "lab"\n'
            f'paths = [{{ dev = "{site.device(pop)}", target = "{site.target(pop)}" }}]\n'
            for pop in pops
        )
        return f"""\
[gateway]
name = "{site.name}"
region = "lab"

[probe]
interval = "500ms"

[fleet]
gate = 5
backbone_max = "200ms"

[mqtt]
url = "{self.broker.url}"
tenant = "{TENANT}"
publish_interval = "1s"

[control]
socket = "{RUN}/{site.name}.sock"

[store]
path = "{RUN}/{site.name}"

[[policy]]
name = "users"
prefixes = ["198.18.0.0/15"]
service = "{SERVICE}"

{listed}"""
