"""steerd and one neighbour on a gateway, while users talk: each is started before and after the other, has to look at
its objects anew, and goes."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steerd.control import client
from steerd.lab import namespaces
from steerd.lab.world.pop import POPS
from steerd.lab.world.traffic import LOST_AFTER
from steerd.lab.world.world import World
from tests.lab.test_daemon import FILE, LOG, SOCKET, reaches
from tests.lab.waiting import until
from tests.neighbours.neighbours import BGP, BGP_ROUTES, NEIGHBOURS, Neighbour, Order
from tests.neighbours.tree import Tree

TAIL = 0.6
"""Seconds: the end of a step, when all has long been said and done."""

_LISTINGS = "; ".join(
    (
        "ip -o addr",
        *(f"ip -o {family} {what}" for family in ("-4", "-6") for what in ("rule", "route show table all")),
        "ip -o nexthop",
    )
)
_PLACES = """
mkdir -p /run/dbus /run/frr /run/bird /run/systemd/netif/links /run/systemd/netif/leases
chown -R systemd-network:systemd-network /run/systemd/netif
chown frr /run/frr
chmod -R go= /etc/NetworkManager/system-connections
"""
_OURS = re.compile(r"proto 210\b|^(?:flush )?table inet steerd(?:_packets)?\b")
_PASSING = re.compile(r"(?:valid_lft|preferred_lft|expires) \S+|^\d+: (?=\w+ +inet)")
_MADE_UP = re.compile(r"fe80::")
"""Devices that come anew choose another address each time."""
_NUMBER = re.compile(r"\b(nhid|id|group) [\d/]+")
_ECHO = (
    "import socket\n"
    "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(('::', 7))\n"
    "while True:\n"
    "    data, peer = s.recvfrom(99); s.sendto(data, peer)\n"
)


def _shell(script: str) -> str:
    argv = namespaces.command("gw", ["sh", "-ec", script])
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


def listed() -> list[str]:
    """All that there is of routing and nftables in the gateway: a line of `ip`, or a chain of nftables each."""
    lines, _, tables = _shell(f"{_LISTINGS}; echo :nft:; nft -s list ruleset").partition(":nft:\n")
    chains: list[str] = []
    for table in re.split(r"^(?=table )", tables, flags=re.MULTILINE):
        name, _, content = table.partition("{\n")
        chains += [f"{name}: {part.strip()}" for part in re.split(r"^\t}$", content, flags=re.MULTILINE)]
    found = (*lines.splitlines(), *chains)
    return sorted(_PASSING.sub("", one).strip() for one in found if one and not _MADE_UP.search(one))


def foreign() -> list[str]:
    return [one for one in listed() if not _OURS.search(one)]


def ours() -> list[str]:
    """Rules, routes and nexthops; what nftables has of ours follows the neighbours' routes."""
    return [one for one in listed() if "proto 210" in one]


def moved(before: list[str], now: list[str]) -> list[str]:
    """What is there of one only."""
    return [f"- {one}" for one in sorted({*before} - {*now})] + [f"+ {one}" for one in sorted({*now} - {*before})]


def unnumbered(lines: list[str]) -> list[str]:
    """Without the numbers that a neighbour's nexthops get anew each time."""
    return sorted(_NUMBER.sub(r"\1", one) for one in lines)


def still(look: Callable[[], list[str]]) -> list[str]:
    """What it shows, once that does not change any more."""
    seen: list[list[str]] = []

    def same() -> bool:
        time.sleep(0.4)
        seen.append(look())
        return len(seen) > 2 and seen[-1] == seen[-2]

    until(same, what="things to be at rest")
    return seen[-1]


class Beside:
    """One neighbour of a world's gateway, and steerd. ``steps``: what was seen in each, for JSON."""

    def __init__(self, world: World, neighbour: Neighbour) -> None:
        self.neighbour = neighbour
        self.steps: dict[str, dict[str, Any]] = {}
        self._world = world
        self._spans: dict[str, tuple[float, float]] = {}
        self._tree = Tree("gw")
        self._outside = Tree("wan")
        for file, text in neighbour.files.items():
            self._tree.write(file, text, 0o644)
            self._outside.write(file, text, 0o644)
        for tree in (self._tree, self._outside):
            tree.run(_PLACES)
        # Where steerd looks for what systemd-networkd was told.
        subprocess.run(["mount", "--bind", self._tree.root / "etc/systemd", "/etc/systemd"], check=True)
        self._outside.start(*neighbour.outside)

    def begin(self) -> None:
        """The neighbour: returns once all that it owns is there."""
        self._tree.start(*self.neighbour.daemons)
        if self.neighbour.up:
            self._tree.run(self.neighbour.up)
        until(
            lambda: not self._lacking(),
            what="the neighbour's own",
            told=lambda: f"{self._lacking()}\n{self._tree.log()}\n{self._outside.log()}",
        )

    def finish(self) -> None:
        """The neighbour."""
        if self.neighbour.down:
            self._tree.run(self.neighbour.down)
        self._tree.end()

    def again(self) -> None:
        """The neighbour is told to look at what it has set up, or is started again."""
        if self.neighbour.again:
            self._tree.run(self.neighbour.again)
        else:
            self.finish()
            self.begin()

    def step(self, name: str, act: Callable[[], object], there: bool, theirs: list[str] | None = None) -> None:
        """``there``: whether the neighbour is there afterwards; ``theirs``: what is foreign then, if that is known."""
        before, held, began = foreign(), ours(), time.monotonic()
        act()
        acted = time.monotonic()
        until(lambda: self._at_rest(there), what=f"{name}: steerd at rest", told=lambda: f"{words()}")
        now = still(foreign)
        reached = [reaches("lan", address) for address in self.neighbour.reaches if there]
        time.sleep(TAIL)
        self._spans[name] = (began, time.monotonic())
        self.steps[name] = {
            "foreign": self.differs(before, now) if theirs is None else self.differs(theirs, now, numbers=False),
            "ours": moved(held, ours()),
            "reached": all(reached),
            "words": words(),
            "took": [round(acted - began, 1), round(time.monotonic() - acted, 1)],
        }

    def counted(self) -> dict[str, dict[str, Any]]:
        """The steps, with the users' packets: those ``lost`` by family, those of them in the last second of the step
        (``tail``), and those that left in clear (``leaked``)."""
        time.sleep(LOST_AFTER)
        traffic = self._world.traffic
        for name, (began, ended) in self._spans.items():
            self.steps[name] |= {
                "lost": {str(family): traffic.between(began, ended, family).lost for family in (4, 6)},
                "tail": {str(family): traffic.between(ended - TAIL, ended, family).lost for family in (4, 6)},
                "leaked": self._world.outside.leaked(began, ended),
            }
        return self.steps

    def differs(self, before: list[str], now: list[str], *, numbers: bool = True) -> list[str]:
        """What has changed but for what the neighbour may add. Without ``numbers`` of nexthops: when it comes again."""
        adds = re.compile(self.neighbour.adds or "$^")
        if numbers:
            return moved(before, [one for one in now if one in before or not adds.search(one)])
        return moved(*(unnumbered([one for one in lines if not adds.search(one)]) for lines in (before, now)))

    def _at_rest(self, there: bool) -> bool:
        time.sleep(0.1)
        wanted = self.neighbour.says if there else ()
        if not wanted:
            return not any(policy.get("error") for policy in status()["policies"])
        said = words()
        return all(any(re.search(one, line) for line in said) for one in wanted)

    def _lacking(self) -> list[str]:
        time.sleep(0.2)  # a dozen processes each time
        lines = "\n".join(listed())
        return [one for one in self.neighbour.owns if one not in lines]


def words() -> list[str]:
    """What steerd says to people: its remarks, and what is wrong with each policy."""
    seen = status()
    return [*seen.get("remarks", ()), *(policy["error"] for policy in seen["policies"] if policy.get("error"))]


def told(verb: str, **arguments: Any) -> Any:
    """As `steerctl` has it, without its process: this is asked often."""
    return client.ask(SOCKET, {"verb": verb, **arguments})


def status() -> Any:
    try:
        return told("status")
    except (OSError, client.NotThereError):
        return {"policies": [{"choice": None}], "paths": []}


def start(world: World, config: str) -> subprocess.Popen[Any]:
    """The daemon, once it has made or adopted its choice."""
    with LOG.open("a") as log:
        daemon = world.run_daemon(config, stderr=log)
    until(lambda: status()["policies"][0]["choice"] is not None, what="a choice")
    return daemon


def heard() -> None:
    """All paths are."""
    until(lambda: (paths := status()["paths"]) and all(path["state"] == "up" for path in paths), what="paths up")


def beside(name: str) -> Any:
    """The whole walk; what was seen in each step, and what steerd's log says."""
    with World(POPS[:3], full_tunnel=True, rate=50) as world:
        for address in ("198.51.100.65/32", "2001:db8:64::1/128"):
            namespaces.ip(f"addr add {address} dev lo", "wan")
        world.spawn("wan", [sys.executable, "-c", _ECHO])
        one = Beside(world, NEIGHBOURS[name])
        config = world.gateway_config().replace("[route]\n", f"[route]\n{one.neighbour.route}\n")
        short = config[: config.rindex("[[pop]]")]
        orders = one.neighbour.orders
        if Order.FIRST in orders:
            one.begin()
        theirs = still(foreign)
        daemon = start(world, config)
        heard()

        def crashed() -> None:
            nonlocal daemon
            daemon.kill()
            daemon.wait(60)
            daemon = start(world, config)

        def reloaded() -> None:
            for text in (short, config):
                FILE.write_text(text)
                assert told("reload")["ok"], LOG.read_text()[-3000:]

        def switched() -> None:
            told("drain", pop="fra1")
            until(lambda: status()["policies"][0]["choice"] == "ams1/tun-ams1")
            told("undrain", pop="fra1")

        if Order.FIRST in orders:
            one.step("beside", lambda: None, there=True, theirs=theirs)
            one.step("switch", switched, there=True)
            one.step("reload", reloaded, there=True)
            one.step("crash", crashed, there=True)
            if Order.LAST in orders:
                one.step("looks again", one.again, there=True, theirs=theirs)
            one.step("goes", one.finish, there=False)
        if Order.LAST in orders:
            one.step("comes", one.begin, there=True, theirs=theirs if Order.FIRST in orders else None)
            if Order.FIRST not in orders:
                one.step("goes", one.finish, there=False, theirs=theirs)
        found = {"steps": one.counted(), "admin": world.admin.session().alive, "nested": world.nested()}
        before = still(foreign)
        daemon.terminate()
        daemon.wait(60)
        command = [sys.executable, "-m", "steerd.cli.steerd", "cleanup", "-c", str(FILE)]
        subprocess.run(namespaces.command("gw", command), check=True, timeout=60)
        left = [one.differs(before, still(foreign)), ours()]
        return found | {"left": left, "log": LOG.read_text()}


def bgp() -> Any:
    """A hundred thousand routes come from a BGP neighbour beyond the uplink while steerd steers, and go at once."""
    with World(POPS[:3], full_tunnel=True, rate=50) as world:
        namespaces.ip("addr add 100.64.0.1/32 dev lo", "wan")
        world.spawn("wan", [sys.executable, "-c", _ECHO])
        one = Beside(world, BGP)
        daemon = start(world, world.gateway_config())
        heard()
        held, began = ours(), time.monotonic()
        one.begin()
        until(lambda: routes() >= BGP_ROUTES, what="all routes", told=lambda: f"{routes()}")
        came = time.monotonic()
        until(
            lambda: reaches("lan", "100.64.0.1") or any("guard" not in one for one in words()),
            what="what BGP knows is reached, or else told",
        )
        known = time.monotonic()
        said, kept = words(), moved(held, ours())
        told("drain", pop="fra1")
        until(lambda: str(status()["policies"][0]["choice"]).startswith("ams1/"))
        switched = time.monotonic()
        one.finish()
        until(lambda: routes() < BGP_ROUTES // 100, what="no routes", told=lambda: f"{routes()}")
        time.sleep(TAIL)
        ended = time.monotonic()
        time.sleep(LOST_AFTER)
        fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
        return {
            "kept": kept,
            "words": said,
            "took": [came - began, known - came, switched - known, ended - switched],
            "lost": world.traffic.between(began, ended).lost,
            "leaked": world.outside.leaked(began, ended),
            "cpu_s": (int(fields[11]) + int(fields[12])) / 100.0,
            "rss_mb": int(fields[21]) * 4096 / 1e6,
            "log": LOG.read_text(),
        }


def routes() -> int:
    """How many main has of IPv4."""
    return int(_shell('sh -c "ip -4 route | wc -l"'))
