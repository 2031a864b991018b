"""The script for tunnels of the kernel. Bounds are twice the demo's; what is new here has its reason beside it."""

import re
from collections.abc import Iterator
from typing import Final

from icmplib import ping

from steerd.lab.script import Act, Sight
from tests.vm.service import called
from tests.vm.world import DELAYS, KernelWorld

INTERVAL: Final = "200ms"
RATE: Final = 50.0
"""The users' datagrams a second, in each family: half of the demo's, since an emulated processor encrypts them."""

SLOW: Final = 2.0
"""What the demo may take, an emulated processor may take twice: it adds some 10 ms to a round trip, at times more."""

_ECHOES = 5


def _talk(world: KernelWorld) -> None:
    """Not before the daemon steers: what users sent until then went by the main table, as it should."""
    world.traffic.rate(RATE)


def _brown_out(world: KernelWorld) -> None:
    world.pops["fra1"].set(delay_ms=DELAYS["fra1"] + 40.0)


def _recovery(world: KernelWorld) -> None:
    world.pops["fra1"].set(delay_ms=DELAYS["fra1"])


def _outage(world: KernelWorld) -> None:
    world.pops["fra1"].set(lost=True)


def _other_key(world: KernelWorld) -> None:
    world.pops["ams1"].key(right=False)


def _right_key(world: KernelWorld) -> None:
    world.pops["ams1"].key(right=True)


def _kept_apart(world: KernelWorld) -> Iterator[Sight]:
    """What has to hold in every act."""
    leaked = world.outside.leaked()
    if leaked:
        yield Sight(f"{leaked} of the users' packets left the gateway outside its tunnels", False)
    session = world.admin.session()
    if not session.alive:
        yield Sight("the admin's session is dead", False)


def _dead_but_echoing(world: KernelWorld) -> Iterator[Sight]:
    """What tells this fault from an outage: the tunnel's endpoint answers, what is in the tunnel does not."""
    pop = world.pops["ams1"]
    for where, address, should in (("outside the tunnel", pop.outer, _ECHOES), ("in the tunnel", pop.target, 0)):
        came = ping(address, count=_ECHOES, interval=0.1, timeout=1, payload_size=16).packets_received
        yield Sight(f"ams1 answers {came} of {_ECHOES} echoes {where} ({address})", came == should)
    yield from _kept_apart(world)


def _at_the_end(world: KernelWorld) -> Iterator[Sight]:
    outer, leaked, session = world.outside.outer(), world.outside.leaked(), world.admin.session()
    yield Sight(
        f"on the uplink: {outer} packets of the tunnels, {leaked} of the users outside them", leaked == 0 < outer
    )
    yield Sight(
        f"the admin's session: {session.answers} answers, the longest gap {session.longest_gap:.2f} s", session.alive
    )
    units = called("systemctl", "is-active", "steerd", "steerd-guard")
    yield Sight(f"steerd.service and steerd-guard.service: {', '.join(units.stdout.split())}", units.returncode == 0)
    restarts = called("systemctl", "show", "-P", "NRestarts", "steerd")
    yield Sight(f"restarts of the daemon: {restarts.stdout.strip()}", bool(re.fullmatch(r"0\s*", restarts.stdout)))


SCRIPT: Final = (
    Act("calm", "four PoPs at 20, 30, 70 and 90 ms; the users begin to talk", _talk, 6.0, look=_kept_apart),
    Act(
        "brown-out",
        "fra1, in use, becomes 40 ms slower",
        _brown_out,
        SLOW * 5.0 + 3.0,
        to="ams1",
        within=SLOW * 5.0,
        look=_kept_apart,
    ),
    Act(
        "recovery",
        "fra1 is as fast as before",
        _recovery,
        SLOW * 30.0 + 3.0,
        to="fra1",
        within=SLOW * 30.0,
        look=_kept_apart,
    ),
    Act(
        "outage",
        "nothing gets to fra1, in use",
        _outage,
        5.0,
        to="ams1",
        within=SLOW,
        lost_max=SLOW,
        look=_kept_apart,
    ),
    Act(
        "key broken",
        "ams1, in use, has another key than the gateway knows",
        _other_key,
        5.0,
        to="par1",
        within=SLOW,
        lost_max=SLOW,
        look=_dead_but_echoing,
    ),
    # WireGuard tries a handshake every 5 s (Rekey-Timeout) and up to a third of a second later; trust takes 3 s, the
    # hold-down 8 s; then ams1 is 40 ms better, which in the brown-out takes up to 5 s. Answers to
    # probes that the tunnel had kept make it seem slow at first: what it is used to halves in 10 s.
    Act(
        "key mended",
        "ams1 has its key again",
        _right_key,
        SLOW * 31.3 + 3.0,
        to="ams1",
        within=SLOW * 31.3,
        look=_at_the_end,
    ),
)
