"""The engine's state as others see it: the view for people and machines, the memory for a restart."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from steerd.core.belief.path import Path, Role
from steerd.core.cost.own_load import Learned
from steerd.core.effects import Terms
from steerd.core.memory import BurdenMemory, DrainMemory, HoldMemory, Memory, PinMemory, RuleMemory, Standing
from steerd.core.policy.drains_and_pins import Drains, Pin
from steerd.core.policy.eligibility import Eligibility
from steerd.core.policy.policy import Policy
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import PathState
from steerd.core.views import CandidateView, DrainView, PathView, PolicyView, View

DEAD: Final = (PathState.DOWN, PathState.ABSENT)

ONLY_SECONDS: Final = 90.0
"""Times longer than this are told in minutes."""


class State(NamedTuple):
    """What there is to show and to remember."""

    epoch: int
    paths: Mapping[PathId, Path]
    policies: Mapping[PolicyId, Policy]
    drains: Drains
    declined: Mapping[str, int]


def view(state: State, now: float) -> View:
    """What the engine believes and wants, frozen."""
    return View(
        now=now,
        epoch=state.epoch,
        paths=tuple(_path(path, state.policies, now) for path in state.paths.values()),
        policies=tuple(_policy(policy, state.drains, now) for policy in state.policies.values()),
        drains=tuple(
            DrainView(pop, state.drains.name(pop, origin), _left(until, now))
            for pop, origin, until in state.drains.all()
        ),
        declined=dict(state.declined),
    )


def memory(state: State, now: float) -> Memory:
    """What is to survive a restart, in ages and times left."""
    policies = state.policies.values()
    standings = ((policy.id, policy.standing(now)) for policy in policies)
    learned = ((policy.id, policy.own_load.learned) for policy in policies)
    return Memory(
        pins=tuple(
            PinMemory(policy.id, policy.pin.pop, policy.pin.hard, _left(policy.pin.until, now), policy.pin.origin)
            for policy in policies
            if policy.pin is not None
        ),
        drains=tuple(DrainMemory(pop, _left(until, now), origin) for pop, origin, until in state.drains.all()),
        holds=tuple(
            HoldMemory(path.id, path.health.hold_length, now - path.health.hold_at, path.health.held(now))
            for path in state.paths.values()
            if path.health.hold_length > 0.0
        ),
        sizes=tuple(path.size for path in state.paths.values() if path.size is not None),
        rules=tuple(RuleMemory(id_, *standing) for id_, standing in standings if standing is not None),
        overruled=tuple(sorted(state.drains.overruled)),
        burdens=tuple(
            BurdenMemory(id_, one.burden, one.rate, now - one.at, one.standing) for id_, one in learned if one.burden
        ),
    )


def restore(state: State, remembered: Memory, now: float) -> None:
    """Take up what an earlier run remembered; what no longer exists is left out."""
    pops = {path.pop for path in state.paths.values()}
    for drain in remembered.drains:
        if drain.pop in pops:
            state.drains.add(drain.pop, drain.origin, None if drain.left is None else now + drain.left)
    state.drains.overruled.update(pops & set(remembered.overruled))
    for pin in remembered.pins:
        policy = state.policies.get(pin.policy)
        if policy is not None and any(path.pop == pin.pop for path in policy.paths.values()):
            policy.pinned(Pin(pin.pop, pin.hard, None if pin.left is None else now + pin.left, pin.origin))
    for hold in remembered.holds:
        path = state.paths.get(hold.path)
        if path is not None:
            path.health.restore(length=hold.length, age=hold.age, left=hold.left, now=now)
    for size in remembered.sizes:
        path = state.paths.get(size.path)
        if path is not None:
            path.sized(size)
            for policy in state.policies.values():
                policy.reprice(path.id)
    for rule in remembered.rules:
        policy = state.policies.get(rule.policy)
        if policy is not None:
            policy.restore(Standing(rule.leader, rule.leads_for, rule.costs), now)
    for burden in remembered.burdens:
        policy = state.policies.get(burden.policy)
        if policy is not None:
            policy.own_load.restore(Learned(burden.burden, burden.rate, now - burden.age, burden.standing))


def _left(until: float | None, now: float) -> float | None:
    return None if until is None else max(0.0, until - now)


def _path(path: Path, policies: Mapping[PolicyId, Policy], now: float) -> PathView:
    health = path.health
    known = path.samples > 0 and path.health.state not in DEAD  # what was true before it died is no figure of now
    worst = max(path.asked.counted, key=lambda leg: leg.mean)
    roles = [role for role in (policy.role(path) for policy in policies.values()) if role is not None]
    return PathView(
        path=path.id,
        pop=path.pop,
        uplink=path.settings.uplink,
        state=health.state,
        reason=health.explanation,
        since=now - health.since,
        rtt=worst.mean if known else None,
        sd=worst.sd if known else None,
        jitter=worst.jitter if known else None,
        loss=_loss(path, known=known),
        n=path.samples,
        age=now - path.answered_at if path.samples else None,
        every=path.cadence.every if path.cadence is not None else None,
        patience=path.patience,
        hold=health.held(now),
        size=path.size,
        scout=all(role is Role.SCOUT for role in roles) if roles else False,
    )


def _loss(path: Path, *, known: bool) -> float | None:
    """All, of a path that does not answer; of one that nobody could ask yet nothing is known."""
    if known:
        return max(leg.loss for leg in path.asked.counted)
    return 1.0 if path.health.state is PathState.DOWN or path.missed else None


def _policy(policy: Policy, drains: Drains, now: float) -> PolicyView:
    eligible = policy.eligibility(drains, now)
    candidates = [_candidate(policy, path, eligible) for path in policy.paths.values()]
    candidates += [CandidateView(path, {}, why, {}) for path, why in policy.forbidden.items()]
    kernel, pin = policy.assignment, policy.pin
    return PolicyView(
        policy=policy.id,
        state=policy.state,
        choice=kernel.choice,
        runner_up=kernel.runner_up,
        wanted=kernel.wanted,
        error=kernel.error,
        mismatch=kernel.mismatch,
        since=None if policy.since is None else now - policy.since,
        pin=pin.pop if pin is not None else None,
        pin_hard=pin.hard if pin is not None else False,
        pin_for=_left(pin.until, now) if pin is not None else None,
        candidates=tuple(candidates),
        last=policy.last,
        outlook=_outlook(policy, now),
        dwell=policy.dwell(now),
        shares=kernel.shares,
        rule=policy.standing(now),
        service=policy.settings.service,
    )


def _candidate(policy: Policy, path: Path, eligible: Eligibility) -> CandidateView:
    price, held = policy.prices[path.id], path.health.held(eligible.now)
    rank: Terms = {**({"hold": held} if held else {}), **price.shown()}
    scout = policy.role(path) is Role.SCOUT
    terms = {} if path.health.state in DEAD else price.terms()
    way = (policy.ways or {}).get(path.pop)
    return CandidateView(path.id, terms, eligible.passed_over(path.id), rank, scout=scout, way=way)


def _outlook(policy: Policy, now: float) -> str:
    left = policy.dwell(now)
    if left and policy.assignment.wanted is not None:
        span = f"{left / 60.0:.0f} min" if left > ONLY_SECONDS else f"{left:.0f} s"
        return f"may not move for another {span} (min_dwell) unless it has to; then: {policy.outlook()}"
    held = policy.gate.outlook(now)
    return f"{held}; {policy.outlook()}" if held else policy.outlook()
