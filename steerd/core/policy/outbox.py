"""What the engine says: effects, until they are taken; switches with the evidence that they were made on."""

from collections.abc import Sequence

from steerd.core.effects import Declined, Effect, PolicyChanged, Shared, Terms
from steerd.core.events import Event, Shares
from steerd.core.policy.announcement import switch, why_shared
from steerd.core.policy.eligibility import Eligibility
from steerd.core.policy.policy import Policy
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import PolicyState, Reason


class Outbox:
    """``epoch`` makes event ids unique over restarts; ``declined`` counts the events not acted upon, by reason."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.declined: dict[str, int] = {}
        self._events = 0
        self._states: dict[PolicyId, PolicyState] = {}
        self._effects: list[Effect] = []

    def taken(self) -> Sequence[Effect]:
        """The effects since the last call."""
        effects = self._effects
        if effects:
            self._effects = []
        return effects

    def tell(self, effect: Effect) -> None:
        """Keep this until it is taken."""
        self._effects.append(effect)

    def decline(self, event: Event, reason: str) -> None:
        """A known event was not acted upon."""
        self.declined[reason] = self.declined.get(reason, 0) + 1
        self.tell(Declined(event, reason))

    def switched(
        self, policy: Policy, eligible: Eligibility, old: PathId | None, reason: Reason, rule: str, margin: Terms
    ) -> None:
        """The policy went from ``old`` to what it wants now; ``margin``: what ``rule`` compared."""
        self._events += 1
        switched = switch(f"{self.epoch}-{self._events}", policy, eligible, old, reason, rule, margin)
        policy.announced(switched)
        self.tell(switched)

    def enter(
        self, policy: Policy, state: PolicyState, now: float, why: str = "", *, blocked_by: Reason | None = None
    ) -> None:
        """The policy is in this state from now on, ``why`` in words."""
        policy.enter(state, blocked_by=blocked_by)
        before = self._states.get(policy.id, PolicyState.NONE)
        if state is not before:
            self._states[policy.id] = state
            self.tell(PolicyChanged(policy.id, before, state, why, now))

    def shared(self, policy: Policy, old: Shares, eligible: Eligibility) -> None:
        """Other paths than ``old`` may share the policy's traffic."""
        new = policy.spread.shares
        if new != old:
            self.tell(Shared(policy.id, old, new, why_shared(old, new, eligible), eligible.now))
