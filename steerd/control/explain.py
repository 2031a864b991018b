"""Why a policy is where it is: in plain words, and below them, for who asks, with every figure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from steerd.control import decision
from steerd.control.parts import costs, onward, traces
from steerd.control.parts.packets import sentence
from steerd.core.effects import Switched
from steerd.core.memory import Standing
from steerd.core.rules.panel import LEAD
from steerd.core.settings import PathId
from steerd.core.states import PolicyState
from steerd.core.views import PathView, PolicyView
from steerd.status.snapshot import Packets
from steerd.text.lines import aligned, wrapped
from steerd.text.times import milliseconds, span

_STATES: Final = {
    PolicyState.HELD: "None of its paths can be used: the last choice is held.",
    PolicyState.LOCAL_OUTAGE: "Nothing answers on the uplink: the fault is on this side, and nothing is moved.",
    PolicyState.BLOCKED: "None of its paths can be used: its traffic is blocked.",
    PolicyState.NONE: "No choice was made yet.",
}

_SAME: Final = 5.0
"""What rules cost is the same, in words, if it differs by less, in ms*s: 5 ms for a second."""

Trace = Mapping[str, Any] | None
Findings = Mapping[str, Mapping[str, str]]
Paths = Mapping[PathId, PathView]


def explain(
    policy: PolicyView,
    now: float,
    *,
    paths: Paths | None = None,
    price: float | None = None,
    trace: Trace = None,
    findings: Findings | None = None,
    packets: Packets | None = None,
    uplinks: Sequence[str] = (),
) -> list[str]:
    """Lines of text: what is used, where its packets go, whose rule is followed, the last decision and the trace made
    after it, what would change the choice, what cannot be used. ``price`` of a switch in ms*s; None: the rule has none.
    ``uplinks``: sentences about those whose cap is near.
    """
    lines = [*wrapped(_now(policy)), *_state(policy), *wrapped(sentence(packets))]
    if policy.rule is not None:
        lines += _leader(policy.rule, price)
    lines += _scouts(policy, paths or {})
    if own := max((one.terms.get("own_load", 0.0) for one in policy.candidates), default=0.0):
        lines.append(f"Its own traffic would add {milliseconds(own)} to any other path; their costs have it.")
    lines += [line for said in (*onward.sentences(policy, paths or {}), *uplinks) for line in wrapped(said)]
    if policy.last is not None:
        ago = span(max(0.0, now - policy.last.at))
        lines += ["", *wrapped(f"Decision {policy.last.event_id}, {ago} ago: it moved {_move(policy.last)}.")]
        lines += wrapped(decision.sentences(policy.last))
        if trace is not None:
            lines += ["", *traces.after(trace)]
    excluded = _excluded(policy)
    # Of a choice that cannot be used itself there is nothing to compare.
    outlook = "the first path that can be used is taken" if policy.choice in excluded else policy.outlook
    lines += ["", *wrapped(f"Outlook: {outlook}.")]
    noted = [[one.path, text] for one in policy.candidates for text in (findings or {}).get(one.path, {}).values()]
    if noted:
        lines += ["", "Of how its paths are probed:", *aligned(noted)]
    if held := [
        [one.path, f"ranks last for {span(path.hold)}"]
        for one in policy.candidates
        if (path := (paths or {}).get(one.path)) is not None
        and path.hold
        and one.path not in {policy.choice, *excluded}
    ]:
        lines += ["", "Was down lately:", *aligned(held)]
    if excluded:
        lines += ["", "Cannot be used now:", *costs.shortly(excluded)]
    return lines


def details(policy: PolicyView, *, paths: Paths | None = None, price: float | None = None) -> list[str]:
    """All figures: what each path costs now, what the last decision was made with, how the rules stand, the scouts."""
    scouts = [one for one in policy.candidates if one.scout]
    known = {one.path: one.terms for one in policy.candidates if one.terms and not one.scout}
    shown = costs.shown(known, [policy.choice, policy.runner_up])
    parts = [costs.table(shown, "cost in ms, now", len(known) - len(shown))]
    if policy.last is not None:
        told = decision.details(policy.last)
        parts.append([f"Decision {policy.last.event_id}:", *told] if told else [])
    if policy.rule is not None:
        parts.append(_standing(policy.rule, price))
    if scouts:
        rows = [["scout", "cost", "heard"]]
        for one in scouts:
            path = (paths or {}).get(one.path)
            heard = "never" if path is None or path.age is None else f"{span(path.age)} ago"
            rows.append([one.path, milliseconds(one.terms.get("total")), heard])
        parts.append(aligned(rows))
    if excluded := _excluded(policy):
        parts.append(["Cannot be used now:", *costs.ruled_out(excluded)])
    return [line for part in parts if part for line in ["", *part]][1:]


def explain_event(one: Switched, when: str, trace: Trace = None) -> list[str]:
    """A decision that was kept. ``when``: how long ago it was, and at what time."""
    lines = wrapped(f"Decision {one.event_id}, {when}: policy {one.policy} moved {_move(one)}.")
    lines += wrapped(decision.sentences(one))
    if trace is not None:
        lines += ["", *traces.after(trace)]
    if one.excluded:
        lines += ["", "Could not be used then:", *costs.shortly(one.excluded)]
    return lines


def _now(policy: PolicyView) -> str:
    if policy.choice is None:
        return f"Policy {policy.policy} uses no path."
    spare = policy.runner_up if policy.runner_up not in _excluded(policy) else None  # the kernel may still have it
    second = f"{spare} stands by" if spare else "no other path stands by"
    if policy.since is None:
        return f"Policy {policy.policy} uses {policy.choice}; {second}."
    return f"Policy {policy.policy} has used {policy.choice} for {span(policy.since)}; {second}."


def _state(policy: PolicyView) -> list[str]:
    lines = []
    if policy.shares:
        parts = ", ".join(f"{share.path} {share.part * 100:.0f} %" for share in policy.shares)
        lines += wrapped(f"Its traffic is shared, by capacity and cost: {parts}.")
    if policy.state is PolicyState.HELD and policy.choice is None:
        lines.append("None of its paths can be used: until one is, its traffic goes nowhere.")
    elif policy.state in _STATES:
        lines.append(_STATES[policy.state])
    if policy.pin is not None:
        left = "until unpinned" if policy.pin_for is None else f"for another {span(policy.pin_for)}"
        lines.append(f"It is pinned to {policy.pin}, {'hard' if policy.pin_hard else 'while that is usable'}, {left}.")
    if policy.mismatch is not None:
        lines += wrapped(f"Its packets do not go that way: {policy.mismatch}.")
    elif policy.error is not None:
        lines += wrapped(f"The kernel refused the last change: {policy.error}.")
    return lines


def _leader(rule: Standing, price: float | None) -> list[str]:
    """Whose rule is followed, and what each would have cost."""
    if len(rule.costs) == 1:
        return [f"It follows one rule: {rule.leader}."]
    lines = [f"Of {len(rule.costs)} rules it follows {rule.leader}, which has led for {span(rule.leads_for)}."]
    cheapest, *others = sorted(rule.costs, key=lambda name: rule.costs[name])
    dearer = [f"{name} {_switches(rule.costs[name], price)}" for name in others if rule.costs[name] >= _SAME]
    if not dearer:
        return [*lines, "Over about the last hour all would have cost the same."]
    same = [cheapest, *(name for name in others if rule.costs[name] < _SAME)]
    least = f"{' and '.join(same)} would have cost least"
    return lines + wrapped(f"Over about the last hour {least}; the others beyond that: {', '.join(dearer)}.")


def _standing(rule: Standing, price: float | None) -> list[str]:
    rows = [["rule", "costs beyond the cheapest, ms*s", "in switches"]]
    for name in sorted(rule.costs, key=lambda one: rule.costs[one]):
        cost = rule.costs[name]
        switches = f"{cost / price:.2f}" if price else "-"
        rows.append([f"{name}{' (leads)' if name == rule.leader else ''}", f"{cost:.1f}", switches])
    lines = aligned(rows, right=True)
    return lines if len(rows) == 2 else [*lines, f"  Another leads once it has cost {LEAD:.0f} switches less."]


def _switches(cost: float, price: float | None) -> str:
    return f"{cost / price:.1f} switches" if price else f"{cost:.0f} ms*s"


def _scouts(policy: PolicyView, paths: Paths) -> list[str]:
    scouts = [one.path for one in policy.candidates if one.scout]
    if not scouts:
        return []
    periods = [path.every for one in scouts if (path := paths.get(one)) and path.scout and path.every]
    bounds = sorted({min(periods), max(periods)}) if periods else []
    every = f", each looked at every {' to '.join(map(span, bounds))}" if periods else ""
    return [f"{len(scouts)} of {len(policy.candidates)} paths are scouts{every}."]


def _move(one: Switched) -> str:
    return f"from {one.old or 'no path'} to {one.new or 'no path'}"


def _excluded(policy: PolicyView) -> dict[PathId, str]:
    return {one.path: one.excluded for one in policy.candidates if one.excluded is not None}
