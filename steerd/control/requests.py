"""Requests of operators as the engine's orders."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from steerd.config.file.problem import nearest
from steerd.control.parts.history import KINDS, wanted
from steerd.control.server import RefusedError, Request
from steerd.control.verbs import confirmable
from steerd.core.events import Order, Verb
from steerd.core.settings import PathId, PolicyId
from steerd.core.views import View
from steerd.text.durations import parse, show

FOR_MAX: Final = 366 * 86400.0


def order(request: Request, now: float, *, pops: Collection[str], policies: Collection[str]) -> Order:
    """The order that a request means, on the engine's clock. RefusedError: it names what is not there."""
    verb = Verb(request["verb"])
    until = _until(request.get("for"), now)
    if verb in (Verb.DRAIN, Verb.UNDRAIN):
        return Order(verb, _known("PoP", request.get("pop"), pops), until=until)
    policy = _known("policy", request.get("policy"), policies)
    if verb is Verb.UNPIN:
        return Order(verb, policy)
    return Order(verb, policy, _known("PoP", request.get("pop"), pops), until, hard=request.get("hard") is True)


def given(order: Order, now: float, before: View, after: View) -> str:
    """What an order did, in words: ``before`` and ``after`` it."""
    match order.verb:
        case Verb.DRAIN:
            done = f"{order.subject} is drained{_for(order.until, now, f'steerctl undrain {order.subject}')}"
        case Verb.UNDRAIN:
            done = f"{order.subject} may be used again"
        case Verb.PIN:
            stays = ", also while that is down" if order.hard else ""
            ends = _for(order.until, now, f"steerctl unpin {order.subject}")
            done = f"{order.subject} is pinned to {order.to}{ends}{stays}"
        case Verb.UNPIN:
            done = f"{order.subject} is no longer pinned"
    wanted = {policy.policy: policy.wanted for policy in before.policies}
    moves = [
        f"{policy.policy} moves to {policy.wanted}" if policy.wanted else f"{policy.policy} is blocked: no path is left"
        for policy in after.policies
        if policy.wanted != wanted.get(policy.policy)
    ]
    return "; ".join([done, *(moves or _stays(order, after))])


def _stays(order: Order, view: View) -> Iterator[str]:
    """Who would have moved, and why nobody did."""
    for policy in view.policies:
        there = policy.wanted.partition("/")[0] if policy.wanted else None
        stays = f"{policy.policy} stays on {policy.wanted}" if policy.wanted else f"{policy.policy} has no path"
        if order.verb is Verb.DRAIN and there == order.subject:
            yield f"nothing else can be used: {stays}"
        if order.verb is Verb.PIN and policy.policy == order.subject and there != order.to:
            pinned = [one for one in policy.candidates if one.path.partition("/")[0] == order.to]
            why = " and ".join(f"{one.path}: {one.excluded}" for one in pinned if one.excluded)
            yield f"{stays}, since it may not use {order.to}{f' ({why})' if why else ''}"


def declined(order: Order, reason: str, view: View) -> str:
    """Why an order was not taken, in words; ``reason`` is the engine's."""
    if order.verb is not Verb.UNDRAIN:
        return f"{order.subject}: {reason}"
    others = " and ".join(sorted(drain.origin for drain in view.drains if drain.pop == order.subject))
    return f"{order.subject} is not drained by an operator" + (f", but by: {others}" if others else "")


def _for(until: float | None, now: float, ended_by: str) -> str:
    return f", until `{ended_by}`" if until is None else f" for {show(float(f'{until - now:.3g}'))}"


def traced(request: Request, known: Mapping[str, Sequence[str]]) -> tuple[str, Sequence[str]]:
    """The PoP that a trace is wanted of, and its paths; ``known`` are the paths of each PoP, as `POP/NAME`.
    RefusedError: it names what is not there."""
    pop = _known("PoP", request.get("pop"), known)
    name = request.get("path")
    if name is None:
        return pop, known[pop]
    names = {path.partition("/")[2]: path for path in known[pop]}
    short = name.removeprefix(f"{pop}/") if isinstance(name, str) else name
    return pop, [names[_known(f"path of {pop}", short, names)]]


def since(request: Request) -> float:
    """How far back a history is wanted, in seconds: a day unless the request says `since`."""
    try:
        return parse(request.get("since", 86400.0))
    except ValueError as error:
        raise RefusedError(f"since: {error}") from error


def of_history(request: Request, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a history what is asked for: of one `kind`, of a `policy`, of a `path` or PoP. RefusedError: there is no such
    kind."""
    kind = request.get("kind")
    if kind is not None and kind not in KINDS:
        raise RefusedError(f"kind: must be one of {', '.join(KINDS)}")
    return wanted(found, kind=kind, policy=request.get("policy"), path=request.get("path"))


def confirm_within(request: Request) -> float | None:
    """How long a reload waits to be confirmed, in seconds; None: it need not be. RefusedError: that is no such time."""
    if request.get("confirm") is None:
        return None
    try:
        return confirmable(parse(request["confirm"]))
    except ValueError as error:
        raise RefusedError(f"confirm: {error}") from error


def moved_policy(request: Request, policies: Collection[str]) -> PolicyId:
    """The policy whose connections are to be let go. RefusedError: it names what is not there, or lacks its `now`."""
    if request.get("now") is not True:
        raise RefusedError("must be told now: connections that PoPs translate break")
    return PolicyId(_known("policy", request.get("policy"), policies))


def moved(policy: PolicyId, paths: Sequence[PathId], let_go: int, unsure: int) -> str:
    """What became of it, in words; ``unsure`` may be another policy's as well."""
    by = " and ".join(paths)
    many = f"{let_go:,} connection{'' if let_go == 1 else 's'} of {policy} let go"
    if unsure:
        stay = (
            "conntrack tells neither the mark nor, of senders behind a router, the interface that tells policies apart"
        )
        return f"{many}; it goes by {by} now, but for {unsure:,} that may be another policy's: {stay}"
    if not let_go:
        return f"nothing of {policy} is pinned to another path: all of it goes by {by}"
    return f"{many}; all of it goes by {by} now"


def _known(what: str, name: Any, known: Collection[str]) -> str:
    if not isinstance(name, str):
        raise RefusedError(f"must name a {what}")
    if name not in known:
        raise RefusedError(f'there is no {what} "{name}"; {nearest(name, known)}')
    return name


def _until(duration: Any, now: float) -> float | None:
    if duration is None:
        return None
    try:
        seconds = parse(duration)
    except ValueError as error:
        raise RefusedError(f"for: {error}") from error
    if not 0 < seconds <= FOR_MAX:
        raise RefusedError(f"for: must be more than 0 seconds and at most {show(FOR_MAX)}")
    return now + seconds
