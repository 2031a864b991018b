"""Other settings for probing: prepared, then committed or aborted (`steerd.config.change`)."""

from collections.abc import Callable
from contextlib import ExitStack

from steerd.probe.error import ProbeError
from steerd.probe.roster import Roll


class ProbeChange:
    """A `StageChange` of probing. What its paths need is open; who is probed changes with the commit, which cannot
    fail.

    Once another change is prepared, which finds open what this one opened, this one is void: to commit it is an error,
    to abort it does nothing.
    """

    def __init__(self, roll: Roll, take_up: Callable[[Roll], Roll], opened: ExitStack) -> None:
        """``take_up`` returns who was probed before; ``opened`` closes what was opened for this."""
        self._roll: Roll | None = roll
        self._take_up = take_up
        self._opened = opened
        self._former: Roll | None = None
        self._void = False

    def expire(self) -> None:
        """Another change was prepared, or probing ends."""
        self._void = True

    async def commit(self) -> None:
        """As `StageChange.commit`: `Roster.call`. Raises `ProbeError` if it is void."""
        roll, self._roll = self._roll, None
        if self._void or roll is None:
            raise ProbeError("this change of probing was committed before, or another took its place")
        self._former = self._take_up(roll)

    async def abort(self) -> None:
        """Probe whom we probed before, at the cadence that each had, and close what was opened."""
        if self._void:
            return
        self._void = True
        if self._former is not None:
            self._take_up(self._former)
        self._opened.close()
