"""The whole way in words: how far a PoP is, and how far the policy's service is from there."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from steerd.core.settings import PathId
from steerd.core.views import CandidateView, PathView, PolicyView
from steerd.text.times import milliseconds

_MOST: Final = 3
"""Paths that are spoken of: the choice, and the cheapest others."""

_LOSS: Final = 0.0005
"""A loss of less is not worth a word."""


def sentences(policy: PolicyView, paths: Mapping[PathId, PathView]) -> Sequence[str]:
    """Of a policy with a service: one sentence for each of the paths that matter."""
    if not policy.service:
        return []
    known = [one for one in policy.candidates if "total" in one.terms]
    known.sort(key=lambda one: (one.path != policy.choice, one.terms["total"]))
    if known and not any(one.way for one in policy.candidates):
        return [f"No PoP says how far {policy.service} is from it: the ways to the PoPs alone decide."]
    return [_sentence(policy.service, one, paths.get(one.path)) for one in known[:_MOST]]


def figures(candidate: CandidateView) -> dict[str, Any] | None:
    """The way as JSON; None: none is known."""
    way = candidate.way
    if way is None:
        return None
    return {"by": list(way.by), "rtt_ms": round(way.rtt, 3), "loss": round(way.loss, 6), "faded": round(way.faded, 3)}


def _sentence(service: str, one: CandidateView, path: PathView | None) -> str:
    pop = one.path.partition("/")[0]
    away = f"{pop} is {milliseconds(None if path is None else path.rtt)} away"
    cost = milliseconds(one.terms.get("backbone", 0.0))
    way = one.way
    if way is None:
        return f"{away}; how far {service} is from there is not known, which counts as {cost}."
    by = f" by {', '.join(way.by)}" if way.by else ""
    lost = f" with {way.loss * 100:.1f} % loss" if way.loss >= _LOSS else ""
    old = f", as was said some time ago: it counts as {cost}" if way.faded else ""
    return f"{away}, and {milliseconds(way.rtt)} further to {service}{by}{lost}{old}."
