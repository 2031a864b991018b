"""Drives the engine in real time: events in, one timer from its next deadline, effects out to the stages."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Final, assert_never

from steerd.core.effects import Cadence, Declined, Effect, PathChanged, Shared, Steer, Switched
from steerd.core.engine import STALL, Engine
from steerd.core.events import Event, Installed, Order, Shares
from steerd.core.memory import Memory
from steerd.core.settings import PolicyId
from steerd.core.states import PathState, Reason
from steerd.core.views import View

log = logging.getLogger("steerd")

CHATTER: Final = frozenset({PathState.UP, PathState.SUSPECT})
"""States between which a path may go several times a minute: told at debug level."""

SILENCE: Final = STALL / 2.0
"""Seconds without an event after which a mere wake-up is recorded too: from a longer silence alone a replay could not
tell a quiet time, which the engine went through, from a stall, which it skips."""


class Driver:
    """The engine's hands. ``record`` sees every event before the engine does (None: it woke up after a long silence);
    ``fact`` every fact after it;
    ``cadence`` tells the prober. Wanted routes wait, the latest of each policy, for `steering`."""

    def __init__(
        self,
        engine: Engine,
        *,
        record: Callable[[Event | None, float], None],
        cadence: Callable[[Cadence], None],
        fact: Callable[[Switched | PathChanged | Declined], None],
    ) -> None:
        self.engine = engine
        self.steering_since: float | None = None
        self._record = record
        self._cadence = cadence
        self._fact = fact
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
        effects = self.engine.feed(event, now)
        if effects:
            self._carry_out(effects, now)
        deadline = self.engine.next_deadline()
        if deadline != self._armed:
            self._arm(deadline)

    def order(self, order: Order) -> str | None:
        """Give an operator's order. Returns why it was declined, or None."""
        self._declined = None
        self.feed(order)
        return self._declined

    def view(self) -> View:
        return self.engine.view(time.monotonic())

    def memory(self) -> Memory:
        return self.engine.memory(time.monotonic())

    def resting(self) -> bool:
        """Whether the engine wants nothing probed."""
        return all(path.cadence is None or path.cadence.every is None for path in self.engine.paths.values())

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
                    continue
                self.steering_since = time.monotonic()
                installed = await steer(wanted)
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

    def _carry_out(self, effects: Sequence[Effect], now: float) -> None:
        for effect in effects:
            match effect:
                case Cadence():
                    self._cadence(effect)
                case Steer():
                    self._steers[effect.policy] = (effect, now)
                    self._wanted.set()
                case Switched():
                    log.info("%s", _sentence(effect))
                    self._fact(effect)
                case Shared():
                    log.info("%s: shared by %s: %s", effect.policy, _shares(effect.new), effect.why)
                case PathChanged():
                    level = logging.DEBUG if {effect.old, effect.new} <= CHATTER else logging.INFO
                    log.log(level, "%s is %s: %s", effect.path, effect.new, effect.reason)
                    self._fact(effect)
                case Declined():
                    self._declined = effect.reason
                    log.warning("declined: %s (%s)", effect.reason, type(effect.event).__name__)
                    self._fact(effect)
                case _:
                    assert_never(effect)

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = deadline
        self._timer = asyncio.get_running_loop().call_at(deadline, self._wake) if deadline < inf else None

    def _wake(self) -> None:
        self._armed = inf
        self.feed(None)


def _shares(shares: Shares) -> str:
    return ", ".join(f"{share.path} {share.part * 100:.0f} %" for share in shares) or "nobody else"


def _sentence(switched: Switched) -> str:
    """The journal's line of a switch: from where, to where, and why."""
    where = f"{switched.old or 'nothing'} -> {switched.new or 'blocked'}"
    return f"{switched.policy}: {where}: {_because(switched)}, event {switched.event_id}"


def _because(switched: Switched) -> str:
    gain = switched.margin.get("gain")
    if gain is not None:
        # What was paid decides for some rules: what is believed by now may be level again.
        said = f"{gain:.1f} ms cheaper" if gain > 0.0 else "cheaper lately"
        return f"{said} (rule: {switched.rule})"
    by = f" ({switched.by})" if switched.by else ""
    old, why = switched.old, None if switched.old is None else switched.excluded.get(switched.old)
    match switched.reason:
        case Reason.START:
            return "the first choice"
        case Reason.KERNEL:
            return "the kernel has it so"
        case Reason.PIN:
            return f"pinned{by}"
        case Reason.UNDRAIN:
            return "a drain ended"
        case Reason.BETTER:
            return "it is usable again"
        case Reason.DRAIN:
            return why or f"drained{by}"
        case Reason.DOWN | Reason.ABSENT:
            return f"{old} is {why or switched.reason}"
        case Reason.POLICY:
            return f"{old} may not be used" + (f": {why}" if why else "")
        case _:
            assert_never(switched.reason)
