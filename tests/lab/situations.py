"""Twelve situations of which people ask why, brought about in the lab: what the daemon says of each."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from steerd.lab import namespaces
from steerd.lab.world.world import World
from tests.lab.test_daemon import FILE, LOG, SOCKET, ask, metrics, start, status
from tests.lab.waiting import until

BEST, NEXT = "fra1/tun-fra1", "ams1/tun-ams1"


class Situation(NamedTuple):
    """``bring``: brings it about, and returns when it is there. ``change``: of the configuration. ``aside``: what goes
    to and fro there."""

    bring: Callable[[World], Any]
    change: Callable[[str], str] = str
    world: Mapping[str, Any] = {}
    aside: str = "^$"


def policy(world: World) -> Any:
    return status(world)["policies"][0]


def path(world: World, name: str = BEST) -> Any:
    return next(one for one in status(world)["paths"] if one["path"] == name)


def shell(text: str) -> None:
    subprocess.run(namespaces.command("gw", ["sh", "-ec", text]), check=True, timeout=60)


def moved(world: World) -> None:
    until(lambda: policy(world)["choice"] != BEST)


def brown_out(world: World) -> None:
    world.pops["fra1"].set(delay_ms=120.0)
    moved(world)


def one_dies(world: World) -> None:
    world.pops["fra1"].set(dead=True)
    moved(world)
    until(lambda: path(world)["state"] == "down")


def all_die(world: World) -> None:
    for pop in world.pops.values():
        pop.set(dead=True)
    until(lambda: all(one["state"] == "down" for one in status(world)["paths"]))


def drained(world: World) -> None:
    ask(world, "drain", "fra1")
    moved(world)


def held_down(world: World) -> None:
    world.pops["ams1"].set(delay_ms=21.0)  # a millisecond is not worth to go back for
    until(lambda: path(world, NEXT)["rtt_ms"] < 22.0)
    one_dies(world)
    world.pops["fra1"].set(dead=False)
    until(lambda: path(world)["state"] == "up")


def forbidden(world: World) -> None:
    FILE.write_text(world.gateway_config().replace("[[policy]]", '[[policy]]\nregions = ["nl", "us"]'))
    ask(world, "reload")
    moved(world)


def equal(world: World) -> None:
    world.pops["ams1"].set(delay_ms=20.0)
    until(lambda: path(world, NEXT)["rtt_ms"] < 21.0)


def limited(world: World) -> None:
    shell(
        """nft 'add table netdev slow { chain in { type filter hook ingress device tun-ams1 priority 0;
        ip protocol icmp limit rate over 2/second burst 1 packets drop;
        ip6 nexthdr icmpv6 limit rate over 2/second burst 1 packets drop; }; }'"""
    )
    until(lambda: 'finding="rate-limited"} 1' in metrics())


def pinned(world: World) -> None:
    ask(world, "pin", "users", "nyc1")
    moved(world)


def led_astray(world: World) -> None:
    shell("ip rule add priority 90 iif lan0 lookup main; ip -6 rule add priority 90 iif lan0 lookup main")
    until(lambda: policy(world).get("error"))


def astray(world: World) -> None:
    until(lambda: len(re.findall('where="choice".* [1-9]', metrics())) == 2)
    led_astray(world)
    until(lambda: len(re.findall('where="astray".* [1-9]', metrics())) == 2)


SITUATIONS: Final = {
    "brown-out": Situation(brown_out),
    "outage-of-one": Situation(one_dies),
    "outage-of-all": Situation(all_die),
    "drain": Situation(drained),
    "hold-down": Situation(held_down),
    "region-rule": Situation(forbidden),
    "tie": Situation(equal),
    "rate-limited-target": Situation(
        limited, aside="ams1/tun-ams1 +(is|ranks)|Was down|stands by|Outlook|no longer so|path_state.*ams1"
    ),
    "local-outage": Situation(all_die, lambda text: text.replace("{ dev", '{ uplink = "dsl", dev')),
    "pinned": Situation(pinned),
    "traffic-astray": Situation(
        astray,
        lambda text: text.replace("[[policy]]", "[[policy]]\nleak_guard = false", 1),
        {"full_tunnel": True, "rate": 100},
    ),
    "verification-failed": Situation(led_astray, world={"full_tunnel": True}),
}


def told(name: str) -> str:
    """What there is to read once it has come to that: what varies from run to run is `#`."""
    situation = SITUATIONS[name]
    with World(**situation.world) as world:
        start(world, situation.change(world.gateway_config()))
        until(lambda: all(one["state"] == "up" for one in status(world)["paths"]))
        before = len(LOG.read_text())
        situation.bring(world)
        time.sleep(3.0)
        parts = {
            "steerctl why users": steerctl("why", "users"),
            "steerctl history": steerctl("history"),
            "journal": LOG.read_text()[before:],
            "metrics": "\n".join(sorted(set(telling(metrics())))),
        }
    return "".join(
        f"== {part}\n{''.join(f'{one}{chr(10)}' for one in steady(text, situation.aside))}\n"
        for part, text in parts.items()
    )


def steerctl(*arguments: str) -> str:
    command = ["env", "COLUMNS=300", sys.executable, "-m", "steerd.cli.steerctl", "--socket", SOCKET, *arguments]
    done = subprocess.run(namespaces.command("gw", command), capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def telling(page: str) -> Iterator[str]:
    """The samples that are there because of something."""
    for line in page.splitlines():
        if re.match(
            r"steerd_(path_state|policy_state|path_finding|pop_drained|policy_pinned|policy_astray)\b.* 1(\.0)?$", line
        ):
            yield line
        if re.match(r"steerd_(switches_total|policy_outage_seconds_total|policy_packets_total)\b.* (?!0(\.0)?$)", line):
            yield line.rpartition(" ")[0] + " #"


_ASIDE: Final = re.compile(r"^(Of \d+ rules|Trace of) .*?(?=^$|\Z)", re.MULTILINE | re.DOTALL)
_WRAPPED: Final = re.compile(r"(?<=[^.:\n])\n  (?! |\S+/\S+: )")
_SEVERAL: Final = re.compile(r"^  ([^\s:,]+), ([^:\n]*: (.*))$", re.MULTILINE)
_VARIES: Final = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(,\d+)?|\b\d{10}-\d+\b"), "#"),
    (re.compile(r"(?<![\w./:])-?(\d+(\.\d+)?(ms|s|m|h|d|%)?)+(?![\w/-]|[.:]\w)"), "#"),
    (re.compile(r"\b(quick|work-function|last-sample|patient)\b"), "RULE"),
    (re.compile(r"# ms (dearer|cheaper)\.$", re.MULTILINE), "# ms DEARER."),  # where they are level
    (re.compile(r"; [^ ]+/[^ ]+ stands by\.$", re.MULTILINE), "; ANOTHER stands by."),
    (re.compile(r"  +"), "  "),
)


def steady(text: str, aside: str) -> list[str]:
    """Its lines, each once, without what varies and what is an aside: how the rules fared, traces."""
    lines: dict[str, None] = {}
    text = _WRAPPED.sub(" ", _ASIDE.sub("", text))
    for varies, instead in _VARIES:
        text = varies.sub(instead, text)
    while (split := _SEVERAL.sub(r"  \1: \3\n  \2", text)) != text:  # alike in one run, and not in the next
        text = split
    for line in text.splitlines():
        if not re.search(f" trace of |{aside}", line):
            lines[line.rstrip()] = None
    return [line for line in lines if line]
