"""Carrying out an order: what an operator or a signed message wants of PoPs and policies."""

from collections.abc import Container, Mapping
from typing import assert_never

from steerd.core.events import Order, Verb
from steerd.core.policy.drains_and_pins import Drains, Pin, remote
from steerd.core.policy.policy import Policy
from steerd.core.settings import PolicyId


def obey(order: Order, pops: Container[str], policies: Mapping[PolicyId, Policy], drains: Drains) -> str | None:
    """Take the order; that somebody looks at what follows from it is the caller's. Returns why it is declined, or
    None."""
    match order.verb:
        case Verb.DRAIN | Verb.UNDRAIN:
            if order.subject not in pops:
                return "unknown PoP"
            if order.verb is Verb.DRAIN:
                drains.add(order.subject, order.origin, order.until)
            elif not drains.undrain(order.subject, order.origin):
                return "not drained by this origin"
            return None
        case Verb.PIN | Verb.UNPIN:
            policy = policies.get(PolicyId(order.subject))
            return "unknown policy" if policy is None else _pin(order, policy)
        case _:
            assert_never(order.verb)


def _pin(order: Order, policy: Policy) -> str | None:
    theirs = policy.pin is not None and remote(policy.pin.origin) != remote(order.origin)
    if order.verb is Verb.UNPIN:
        if policy.pin is None:
            return "not pinned"
        if theirs:
            return "pinned by somebody else: a pin of your own takes its place"
        policy.pinned(None)
    elif theirs and remote(order.origin):
        return "pinned by an operator of this gateway"
    elif order.to is None or all(path.pop != order.to for path in policy.paths.values()):
        return "the policy may not use that PoP"
    else:
        policy.pinned(Pin(order.to, order.hard, order.until, order.origin))
    return None
