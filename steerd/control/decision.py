"""One decision in plain words: what moved, why, and, for who asks, every figure that it was made with."""

from collections.abc import Mapping
from typing import Final

from steerd.control.parts import costs
from steerd.core.effects import Switched, Terms
from steerd.core.rules.panel import TESTS
from steerd.core.states import Reason
from steerd.text.lines import wrapped
from steerd.text.times import milliseconds, span

_MOSTLY: Final = 0.6
"""A term that makes up this share of a gain is named as its cause."""

_BY: Final[Mapping[str, str]] = {
    "jitter": "for its jitter",
    "loss": "for its loss",
    "load": "since its PoP is loaded",
    "own_load": "for what our own traffic would add there",
    "backbone": "for how far the service is from its PoP",
    "bias": "for its bias",
    "uplink": "for what its uplink costs",
    "mtu": "since large packets vanish on it",
    "prefer": "by preference",
}

_UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("gain", "needed", "best", "within"), "ms"),
    **dict.fromkeys(("price", "regret", "regret_there"), "ms*s"),
    **dict.fromkeys(("held", "hold"), "s"),
}


def sentences(one: Switched) -> str:
    """Why it was made, in one to three sentences."""
    if one.rule == "first":
        return f"It was the first choice: {_taken(one)}."
    if one.rule == "kernel":
        return f"The kernel had {one.new or 'no path'} in place of it, and steerd follows what the kernel has."
    if one.rule == "forced":
        return _forced(one)
    if one.old is None or one.new is None or "gain" not in one.margin:
        return f"The rule {one.rule} decided."
    return _chosen(one, one.margin)


def details(one: Switched) -> list[str]:
    """Every figure: what the rule compared, each path's cost term by term, what was ruled out."""
    lines = []
    if one.margin:
        figures = (f"{name} {value:.1f} {_UNITS.get(name, '')}".rstrip() for name, value in one.margin.items())
        lines += wrapped(f"The rule {one.rule} compared: {', '.join(figures)}.")
    if one.evidence:
        shown = costs.shown(one.evidence, [one.new, one.old])
        lines += costs.table(shown, "cost in ms, then", len(one.evidence) - len(shown))
    if one.excluded:
        lines += ["Ruled out then:", *costs.ruled_out(one.excluded)]
    return lines


def _chosen(one: Switched, margin: Terms) -> str:
    """A rule weighed them."""
    gain, price = margin["gain"], margin.get("price", 0.0)
    said = _apart(one, gain)
    if one.rule in TESTS and price:
        _, errors, within = TESTS[one.rule]
        times = gain * within / price
        stay = f"Staying {within:.0f} s longer would have cost {times:.{0 if times >= 10 else 1}f} times a switch"
        if not errors:
            return f"By the last probe {said}. {stay}."
        return f"{said}. {stay}, and it is not noise: {milliseconds(margin.get('needed'))} are enough."
    if one.rule == "work-function" and "regret" in margin:
        there = margin.get("regret_there", 0.0)
        paid = f"Over time {one.old} had cost a whole switch ({margin['regret']:.0f} ms*s) more than the best path"
        return f"{said}. {paid}; {one.new} {there:.0f} ms*s more." if there >= 1.0 else f"{said}. {paid}."
    if one.rule == "threshold" and {"needed", "held", "hold"} <= set(margin):
        asked = f"{milliseconds(margin['needed'])} for {span(margin['hold'])}"
        return f"{said}. It had been so for {span(margin['held'])}; the rule asks for {asked}."
    return f"{said} (rule: {one.rule})."


def _apart(one: Switched, gain: float) -> str:
    """By how much the old path was worse than the new one, and for what."""
    if gain <= 0.0:
        return f"{one.old} and {one.new} cost about the same by then"
    old, new = (one.evidence.get(path, {}) for path in (one.old, one.new) if path is not None)
    apart = {name: old.get(name, 0.0) - new.get(name, 0.0) for name in (*_BY, "rtt")}
    whole = sum(apart.values())
    name = max(apart, key=lambda term: apart[term])
    if whole > 0.0 and apart["rtt"] >= _MOSTLY * whole:
        return f"{one.old} had become {milliseconds(gain)} slower than {one.new}"
    why = f", mostly {_BY[name]}" if name in _BY and whole > 0.0 and apart[name] >= _MOSTLY * whole else ""
    return f"{one.old} had come to cost {milliseconds(gain)} more than {one.new}{why}"


def _forced(one: Switched) -> str:
    by = f" ({one.by})" if one.by else ""
    why = None if one.old is None else one.excluded.get(one.old)
    match one.reason:
        case Reason.DOWN | Reason.ABSENT:
            cause = f"{one.old} was {why or one.reason}"
        case Reason.DRAIN:
            cause = why or f"The PoP of {one.old} was drained{by}"
        case Reason.POLICY:
            cause = f"{one.old} may not be used any more" + (f": {why}" if why else "")
        case Reason.PIN:
            cause = f"The policy was pinned to {(one.new or 'another PoP').partition('/')[0]}{by}"
        case Reason.UNDRAIN:
            cause = "A drain ended"
        case Reason.BETTER:
            cause = f"{one.new} could be used again"
        case _:
            cause = f"It had to move ({one.reason})"
    if one.new is None:
        return f"{cause}. No other path could be used, so the traffic is blocked."
    return f"{cause}." if one.reason in (Reason.PIN, Reason.BETTER) else f"{cause}; {_taken(one)}."


def _taken(one: Switched) -> str:
    """What the new path had over others."""
    known = {path: terms["total"] for path, terms in one.evidence.items() if "total" in terms}
    usable = [cost for path, cost in known.items() if path not in one.excluded and path != one.old]
    if one.new not in known:
        return f"{one.new} was taken"
    cost = milliseconds(known[one.new])
    if "best" in one.margin:
        drawn = "drawn among those nearly as good, so that not all gateways go to the best"
        return f"{one.new} was taken, at {cost}: {drawn}, at {milliseconds(one.margin['best'])}"
    if known[one.new] <= min(usable, default=0.0):
        return f"{one.new} was the cheapest path that could be used, at {cost}"
    return f"{one.new} was taken, at {cost}"
