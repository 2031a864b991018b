"""Switches that wait for the broker, while the clock is set."""

import asyncio
from typing import Any

import pytest

from steerd.config.settings import MqttSettings
from steerd.core.views import View
from steerd.share.gateway import EVENT_EXPIRY, Share
from tests.unit.test_store import switched

YEAR = 365 * 86_400.0
SETTINGS = MqttSettings("127.0.0.1", 1883, False, "acme", "gw1", "eu", None, None, None, None, None, 10.0)


class Clocks:
    def __init__(self) -> None:
        self.wall, self.monotonic = 60.0, 1e7


class Said:
    """What a session was given to publish: topic and expiry."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, float]] = []

    async def publish(self, topic: str, message: Any, *, expiry: float, **_: Any) -> None:
        if topic.endswith("/event"):
            self.events.append((message, expiry))


def share(clocks: Clocks) -> Share:
    return Share(
        SETTINGS,
        epoch=7,
        pops=(),
        snapshot=lambda: View(0.0, 7, (), (), (), {}),
        on_pop_state=lambda _: None,
        refuse=lambda *_: None,
        on_connected=lambda _: None,
        on_message=lambda _: None,
        draw=lambda: 0.5,
        wall=lambda: clocks.wall,
        clock=lambda: clocks.monotonic,
    )


@pytest.mark.parametrize("step", [0.0, 56 * YEAR, -60.0, 2 * EVENT_EXPIRY])
def test_what_waits_is_said_whatever_the_clock_is_set_to(step: float) -> None:
    clocks, said = Clocks(), Said()
    one = share(clocks)
    one.fact(switched(1))
    clocks.wall += step  # a machine without a battery learns the time after it has learned the way
    clocks.monotonic += 30.0
    asyncio.run(one.publish(said, anew=True))  # type: ignore[arg-type]
    assert [(event.ts_ms, expiry) for event, expiry in said.events] == [(60_000, EVENT_EXPIRY - 30.0)]


def test_what_waited_for_an_hour_is_not_said() -> None:
    clocks, said = Clocks(), Said()
    one = share(clocks)
    one.fact(switched(1))
    clocks.monotonic += EVENT_EXPIRY + 1.0
    asyncio.run(one.publish(said, anew=True))  # type: ignore[arg-type]
    assert said.events == []
    assert not one.events
