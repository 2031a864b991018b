"""Why a policy is where it is, in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from steerd.control import traces
from steerd.control.times import milliseconds, span
from steerd.core.cost import price
from steerd.core.effects import Switched, Terms
from steerd.core.states import PolicyState, Reason
from steerd.core.views import PolicyView

_TERMS = (*price.TERMS, "total")

_STATES = {
    PolicyState.HELD: "No path that it may use is usable: the last choice is held.",
    PolicyState.LOCAL_OUTAGE: "Nothing answers on the uplink: the fault is on this side, and nothing is moved.",
    PolicyState.BLOCKED: "No path that it may use is usable: its traffic is blocked.",
    PolicyState.NONE: "No choice was made yet.",
}

_FORCED = {
    Reason.START: "it was the first choice",
    Reason.BETTER: "it is usable again",
    Reason.DOWN: "the path before went down",
    Reason.ABSENT: "the device of the path before went away",
    Reason.DRAIN: "the PoP before was drained",
    Reason.UNDRAIN: "a drain ended",
    Reason.PIN: "of a pin",
    Reason.POLICY: "the configuration forbids the path before",
    Reason.KERNEL: "the kernel has it so",
}


def explain(
    policy: PolicyView,
    now: float,
    trace: Mapping[str, Any] | None = None,
    findings: Mapping[str, Mapping[str, str]] | None = None,
) -> list[str]:
    """Lines of text: what is in use, the last decision with its figures and the trace made after it, what should be
    known of how paths are probed, what was ruled out, what comes next."""
    lines = [_now(policy)]
    if policy.shares:
        parts = ", ".join(f"{share.path} {share.part * 100:.0f} %" for share in policy.shares)
        lines.append(f"Its traffic is shared, by capacity and cost: {parts}.")
    if policy.state is PolicyState.HELD and policy.choice is None:
        lines.append("No path that it may use is usable: until one is, its traffic goes nowhere.")
    elif policy.state in _STATES:
        lines.append(_STATES[policy.state])
    if policy.pin is not None:
        left = "until unpinned" if policy.pin_for is None else f"for another {span(policy.pin_for)}"
        lines.append(f"It is pinned to {policy.pin}, {'hard' if policy.pin_hard else 'while that is usable'}, {left}.")
    if policy.error is not None:
        lines.append(f"The kernel refused the last change: {policy.error}.")
    if policy.last is not None:
        lines += ["", *_decision(policy.last, now)]
        if trace is not None:
            lines += ["", *traces.after(trace)]
    noted = [[one.path, text] for one in policy.candidates for text in (findings or {}).get(one.path, {}).values()]
    if noted:
        lines += ["", "Of how its paths are probed:", *_aligned(noted)]
    ruled_out = {one.path: one.excluded for one in policy.candidates if one.excluded is not None}
    if ruled_out:
        lines += ["", "Ruled out now:", *_aligned([[path, why] for path, why in ruled_out.items()])]
    return [*lines, "", f"Outlook: {policy.outlook}."]


def _now(policy: PolicyView) -> str:
    if policy.choice is None:
        return f"Policy {policy.policy} uses no path."
    second = f", with {policy.runner_up} behind it" if policy.runner_up else ", with nothing behind it"
    if policy.since is None:
        return f"Policy {policy.policy} uses {policy.choice}{second}."
    return f"Policy {policy.policy} has used {policy.choice} for {span(policy.since)}{second}."


def _decision(last: Switched, now: float) -> list[str]:
    what = f"{last.old or 'no path'} to {last.new or 'no path'}"
    lines = [f"Decision {last.event_id}, {span(max(0.0, now - last.at))} ago: {what}, because {_because(last)}."]
    if last.margin:
        lines.append(_margin(last.rule, last.margin))
    lines += _evidence(last)
    if last.excluded:
        lines += ["Ruled out then:", *_aligned([[path, why] for path, why in last.excluded.items()])]
    return lines


def _because(last: Switched) -> str:
    if last.rule in {"forced", "first", "kernel"}:
        return _FORCED[last.reason] + (f" ({last.by})" if last.by else "")
    by = last.margin.get("gain")
    return f"it was {milliseconds(by)} cheaper (rule: {last.rule})" if by is not None else f"of the rule {last.rule}"


def _margin(rule: str, margin: Terms) -> str:
    """What the rule's test compared, with its figures; every rule says all of them somehow."""
    get = margin.get
    if rule == "regret" and {"regret", "cap", "price"} <= set(margin):
        return (
            f"Staying had cost {get('regret', 0):.0f} ms*s more than the best path would have: the cap of "
            f"{get('cap', 0):.0f} ms*s was reached. A switch costs {get('price', 0):.0f} ms*s."
        )
    if rule == "confident" and {"gain", "stderr", "horizon", "price"} <= set(margin):
        gain, error = get("gain", 0), get("stderr", 0)
        return (
            f"It cost {milliseconds(gain)} more than the new path is used to, {gain / max(error, 1e-9):.1f} standard "
            f"errors from chance: over {get('horizon', 0):.0f} s that is {gain * get('horizon', 0):.0f} ms*s, and a "
            f"switch costs {get('price', 0):.0f} ms*s."
        )
    if rule == "threshold" and {"needed", "held", "hold"} <= set(margin):
        return (
            f"The rule asks for {milliseconds(get('needed', 0))} during {span(get('hold', 0))}: "
            f"it has been so for {span(get('held', 0))}."
        )
    return "The rule compared " + ", ".join(f"{name} {value:.1f}" for name, value in margin.items()) + "."


def _evidence(last: Switched) -> list[str]:
    """The cost of each candidate, term by term, the new choice first and the one before it second."""
    if not last.evidence:
        return []
    first = [path for path in (last.new, last.old) if path is not None and path in last.evidence]
    rest = sorted(set(last.evidence) - set(first), key=lambda path: last.evidence[path].get("total", 0.0))
    shown = [name for name in _TERMS if any(terms.get(name) for terms in last.evidence.values())]
    if any("mos" in terms for terms in last.evidence.values()):
        shown.append("mos")
    header = ["cost in ms", *shown, "samples"]
    return _aligned([header, *([path, *_figures(last.evidence[path], shown)] for path in [*first, *rest])], right=True)


def _figures(terms: Mapping[str, float], shown: list[str]) -> list[str]:
    samples = terms.get("samples")
    costs = [f"{terms.get(name, 0.0):.{2 if name == 'mos' else 1}f}" for name in shown]
    return [*costs, "-" if samples is None else f"{samples:.0f}"]


def _aligned(rows: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            text.rjust(width) if right and at else text.ljust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
