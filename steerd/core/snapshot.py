"""The engine's state as others see it: the view for people and machines, the memory for a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from steerd.core.model import (
    CandidateView,
    DrainMemory,
    DrainView,
    HoldMemory,
    Memory,
    PathView,
    PinMemory,
    PolicyView,
    View,
)
from steerd.core.orders import Pin

if TYPE_CHECKING:
    from steerd.core.engine import Engine
    from steerd.core.path import Path
    from steerd.core.policy import Policy

ONLY_SECONDS: Final = 90.0
"""Times longer than this are told in minutes."""


def view(engine: Engine, now: float) -> View:
    """What the engine believes and wants, frozen."""
    return View(
        now=now,
        epoch=engine.epoch,
        paths=tuple(_path(path, now) for path in engine.paths.values()),
        policies=tuple(_policy(engine, policy, now) for policy in engine.policies.values()),
        drains=tuple(DrainView(pop, origin, _left(until, now)) for pop, origin, until in engine.drains.all()),
        declined=dict(engine.declined),
    )


def memory(engine: Engine, now: float) -> Memory:
    """What is to survive a restart, in ages and times left."""
    return Memory(
        pins=tuple(
            PinMemory(policy.id, policy.pin.pop, policy.pin.hard, _left(policy.pin.until, now), policy.pin.origin)
            for policy in engine.policies.values()
            if policy.pin is not None
        ),
        drains=tuple(DrainMemory(pop, _left(until, now), origin) for pop, origin, until in engine.drains.all()),
        holds=tuple(
            HoldMemory(path.id, path.health.hold_length, now - path.health.hold_at, path.health.held(now))
            for path in engine.paths.values()
            if path.health.hold_length > 0.0
        ),
        sizes=tuple(path.size for path in engine.paths.values() if path.size is not None),
    )


def restore(engine: Engine, remembered: Memory, now: float) -> None:
    """Take up what an earlier run remembered; what no longer exists is left out."""
    pops = {path.pop for path in engine.paths.values()}
    for drain in remembered.drains:
        if drain.pop in pops:
            engine.drains.add(drain.pop, drain.origin, None if drain.left is None else now + drain.left)
    for pin in remembered.pins:
        policy = engine.policies.get(pin.policy)
        if policy is not None and any(path.pop == pin.pop for path in policy.paths.values()):
            policy.pin = Pin(pin.pop, pin.hard, None if pin.left is None else now + pin.left, pin.origin)
    for hold in remembered.holds:
        path = engine.paths.get(hold.path)
        if path is not None:
            path.health.restore(length=hold.length, age=hold.age, left=hold.left, now=now)
    for size in remembered.sizes:
        path = engine.paths.get(size.path)
        if path is not None:
            path.sized(size)


def _left(until: float | None, now: float) -> float | None:
    return None if until is None else max(0.0, until - now)


def _path(path: Path, now: float) -> PathView:
    health = path.health
    known = path.samples > 0
    worst = max(path.legs, key=lambda leg: leg.mean)
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
        loss=max(leg.loss for leg in path.legs),
        n=path.samples,
        age=now - path.answered_at if known else None,
        every=path.cadence.every if path.cadence is not None else None,
        patience=path.patience,
        hold=health.held(now),
        size=path.size,
    )


def _policy(engine: Engine, policy: Policy, now: float) -> PolicyView:
    candidates = [
        CandidateView(
            path=path.id,
            terms=policy.terms(path.id),
            excluded=policy.passed_over(path.id, engine.drains, now),
            rank={
                name: value
                for name, value in (
                    ("regret", policy.standings[path.id].regret),
                    ("excess", policy.standings[path.id].excess),
                    ("hold", path.health.held(now)),
                )
                if value is not None
            }
            | dict(policy.shown(path.id)),
        )
        for path in policy.paths.values()
    ]
    candidates += [CandidateView(path, {}, why, {}) for path, why in policy.forbidden.items()]
    pin = policy.pin
    return PolicyView(
        policy=policy.id,
        state=policy.state,
        choice=policy.choice,
        runner_up=policy.runner_up,
        wanted=policy.wanted,
        error=policy.error,
        since=None if policy.since is None else now - policy.since,
        pin=pin.pop if pin is not None else None,
        pin_hard=pin.hard if pin is not None else False,
        pin_for=_left(pin.until, now) if pin is not None else None,
        candidates=tuple(candidates),
        last=policy.last,
        outlook=_outlook(policy, now),
        dwell=policy.dwell(now),
        shares=policy.shared,
    )


def _outlook(policy: Policy, now: float) -> str:
    left = policy.dwell(now)
    if left and policy.wanted is not None:
        span = f"{left / 60.0:.0f} min" if left > ONLY_SECONDS else f"{left:.0f} s"
        return f"may not move for another {span} (min_dwell) unless it has to; then: {_unhindered(policy)}"
    return _unhindered(policy)


def _unhindered(policy: Policy) -> str:
    current = policy.standings.get(policy.wanted) if policy.wanted is not None else None
    if current is None:
        return "the first path that answers is taken"
    if current not in policy.field:
        return f"{current.path} is not answering: the first path that answers is taken"
    return policy.rule.outlook(policy.field, current)
