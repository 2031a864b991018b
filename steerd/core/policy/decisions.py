"""Deciding: where each policy is to go, what is asked of the kernel and of the prober for it.

A decision is forced (`_leave`) or a matter of price (the policy's rule). Either way it is one effect for the
kernel (`Steer`, wanted state) and one for everybody else (`Switched`, a fact with its evidence).
"""

from collections.abc import Callable, Mapping
from math import inf
from typing import Final

from steerd.core.belief.path import Path
from steerd.core.effects import Terms
from steerd.core.events import Installed
from steerd.core.policy import failover
from steerd.core.policy.announcement import why_stranded
from steerd.core.policy.assignment import Answer
from steerd.core.policy.cadences import Cadences
from steerd.core.policy.drains_and_pins import Drains
from steerd.core.policy.eligibility import Eligibility
from steerd.core.policy.outbox import Outbox
from steerd.core.policy.policy import Policy
from steerd.core.rules.rule import Verdict
from steerd.core.settings import PathId, PolicyId, Settings, WhenNone
from steerd.core.states import PolicyState, Reason

POSTPONED: Final = 1.0
"""Seconds: for so long a move away from a silent path may wait for the rival's answer."""

ANSWER_WITHIN: Final = 10.0
"""A `Steer` that was not answered by an `Installed` for so long, in seconds, is asked again."""


class Decisions:
    """The policies, and what becomes of them. ``stranded``: policies that have to leave and found nowhere to go yet;
    ``postponed``: moves that wait for the rival's answer."""

    def __init__(self, settings: Settings, drains: Drains, *, epoch: int, draw: Callable[[], float]) -> None:
        self.out, self._draw = Outbox(epoch), draw
        self.paths: Mapping[PathId, Path] = {}
        self.policies: dict[PolicyId, Policy] = {}
        self.stranded: set[PolicyId] = set()
        self._settings = settings
        self._drains = drains
        self._heard_by = inf
        self.postponed: dict[PolicyId, tuple[Verdict, float]] = {}
        self.cadences = Cadences()

    def configure(self, settings: Settings, paths: Mapping[PathId, Path], *, anew: bool, heard_by: float) -> None:
        """Take new settings; ``anew``: the rule is another one. ``heard_by``: when a policy without a choice takes what
        there is, whoever was not heard yet."""
        policies: dict[PolicyId, Policy] = {}
        for wanted in settings.policies:
            policy = self.policies.get(wanted.policy)
            if policy is None:
                policy = Policy(wanted, settings, paths, self._draw)
            else:
                policy.configure(wanted, settings, paths, anew=anew)
            policies[wanted.policy] = policy
        self.policies, self.paths, self._settings = policies, paths, settings
        self.stranded &= set(policies)
        self._heard_by = inf if settings.offline else heard_by

    def installed(self, event: Installed, now: float) -> None:
        """The kernel's word: belief follows it."""
        policy = self.policies.get(event.policy)
        if policy is None:
            return self.out.decline(event, "unknown policy")
        old = policy.assignment.wanted
        answer = policy.assignment.installed(event, now)
        policy.expire()
        if answer is Answer.TAKEN:  # by somebody, or with its device: ask again, but not for what was merely kept
            return self.look(policy, now) if old in policy.forbidden else self.out.tell(policy.ask(now))
        if answer is not Answer.OTHER:
            return None
        first = old is None and policy.last is None and event.error is None
        policy.adopted(now)
        if first:
            self.out.enter(policy, PolicyState.STEERING, now)
        elif old != event.best:
            self.out.switched(policy, policy.eligibility(self._drains, now), old, Reason.KERNEL, "kernel", {})
        self.look(policy, now)
        return self.ask_cadences()

    def ask_cadences(self, path: Path | None = None) -> None:
        """Ask the prober for what is wanted of ``path``, or of all."""
        if self._settings.offline:
            return  # the driver brings samples of its own: nobody probes
        policies, scouts_every = self.policies.values(), self._settings.scout_interval
        for cadence in self.cadences.wanted(path, self.paths.values(), policies, self.stranded, scouts_every):
            self.out.tell(cadence)

    def next_expiry(self) -> float:
        """When the next order ends, or the wait for first answers; inf: nothing does by itself."""
        pins = (policy.pin.until for policy in self.policies.values() if policy.pin is not None)
        return min([self._heard_by, self._drains.next_expiry(), *(until for until in pins if until is not None)])

    def expire(self, now: float) -> None:
        """Orders, or those who have not answered yet, have had their time."""
        ended = self._drains.expire(now)
        if self._heard_by <= now:
            self._heard_by, ended = inf, True
        for policy in self.policies.values():
            if policy.pin is not None and policy.pin.until is not None and policy.pin.until <= now:
                policy.pinned(None)
                ended = True
        if ended:
            self.reconsider(now)

    # When to look

    def reconsider(self, now: float) -> None:
        """Orders or settings changed: they act at once."""
        for policy in self.policies.values():
            policy.expire()
            self.look(policy, now)
        self.ask_cadences()

    def answered(self, now: float) -> None:
        """Somebody answered."""
        for id_ in sorted(self.stranded):
            self.look(self.policies[id_], now)
        for id_, (verdict, until) in list(self.postponed.items()):
            policy = self.policies.get(id_)
            if policy is None or now > until or verdict.to not in policy.paths:
                del self.postponed[id_]
            elif policy.proven(verdict.to) and policy.eligibility(self._drains, now).excluded(verdict.to) is None:
                self._better(policy, verdict, now)

    def health_changed(self, path: Path, now: float, *, doubt: bool) -> None:
        """A path's health changed; ``doubt``: no further than between up and suspect."""
        for policy in self.policies.values():
            stranded = policy.id in self.stranded
            if path.id not in policy.paths or (doubt and not self._drains and policy.settled and not stranded):
                continue
            policy.expire()
            used = policy.assignment.wanted == path.id or policy.spread.uses(path.id)
            if stranded or policy.last is None or (used and (path.health.gone or path.health.blind)):
                self.look(policy, now)

    def heard(self, path: Path) -> None:
        """A probe of a path that carries our own traffic may have been answered."""
        for policy in self.policies.values():
            policy.heard(path)

    def end_round(self, dt: float, now: float) -> None:
        """A round ended that covered ``dt`` seconds; 0: nothing was measured in it, so it counts for nothing."""
        for policy in self.policies.values():
            if policy.loaded:
                policy.learn(now)
            here, candidates = policy.here, policy.candidates
            if here is not None and now < candidates.stale_at and policy.assignment.pending_since is None:
                verdict = policy.rule.observe(candidates.shown, here, dt, now)
                if verdict is not None and policy.follows(verdict.to, dt, now):
                    self._better(policy, verdict, now)
                elif policy.spread.active:
                    self._share(policy, policy.eligibility(self._drains, now))
            else:
                self._end_round(policy, dt, now)

    def look(self, policy: Policy, now: float) -> None:
        """Something forced a look between two rounds."""
        eligible = policy.eligibility(self._drains, now)
        # The very first choice does not wait for the round to end: who is probed each two minutes has long rounds.
        start = policy.last is None and not self._settings.offline and self._may_start(policy)
        if self._may_stay(policy, eligible, start=start) and policy.spread.active:
            self._share(policy, eligible)

    def carry(self, now: float) -> None:
        """What policies' own traffic amounts to has changed, or some time has gone by."""
        for policy in self.policies.values():
            policy.carry(now)

    # What is decided

    def _may_stay(self, policy: Policy, eligible: Eligibility, *, start: bool) -> bool:
        """Whether nothing forces the policy to leave where it is; if something does, it is acted on. ``start``: it may
        make its first choice."""
        if eligible.wanted is None:
            if policy.blocked_by is not None:
                self._leave(policy, eligible, policy.blocked_by)
            elif start:
                self._leave(policy, eligible, Reason.START)
            return False
        reason = failover.forced(eligible)
        if reason is not None:
            self._leave(policy, eligible, reason)
            return False
        self.stranded.discard(policy.id)
        self.out.enter(policy, PolicyState.STEERING, eligible.now)
        return True

    def _end_round(self, policy: Policy, dt: float, now: float) -> None:
        """`end_round`, where anything may have changed."""
        eligible = policy.eligibility(self._drains, now)
        if policy.review(eligible):
            self.ask_cadences()
        if not self._may_stay(policy, eligible, start=self._may_start(policy)):
            return
        policy.show(eligible)
        here = policy.here
        verdict = None if here is None else policy.rule.observe(policy.candidates.shown, here, dt, now)
        if verdict is not None and policy.assignment.pending_since is None and policy.follows(verdict.to, dt, now):
            self._better(policy, verdict, now)
            return
        if policy.spread.active:
            self._share(policy, eligible)  # first: what is asked again below must not be what may not be used any more
        self._keep_up(policy, eligible)

    def _may_start(self, policy: Policy) -> bool:
        """The first choice waits until every path had its chance to answer, where the engine keeps the time."""
        if self._heard_by == inf:
            return True
        return all(path.samples or path.missed or path.health.gone for path in policy.paths.values())

    def _leave(self, policy: Policy, eligible: Eligibility, reason: Reason) -> None:
        """The current choice cannot stay: take the first by rank that there is, or say why none is."""
        target = failover.target(eligible, reason)
        if target is not None:
            if policy.returning(eligible.now):
                return
            if failover.awaits(eligible, target, reason, ignore_below=self._settings.ignore_below):
                self.stranded.add(policy.id)  # looked at with every answer
                return
            self.stranded.discard(policy.id)
            rule = "first" if reason is Reason.START else "forced"
            target, margin = failover.spread(eligible, target, reason, self._settings.failover_within, self._draw)
            self._move(policy, target.id, _returns(policy, reason), rule, margin, eligible.now)
            return
        self.stranded.add(policy.id)
        if eligible.wanted is None:
            return
        hard = policy.pin is not None and policy.pin.hard
        blocked_by, state = None, PolicyState.HELD
        if failover.local_outage(eligible, reason):
            state = PolicyState.LOCAL_OUTAGE
        elif not hard and policy.settings.when_none is WhenNone.BLOCK and eligible.hopeless():
            self._move(policy, None, reason, "forced", {}, eligible.now)
            blocked_by, state = reason, PolicyState.BLOCKED
        self.out.enter(policy, state, eligible.now, why_stranded(eligible, reason, state), blocked_by=blocked_by)

    def _better(self, policy: Policy, verdict: Verdict, now: float) -> None:
        """Follow the rule; if the choice is silent, not before the rival has answered: it may be dead as well."""
        if not policy.proven(verdict.to):
            self.postponed[policy.id] = verdict, now + POSTPONED
            return
        self._move(policy, verdict.to, Reason.BETTER, verdict.rule, verdict.margin, now)

    def _move(self, policy: Policy, to: PathId | None, reason: Reason, rule: str, margin: Terms, now: float) -> None:
        self.postponed.pop(policy.id, None)
        old, shared = policy.assignment.wanted, policy.spread.shares
        policy.move(to, now)
        eligible = policy.eligibility(self._drains, now)
        policy.spread.renew(eligible)
        self._stand_by(policy, eligible)
        self.out.switched(policy, policy.eligibility(self._drains, now), old, reason, rule, margin)
        if to is not None:
            self.out.enter(policy, PolicyState.STEERING, now)
        self.out.shared(policy, shared, eligible)
        self.out.tell(policy.ask(now))
        self.ask_cadences()

    def _stand_by(self, policy: Policy, eligible: Eligibility) -> None:
        """Find who stands behind the choice."""
        best = eligible.current
        runner = None if best is None else failover.second(eligible, best, policy.spread.uses)
        policy.assignment.want(eligible.wanted, runner)

    def _share(self, policy: Policy, eligible: Eligibility) -> None:
        """Have other paths take part in the policy's traffic, where that is due."""
        shared, wanted = policy.spread.shares, eligible.wanted
        if wanted is None or eligible.refusal(wanted, eligible.now) is not None or not policy.spread.review(eligible):
            return
        self._stand_by(policy, eligible)
        self.out.shared(policy, shared, eligible)
        self.out.tell(policy.ask(eligible.now))
        self.ask_cadences()

    def _keep_up(self, policy: Policy, eligible: Eligibility) -> None:
        """Ask again for what was not answered, and replace a runner-up that can no longer do its work."""
        assignment, now = policy.assignment, eligible.now
        if assignment.wanted is None or assignment.refusal(assignment.wanted, now) is not None:
            return
        if assignment.pending_since is not None:
            if now - assignment.pending_since < ANSWER_WITHIN:
                return
        elif failover.serves(eligible, assignment.runner, policy.spread.uses):
            return
        else:
            before = assignment.runner
            self._stand_by(policy, eligible)
            if assignment.runner == before:
                return
        self.out.tell(policy.ask(now))


def _returns(policy: Policy, reason: Reason) -> Reason:
    """Coming back from blocked is an undrain or a recovery, not a start."""
    if policy.blocked_by is None:
        return reason
    return Reason.UNDRAIN if reason is Reason.DRAIN else Reason.BETTER
