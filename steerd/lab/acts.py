"""The demo's script: what happens to the PoPs, and what the daemon has to do about it."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from steerd.lab.script import Act
from steerd.lab.world.world import TENANT, World

INTERVAL: Final = "200ms"
RATE: Final = 100.0
"""The users' datagrams a second, in each family."""


def _fra1(**conditions: Any) -> Callable[[World], None]:
    return lambda world: world.pops["fra1"].set(**conditions)


def _ams1_accepts(accepting: bool) -> Callable[[World], None]:
    """Over MQTT: first that it does not, then that it does again."""
    state = {"v": 1, "pop": "ams1", "epoch": 1, "seq": 1 + accepting, "accepting": accepting}
    return lambda world: world.broker.publish(f"steer/v1/{TENANT}/pop/ams1/state", state)


def _burst(world: World) -> None:
    """15 ms more for 2.5 s is 37.5 ms*s: less than half of a price of 100 ms*s."""
    now = time.monotonic()
    world.pops["ams1"].set(delay_ms=45.0, jitter_ms=15.0, at=now)
    world.pops["ams1"].set(delay_ms=30.0, jitter_ms=0.0, at=now + 2.5)


# In simulations of this script (tests/scenarios/price.toml has the like) the brown-out is left after 2.4 s, and 10 ms
# less are followed after 8 s.
SCRIPT: Final[Sequence[Act[World]]] = (
    Act("calm", "four PoPs at 20, 30, 40 and 90 ms", lambda _: None, 6.0),
    Act("brown-out", "fra1, in use, becomes 40 ms slower", _fra1(delay_ms=60.0), 8.0, to="ams1", within=3.0),
    Act("recovery", "fra1 is as fast as before", _fra1(delay_ms=20.0), 16.0, to="fra1", within=15.0),
    Act("outage", "fra1, in use, answers nothing", _fra1(dead=True), 4.0, to="ams1", within=1.0, lost_max=1.0),
    Act("drain", "ams1, in use, tells MQTT that it stops accepting", _ams1_accepts(False), 4.0, to="par1", within=1.0),
    Act("undrain", "ams1 accepts again", _ams1_accepts(True), 16.0, to="ams1", within=15.0),
    Act("jitter burst", "ams1, in use: 15 ms more and as much jitter, for 2.5 s; half a price", _burst, 10.0),
)
