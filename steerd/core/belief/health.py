"""Up, suspect, down, recovering, absent: detection of failure and damping of return.

The rules of this file:

1. A path goes down only by `CONFIRMATIONS` overdue probes in a row on one leg, over at least its
   ``down_after``. Any answer cancels. Lost probes, errors and local failures take nobody down.
2. A device that goes makes its path absent at once; one that comes back makes it prove itself.
3. What is known of its tunnel makes a path suspect, never down. Any answer proves the contrary. So does it that this
   machine sends it no probes: what is not measured is not healthy, and not dead either.
4. A path that was down answers for `RECOVERY` seconds, at least `RECOVERY_REPLIES` times and without an
   overdue probe, before it is up; then it ranks behind others for its hold-down. The hold-down ranks, it
   never forbids.
5. Hold-downs grow with each relapse, and the memory of them halves every `HOLD_MEMORY` seconds. An address that is
   renewed, while the device stays up, is no relapse.
"""

from collections.abc import Callable
from enum import StrEnum, auto
from math import inf, log2
from typing import Final

from steerd.core.states import PathState

UP, SUSPECT, DOWN = PathState.UP, PathState.SUSPECT, PathState.DOWN
RECOVERING, ABSENT = PathState.RECOVERING, PathState.ABSENT
# Names of their own: to look a member up costs a call each time, and every loss asks for several.

CONFIRMATIONS: Final = 3
RECOVERY: Final = 3.0
RECOVERY_REPLIES: Final = 3
HOLD_BASE: Final = 8.0
HOLD_MAX: Final = 600.0
HOLD_MEMORY: Final = 600.0
RENEWAL: Final = 5.0
"""Seconds: an address or next hop that is back so soon on a device that stayed up was renewed, as DHCP does."""
HOLD_JITTER: Final = 0.1
"""The share of a hold-down that is drawn at random, so that gateways do not return in step."""


class Signal(StrEnum):
    """What can happen to a path's health."""

    DOUBTED = auto()  # a first probe is overdue
    STALE = auto()  # its tunnel seems dead
    UNASKED = auto()  # this machine sends it no probes
    ANSWERED = auto()  # every leg answers
    CONFIRMED = auto()  # enough probes in a row are overdue
    PROVEN = auto()  # has answered long enough
    UNPLUGGED = auto()
    PLUGGED = auto()


TRANSITIONS: Final[dict[tuple[PathState, Signal], PathState]] = {
    (UP, Signal.DOUBTED): SUSPECT,
    (UP, Signal.STALE): SUSPECT,
    (UP, Signal.UNASKED): SUSPECT,
    (UP, Signal.UNPLUGGED): ABSENT,
    (SUSPECT, Signal.ANSWERED): UP,
    (SUSPECT, Signal.CONFIRMED): DOWN,
    (SUSPECT, Signal.UNPLUGGED): ABSENT,
    (DOWN, Signal.ANSWERED): RECOVERING,
    (DOWN, Signal.UNPLUGGED): ABSENT,
    (RECOVERING, Signal.CONFIRMED): DOWN,
    (RECOVERING, Signal.PROVEN): UP,
    (RECOVERING, Signal.UNPLUGGED): ABSENT,
    (ABSENT, Signal.PLUGGED): DOWN,
}
"""Every legal transition; a pair that is missing changes nothing."""


class Health:
    """The health of one path over its ``legs`` targets. ``draw`` gives a number from 0 to 1."""

    def __init__(self, *, legs: int, down_after: float, now: float, draw: Callable[[], float]) -> None:
        self.state = SUSPECT
        self.reason = "nothing heard yet"
        self.since = now
        self.down_after = down_after
        self.doubted_at: float | None = None  # when the first probe of the present silence had been sent
        self.stale = ""  # why its tunnel seems dead, as long as nothing proves the contrary
        self.blind = False  # whether this machine sends it no probes
        self.hold_until = now
        self.hold_length = 0.0
        self.hold_at = now
        self._runs = [0] * legs
        self._replies = 0
        self._proven = now
        self._renewing = -inf  # when its address or next hop went, while its device stayed up
        self._renewed = False
        self._draw = draw

    def configure(self, down_after: float) -> None:
        """Be at least so many seconds without an answer before the path counts as down."""
        self.down_after = down_after

    def answered(self, leg: int, now: float) -> bool:
        """A leg answered a probe. True if the state changed."""
        self.stale = ""
        self.blind = False
        if self.state is UP:
            return False
        self._runs[leg] = 0
        if any(self._runs):
            return False
        if self.state is SUSPECT:
            self.doubted_at = None
            return self._go(Signal.ANSWERED, "answers", now)
        if self.state is DOWN:
            self.doubted_at = None
            self._replies = 1
            self._proven = now + RECOVERY
            return self._go(Signal.ANSWERED, "answers again", now)
        if self.state is not RECOVERING:
            return False
        self.doubted_at = None
        self._replies += 1
        if self._replies >= RECOVERY_REPLIES and now >= self._proven:
            self._hold(now)
            return self._go(Signal.PROVEN, f"answered for {RECOVERY:g} s; ranks last for {self.held(now):.0f} s", now)
        return False

    def overdue(self, leg: int, sent_at: float, now: float) -> bool:
        """A probe is unanswered after the path's patience. True if the state changed."""
        self.blind = False
        if self.state in (ABSENT, DOWN):
            return False
        self._runs[leg] += 1
        if self.doubted_at is None:
            self.doubted_at = sent_at
        changed = False
        if self.state is RECOVERING:
            self._replies = 0
            self._proven = now + RECOVERY
        elif self.state is UP:
            changed = self._go(Signal.DOUBTED, "a probe is overdue", now)
        silent = now - self.doubted_at
        if max(self._runs) >= CONFIRMATIONS and silent >= self.down_after:
            self._renewed = False
            return self._go(Signal.CONFIRMED, f"{max(self._runs)} probes in a row unanswered over {silent:.2f} s", now)
        return changed

    def tunnel(self, stale: str, now: float) -> bool:
        """The path's tunnel seems dead, and why; or (empty) no longer. True if the state changed."""
        self.stale = stale
        return bool(stale) and self._go(Signal.STALE, stale, now)

    def unasked(self, leg: int, now: float, *, every: bool) -> bool:
        """This machine sends a leg no probes, or none to ``every`` leg of the path. True if the state changed."""
        self._runs[leg] = 0
        self.blind = every and self.state in (UP, SUSPECT)
        return every and self._go(Signal.UNASKED, "not measured: this machine does not send its probes", now)

    def link(self, up: bool, now: float, why: str = "", *, device: bool = False) -> bool:
        """Packets can be routed to the path (``up``), or no longer, and why, in words; ``device``: the device itself
        stayed up. True if the state changed."""
        self.stale = ""
        if up:
            self._renewed = now - self._renewing <= RENEWAL
            return self._go(Signal.PLUGGED, "its device is back; nothing heard yet", now)
        why = why or "its device is down or not there, or the kernel refuses its next hop"
        if self.state is ABSENT:
            self.reason = why
            self._renewing = self._renewing if device else -inf
        elif self.state is not DOWN:
            self._renewing = now if device else -inf
        return self._go(Signal.UNPLUGGED, why, now)

    def held(self, now: float) -> float:
        """How much longer the path ranks behind others, in seconds."""
        return max(0.0, self.hold_until - now)

    def relapses(self, now: float) -> float:
        """How far the path is to be doubted for having been down: its hold-downs so far, of which the first counts 1
        and each longer one up to 1 more, fading evenly to 0 until its hold-down ends."""
        left, length = self.hold_until - now, self.hold_length
        return log2(1.0 + length / HOLD_BASE) * min(1.0, left / length) if left > 0.0 < length else 0.0

    def restore(self, *, length: float, age: float, left: float, now: float) -> None:
        """Take up the damping that an earlier run remembered."""
        self.hold_length, self.hold_at, self.hold_until = length, now - age, now + left

    @property
    def gone(self) -> bool:
        """Whether the path can carry nothing."""
        return self.state in (DOWN, ABSENT)

    @property
    def doubted(self) -> bool:
        """Whether it is to be found out soon if the path is dead."""
        if self.state is RECOVERING:
            return False
        return self.doubted_at is not None or (self.state is SUSPECT and self.stale != "")

    @property
    def explanation(self) -> str:
        """Why it is in this state, with what has been learnt of its tunnel since."""
        return f"{self.reason}; {self.stale}" if self.stale not in ("", self.reason) else self.reason

    @property
    def answering(self) -> bool:
        """Whether probes come back, be it trusted yet or not."""
        return self.state in (UP, RECOVERING)

    def _hold(self, now: float) -> None:
        remembered = self.hold_length * 0.5 ** (max(0.0, now - self.hold_at) / HOLD_MEMORY)
        length = HOLD_BASE if self._renewed else min(HOLD_MAX, HOLD_BASE + 2.0 * remembered)
        length *= 1.0 - HOLD_JITTER * self._draw()
        self.hold_length = max(length, remembered) if self._renewed else length
        self.hold_at = now
        self.hold_until = now + length

    def _go(self, signal: Signal, reason: str, now: float) -> bool:
        new = TRANSITIONS.get((self.state, signal))
        if new is None:
            return False
        if new in (DOWN, ABSENT):
            # A path that fell silent is heard again when every leg has answered; after its device was away, any does.
            self._runs = [int(signal is Signal.CONFIRMED)] * len(self._runs)
        self.state, self.reason, self.since = new, reason, now
        return True
