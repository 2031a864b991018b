"""Deciding: where each policy is to go, what is asked of the kernel and of the prober for it.

A decision is forced (`_leave`) or a matter of price (the policy's rule). Either way it is one effect for the
kernel (`Steer`, wanted state) and one for everybody else (`Switched`, a fact with its evidence).
"""

from math import inf
from typing import Final

from steerd.core.model import (
    Declined,
    Effect,
    Event,
    PolicyState,
    Reason,
    Shared,
    Shares,
    Switched,
    Terms,
)
from steerd.core.orders import Drains
from steerd.core.path import Path
from steerd.core.policy import Policy
from steerd.core.settings import PathId, PolicyId, Settings, WhenNone

ANSWER_WITHIN: Final = 10.0
"""A `Steer` that was not answered by an `Installed` for so long, in seconds, is asked again."""


class Decisions:
    """The state that decisions are made on, and the making. Time is an argument; events are the engine's."""

    def __init__(self, settings: Settings, *, epoch: int, first_choice_by: float) -> None:
        self.settings = settings
        self.epoch = epoch
        self.paths: dict[PathId, Path] = {}
        self.policies: dict[PolicyId, Policy] = {}
        self.drains = Drains()
        self.declined: dict[str, int] = {}
        self._first_choice_by = first_choice_by
        self._events = 0
        self._effects: list[Effect] = []
        self._stranded: set[PolicyId] = set()  # forced to leave, and not gone yet

    def _reconsider(self, now: float) -> None:
        """Orders changed: they act at once."""
        for policy in self.policies.values():
            policy.stale_at = -inf
            self._look(policy, now, None)
        self._cadences()

    def _reconsider_stranded(self, now: float) -> None:
        for id_ in sorted(self._stranded):
            self._look(self.policies[id_], now, None)

    def _look(self, policy: Policy, now: float, dt: float | None) -> None:
        """Decide for one policy. ``dt``: a round ended, that covered so many seconds; None: something forced a
        look in between."""
        if not self._may_stay(policy, now, dt):
            return
        if dt is not None:
            policy.refresh(self.drains, now)
            if policy.current is not None:
                verdict = policy.rule.observe(policy.field, policy.current, dt, now)
                if verdict is not None and policy.pending_since is None and not policy.dwell(now):
                    self._move(policy, verdict.to, Reason.BETTER, verdict.rule, verdict.margin, now)
                    return
            self._keep_up(policy, now)
        if policy.spread.active:
            self._share(policy, now)

    def _may_stay(self, policy: Policy, now: float, dt: float | None) -> bool:
        """Whether nothing forces the policy to leave where it is; if something does, it is acted on."""
        reason = policy.forced(self.drains, now)
        if reason is not None:
            if reason is not Reason.START or (dt is not None and self._may_start(policy, now)):
                self._leave(policy, reason, now)
            return False
        self._stranded.discard(policy.id)
        policy.state = PolicyState.STEERING
        return True

    def _may_start(self, policy: Policy, now: float) -> bool:
        """The first choice waits until every path had its chance to answer, where the engine keeps the time."""
        if self.settings.round <= 0.0 or now >= self._first_choice_by:
            return True
        return all(path.cost < inf or path.missed or path.health.gone for path in policy.paths.values())

    def _leave(self, policy: Policy, reason: Reason, now: float) -> None:
        """The current choice can not stay: take the cheapest path there is, or say why none is."""
        target = policy.target(reason, self.drains, now)
        if target is not None:
            if policy.returning(now):
                return
            if policy.awaits(target, reason, self.drains, now, ignore_below=self.settings.ignore_below):
                self._stranded.add(policy.id)  # looked at with every answer
                return
            self._stranded.discard(policy.id)
            rule = "first" if reason is Reason.START else "forced"
            self._move(policy, target.id, self._returns(policy, reason), rule, {}, now)
            return
        self._stranded.add(policy.id)
        if policy.wanted is None:
            return
        hard = policy.pin is not None and policy.pin.hard
        if policy.local_outage(reason):
            policy.state = PolicyState.LOCAL_OUTAGE
            policy.outage_over = None
        elif hard or policy.settings.when_none is WhenNone.KEEP or not policy.hopeless(self.drains, now):
            policy.state = PolicyState.HELD
        else:
            policy.blocked_by = reason
            self._move(policy, None, reason, "forced", {}, now)
            policy.state = PolicyState.BLOCKED

    def _returns(self, policy: Policy, reason: Reason) -> Reason:
        """Coming back from blocked is an undrain or a recovery, not a start."""
        if policy.wanted is None and policy.blocked_by is not None:
            policy.blocked_by = None
            return Reason.UNDRAIN if reason is Reason.DRAIN else Reason.BETTER
        return reason

    def _move(self, policy: Policy, to: PathId | None, reason: Reason, rule: str, margin: Terms, now: float) -> None:
        old, policy.wanted = policy.wanted, to
        shared = policy.spread.shares
        policy.spread.renew(self.drains, now)
        policy.wanted_runner = policy.second(policy.paths[to], self.drains, now) if to is not None else None
        policy.state = PolicyState.STEERING
        policy.since = now
        policy.stale_at = -inf
        self._announce(policy, old, reason, rule, margin, now)
        policy.rule.moved(policy.field)
        self._tell_shares(policy, shared, now)
        self._effects.append(policy.ask(now))
        self._cadences()

    def _share(self, policy: Policy, now: float) -> None:
        """Have other paths take part in the policy's traffic, where that is due."""
        shared = policy.spread.shares
        if policy.wanted is None or policy.refused(policy.wanted, now) or not policy.spread.review(self.drains, now):
            return
        policy.wanted_runner = policy.second(policy.paths[policy.wanted], self.drains, now)
        self._tell_shares(policy, shared, now)
        self._effects.append(policy.ask(now))
        self._cadences()

    def _tell_shares(self, policy: Policy, old: Shares, now: float) -> None:
        new = policy.spread.shares
        if new != old:
            self._effects.append(Shared(policy.id, old, new, self._why_shared(policy, old, now), now))

    def _why_shared(self, policy: Policy, old: Shares, now: float) -> str:
        spread = policy.spread
        reasons = [f"{share.path} joins" for share in spread.shares if all(one.path != share.path for one in old)]
        for path in (share.path for share in old if not spread.uses(share.path)):
            why = policy.excluded(path, self.drains, now) if path in policy.paths else "not configured"
            reasons.append(f"{path} leaves" + (f" ({why})" if why else ""))
        return ", ".join(reasons) or "costs changed"

    def _announce(
        self, policy: Policy, old: PathId | None, reason: Reason, rule: str, margin: Terms, now: float
    ) -> None:
        self._events += 1
        policy.event_id = f"{self.epoch}-{self._events}"
        evidence: dict[PathId, Terms] = {}
        excluded: dict[PathId, str] = dict(policy.forbidden)
        for path in policy.paths.values():
            if path.samples:
                regret = policy.standings[path.id].regret
                evidence[path.id] = {
                    **policy.terms(path.id),
                    "samples": float(path.samples),
                    **policy.shown(path.id),
                    **({} if regret is None else {"regret": regret}),
                }
            why = policy.passed_over(path.id, self.drains, now)
            if why is not None:
                excluded[path.id] = why
        policy.last = Switched(
            policy.event_id, policy.id, old, policy.wanted, reason, now, rule, evidence, excluded, margin,
            self._ordered_by(policy, old, reason),
        )  # fmt: skip
        self._effects.append(policy.last)

    def _ordered_by(self, policy: Policy, old: PathId | None, reason: Reason) -> str | None:
        """Whose order the switch obeys, if any."""
        if reason is Reason.PIN:
            return policy.pin.origin if policy.pin is not None else None
        if reason is Reason.DRAIN and old is not None and old in policy.paths:
            return self.drains.origin(policy.paths[old].pop) or None
        return None

    def _keep_up(self, policy: Policy, now: float) -> None:
        """Ask again for what was not answered, and replace a runner-up that can no longer do its work."""
        if policy.wanted is None or policy.refused(policy.wanted, now):
            return
        if policy.pending_since is not None:
            if now - policy.pending_since < ANSWER_WITHIN:
                return
        elif policy.runner_up_serves(self.drains):
            return
        else:
            second = policy.second(policy.paths[policy.wanted], self.drains, now)
            if second == policy.wanted_runner:
                return
            policy.wanted_runner = second
        self._effects.append(policy.ask(now))

    def _cadences(self) -> None:
        if self.settings.round <= 0.0:
            return  # the driver brings samples of its own: nobody probes
        chosen: set[PathId] = set()
        doubted: list[Policy] = []
        for policy in self.policies.values():
            current = self.paths.get(policy.wanted) if policy.wanted is not None else None
            if current is None:
                continue
            chosen.add(current.id)
            chosen.update(share.path for share in policy.spread.shares)
            if current.health.doubted:
                doubted.append(policy)
        urgent = {path for policy in doubted for path in policy.paths if not policy.paths[path].health.gone}
        for path in self.paths.values():
            path.urgent = path.id in urgent
            cadence = path.wants(chosen=path.id in chosen)
            if cadence is not None:
                self._effects.append(cadence)

    def _decline(self, event: Event, reason: str) -> None:
        self.declined[reason] = self.declined.get(reason, 0) + 1
        self._effects.append(Declined(event, reason))
