"""What comes out of the engine: wanted state, and facts."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from steerd.core.events import Event, Shares
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import PathState, PolicyState, Reason

# Wanted state: idempotent, the latest replaces the former.


class Cadence(NamedTuple):
    """Probe ``path`` every ``every`` seconds (None: rest); a probe unanswered for ``patience`` seconds is
    overdue."""

    path: PathId
    every: float | None
    patience: float


class Steer(NamedTuple):
    """Point the policy at ``best``, and as ``shares`` say at others too; None: nothing may be used, and the policy is
    to be blocked."""

    policy: PolicyId
    best: PathId | None
    runner_up: PathId | None
    event_id: str
    shares: Shares = ()


# Facts: journal, store, metrics and MQTT word them for themselves.

Terms = Mapping[str, float]


class Switched(NamedTuple):
    """A choice changed.

    ``rule`` says by what: a member of the panel by its name, ``threshold``, ``forced``, ``first`` or ``kernel``.
    ``evidence`` gives per candidate the cost's terms, ``total``, and what else the rule looked at, in ms
    (``regret`` in ms*s, ``samples`` a count, ``mos`` from 1 to 4.5); ``excluded`` the paths that were ruled out,
    and why; ``margin`` what the rule's test compared; ``by`` whose drain or pin it was.
    """

    event_id: str
    policy: PolicyId
    old: PathId | None
    new: PathId | None
    reason: Reason
    at: float
    rule: str
    evidence: Mapping[PathId, Terms]
    excluded: Mapping[PathId, str]
    margin: Terms
    by: str | None = None


class PathChanged(NamedTuple):
    """A path's health is another. ``used_by``: the policies that want it now."""

    path: PathId
    old: PathState
    new: PathState
    reason: str
    at: float
    used_by: tuple[PolicyId, ...] = ()


class PolicyChanged(NamedTuple):
    """Whether a policy's traffic can be carried is another matter now: an outage begins, ends, or is of another kind.
    ``why`` in words, where it cannot."""

    policy: PolicyId
    old: PolicyState
    new: PolicyState
    why: str
    at: float


class Shared(NamedTuple):
    """Other paths than before share a policy's traffic, or in other parts. ``why`` in words."""

    policy: PolicyId
    old: Shares
    new: Shares
    why: str
    at: float


class Declined(NamedTuple):
    """A known event that was not acted on, and why: counted, never silent."""

    event: Event
    reason: str


Fact = Switched | PathChanged | PolicyChanged | Shared | Declined
Effect = Cadence | Steer | Fact


class Hands(Protocol):
    """Who carries out what the engine wants, and hears what it tells: a daemon, a replay, a simulation."""

    def cadence(self, wanted: Cadence) -> None: ...

    def steer(self, wanted: Steer) -> None: ...

    def fact(self, fact: Fact) -> None: ...


def carry_out(effects: Iterable[Effect], hands: Hands) -> None:
    """Give each effect to the hand that it is for, in order."""
    for effect in effects:
        if isinstance(effect, Cadence):
            hands.cadence(effect)
        elif isinstance(effect, Steer):
            hands.steer(effect)
        else:
            hands.fact(effect)
