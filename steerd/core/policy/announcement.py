"""What is told of a choice or of shares that changed: what it was decided on, what was ruled out, and whose order it
obeys."""

from steerd.core.effects import Switched, Terms
from steerd.core.events import Shares
from steerd.core.policy.eligibility import Eligibility
from steerd.core.policy.policy import Policy
from steerd.core.settings import PathId
from steerd.core.states import PolicyState, Reason


def switch(
    event_id: str,
    policy: Policy,
    eligible: Eligibility,
    old: PathId | None,
    reason: Reason,
    rule: str,
    margin: Terms,
) -> Switched:
    """The policy went from ``old`` to what ``eligible`` has as wanted; ``margin``: what ``rule`` compared."""
    evidence: dict[PathId, Terms] = {}
    excluded: dict[PathId, str] = dict(policy.forbidden)
    for path in policy.paths.values():
        if path.samples:
            price = policy.prices[path.id]
            evidence[path.id] = {**price.terms(), "samples": float(path.samples), **price.shown()}
        why = eligible.passed_over(path.id)
        if why is not None:
            excluded[path.id] = why
    return Switched(
        event_id=event_id,
        policy=policy.id,
        old=old,
        new=eligible.wanted,
        reason=reason,
        at=eligible.now,
        rule=rule,
        evidence=evidence,
        excluded=excluded,
        margin=margin,
        by=_ordered_by(eligible, old, reason),
    )


def why_shared(old: Shares, new: Shares, eligible: Eligibility) -> str:
    """Why other paths share the policy's traffic, in words."""
    now, before = {share.path for share in new}, {share.path for share in old}
    reasons = [f"{share.path} joins" for share in new if share.path not in before]
    for path in (share.path for share in old if share.path not in now):
        why = eligible.excluded(path) if path in eligible.paths else "not configured"
        reasons.append(f"{path} leaves" + (f" ({why})" if why else ""))
    return ", ".join(reasons) or "costs changed"


def why_stranded(eligible: Eligibility, reason: Reason, state: PolicyState) -> str:
    """Why a policy's traffic cannot be carried, in words."""
    current = eligible.current
    if current is None:
        return "no path may be used"
    if state is PolicyState.LOCAL_OUTAGE:
        return f"uplink {current.settings.uplink}"
    return f"{current.id}: {eligible.excluded(current.id) or reason}"


def _ordered_by(eligible: Eligibility, old: PathId | None, reason: Reason) -> str | None:
    """Whose order the switch obeys, if any."""
    if reason is Reason.PIN:
        return eligible.pin.origin if eligible.pin is not None else None
    if reason is Reason.DRAIN and old is not None and old in eligible.paths:
        return eligible.drains.origin(eligible.paths[old].pop) or None
    return None
