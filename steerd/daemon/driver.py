"""Drives the engine in real time: events in, one timer from its next deadline, effects out to the stages."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

from steerd.core.effects import Cadence, Declined, Fact, Steer, carry_out
from steerd.core.engine import STALL, Engine
from steerd.core.events import Event, Installed, Observed, Order
from steerd.core.memory import Memory
from steerd.core.settings import PolicyId
from steerd.core.views import View
from steerd.faults import Boundary
from steerd.status.stream import Stream

log = logging.getLogger("steerd")

SILENCE: Final = STALL / 2.0
"""Seconds without an event after which a mere wake-up is recorded too: from a longer silence alone a replay could not
tell a quiet time, which the engine went through, from a stall, which it skips."""


class Driver:
    """The engine's hands. ``facts`` tells of what the engine says, ``events`` of each event that it was fed. ``record``
    sees every event before it (None: the engine woke up after a long silence); ``failed`` is told why the engine cannot
    go on; ``on_cadence`` how paths are to be probed: assign it. Wanted routes wait, the latest of each policy, for
    `steering`; ``steering_since`` is when the first try at what is being carried out began."""

    def __init__(
        self,
        engine: Engine,
        *,
        record: Callable[[Event | Observed | None, float], None] = lambda *_: None,
        failed: Callable[[Exception], None] = lambda _: None,
        observing: bool = False,
    ) -> None:
        self.engine = engine
        self.events: Stream[Event] = Stream()
        self.facts: Stream[Fact] = Stream()
        self.on_cadence: Callable[[Cadence], None] = lambda _: None
        self.steering_since: float | None = None
        self._record = record
        self._failed = failed
        self._observing = observing
        self._cadences = Boundary("cadence")
        self._timer: asyncio.TimerHandle | None = None
        self._armed = inf
        self._steers: dict[PolicyId, tuple[Steer, float]] = {}
        self._wanted = asyncio.Event()
        self._declined: str | None = None
        self._recorded_at = -inf

    def feed(self, event: Event | None) -> None:
        """Give the engine an event (None: the time alone), and carry out what it wants."""
        now = time.monotonic()
        if event is not None or now - self._recorded_at > SILENCE:
            self._record(event, now)
            self._recorded_at = now
        try:
            effects = self.engine.feed(event, now)
        except Exception as error:
            self._failed(error)
            raise
        if effects:
            carry_out(effects, self)
        deadline = self.engine.next_deadline()
        if deadline != self._armed:
            self._arm(deadline)
        if event is not None:
            self.events.tell(event)

    def note(self, seen: Observed) -> None:
        """Put on record what the engine does not hear of."""
        self._record(seen, time.monotonic())

    def order(self, order: Order) -> str | None:
        """Give an operator's order. Returns why it was declined, or None."""
        self._declined = None
        self.feed(order)
        return self._declined

    def view(self) -> View:
        """What there is to see of the engine now."""
        return self.engine.view(time.monotonic())

    def summary(self) -> str:
        """The choices, in a line."""
        policies = self.engine.policies.values()
        choices = [f"{policy.id}: {policy.assignment.choice or policy.state}" for policy in policies]
        return ("on paper: " if self._observing else "") + ("; ".join(choices) or "no policies")

    def memory(self) -> Memory:
        """What a restart is not to forget."""
        return self.engine.memory(time.monotonic())

    def stop(self) -> None:
        """No deadline wakes the engine any more."""
        if self._timer is not None:
            self._timer.cancel()

    async def steering(self, steer: Callable[[Steer], Awaitable[Installed]], took: Callable[[float], None]) -> None:
        """Carry out what is wanted, the latest for each policy, one at a time, for ever. ``took`` is told the
        seconds from the decision to the kernel's answer."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._steers:
                policy = next(iter(self._steers))
                wanted, decided = self._steers.pop(policy)
                if policy not in self.engine.policies:
                    self.steering_since = None
                    continue
                self.steering_since = self.steering_since or time.monotonic()
                try:
                    installed = await steer(wanted)
                except Exception:
                    self._steers.setdefault(policy, (wanted, decided))
                    self._wanted.set()  # whoever begins this again is to try again
                    raise
                self.steering_since = None
                seconds = time.monotonic() - decided
                if installed.error is not None and self._overtaken(policy):
                    continue
                if installed.error is not None:
                    log.error("%s: %s (event %s)", policy, installed.error, wanted.event_id)
                self.feed(installed)
                took(seconds)

    def _overtaken(self, policy: PolicyId) -> bool:
        """While the router was about it, a reload took the policy away, or something else was wanted of it: that an old
        wish was not to be had says nothing of the new one."""
        return policy not in self.engine.policies or policy in self._steers

    def cadence(self, wanted: Cadence) -> None:
        """As `steerd.core.effects.Hands`."""
        with self._cadences:
            self.on_cadence(wanted)

    def steer(self, wanted: Steer) -> None:
        """As `steerd.core.effects.Hands`: it waits for `steering`."""
        self._steers[wanted.policy] = (wanted, time.monotonic())
        self._wanted.set()

    def fact(self, fact: Fact) -> None:
        """As `steerd.core.effects.Hands`."""
        if isinstance(fact, Declined):
            self._declined = fact.reason
        self.facts.tell(fact)

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = deadline
        self._timer = asyncio.get_running_loop().call_at(deadline, self._wake) if deadline < inf else None

    def _wake(self) -> None:
        self._armed = inf
        self.feed(None)
