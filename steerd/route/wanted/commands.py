"""Changes as the `ip` command lines that would make them. Pure."""

import struct
from collections.abc import Iterator

from steerd.config.family import IPV6
from steerd.route.model import objects, prefixes
from steerd.route.model.objects import ONLINK, Action, Fra, Group, Nexthop, Routes, RouteType, Rule
from steerd.route.wanted.diff import Change, Difference, Verb


def lines(difference: Difference, protocol: int) -> list[str]:
    """One per kernel object, in the order in which they run."""
    changes = (*difference.additions, *difference.removals)
    return [line for change in changes for line in _change(change, protocol)]


def first_line(change: Change, protocol: int) -> str:
    """The change in one line: of routes, the first."""
    thing = change.thing
    if isinstance(thing, Routes):
        change = change._replace(thing=thing._replace(prefixes=thing.prefixes[: prefixes.WIDTH[thing.kind.family]]))
    return next(_change(change, protocol), "")


def nft_lines(text: str) -> list[str]:
    """One transaction of `nft`, as a shell takes it."""
    return ["nft --file - <<'END'", *text.splitlines(), "END"]


def _change(change: Change, protocol: int) -> Iterator[str]:
    verb, thing = change
    word = {Verb.ADD: "add", Verb.REPLACE: "replace", Verb.REMOVE: "del"}[verb]
    match thing:
        case Rule():
            yield f"{_ip(thing.family)} rule {word} {rule(thing)} protocol {protocol}"
        case Nexthop() | Group() if verb == Verb.REMOVE:
            yield f"ip nexthop del id {thing.id}"
        case Nexthop():
            hop = _hop(thing.via, thing.device)
            yield f"{_ip(thing.family)} nexthop {word} id {thing.id} {hop} protocol {protocol}"
        case Group():
            members = "/".join(f"{one},{weight}" for one, weight in thing.members)
            yield (
                f"ip nexthop {word} id {thing.id} group {members} type resilient buckets {thing.buckets} "
                f"idle_timer {thing.idle_timer // 100} protocol {protocol}"
            )
        case Routes():
            for entry in prefixes.split(thing.kind.family, thing.prefixes):
                yield f"{_ip(thing.kind.family)} route {word} {_route(thing, entry)} protocol {protocol}"


def _ip(family: int) -> str:
    return "ip -6" if family == IPV6 else "ip"


def rule(one: Rule) -> str:
    """As `ip rule` takes it."""
    mask = "" if one.mask == objects.FULL_MASK else f"/{one.mask:#x}"
    actions = {
        Action.LOOKUP: "lookup main" if one.target == objects.MAIN else f"lookup {one.target}",
        Action.GOTO: f"goto {one.target}",
        Action.NOP: "nop",
    }
    parts = (
        "not" if one.invert else "",
        f"from {one.source}" if one.source else "",
        f"iif {one.iif}" if one.iif else "",
        f"fwmark {one.mark:#x}{mask}" if one.mark or one.mask else "",
        *_others(one),
        f"priority {one.priority}",
        actions.get(Action(one.action)) if one.action in set(Action) else _rejection(one.action),
        "" if one.suppress is None else f"suppress_prefixlength {one.suppress}",
    )
    return " ".join(filter(None, parts))


def _hop(via: str, device: str) -> str:
    gateway, onlink, _ = via.partition(ONLINK)
    return " ".join(
        filter(None, (f"via {gateway}" if gateway else "", f"dev {device}" if device else "", onlink.strip()))
    )


def _rejection(action: int) -> str:
    """What a rule does that neither looks up nor jumps: the kernel numbers these as types of routes."""
    return RouteType(action).name.lower() if action in set(RouteType) else f"action {action}"


def destination(one: Rule) -> bytes:
    """The packed prefix that a found rule is about; empty: any destination."""
    values = dict(one.other)
    return values[Fra.DST] + values.get(0, bytes(2))[1:] if Fra.DST in values else b""


def _others(one: Rule) -> Iterator[str]:
    """What only rules of others have."""
    values = dict(one.other)
    if entry := destination(one):
        yield f"to {prefixes.text(one.family, entry)}"
    if Fra.OIFNAME in values:
        yield f"oif {values[Fra.OIFNAME].rstrip(bytes(1)).decode(errors='replace')}"
    if Fra.IP_PROTO in values:
        yield f"ipproto {values[Fra.IP_PROTO][0]}"
    for kind, name, form in (
        (Fra.SPORT_RANGE, "sport", "=HH"),
        (Fra.DPORT_RANGE, "dport", "=HH"),
        (Fra.UID_RANGE, "uidrange", "=II"),
    ):
        if kind in values:
            first, last = struct.unpack(form, values[kind])
            yield f"{name} {first}" if first == last and form == "=HH" else f"{name} {first}-{last}"


def _route(routes: Routes, entry: bytes) -> str:
    kind = routes.kind
    name = RouteType(kind.type).name.lower() if kind.type in set(RouteType) else f"type {kind.type}"
    parts = (
        "" if kind.type == RouteType.UNICAST else name,
        prefixes.text(kind.family, entry) if entry[-1] else "default",
        f"table {kind.table}",
        f"nhid {kind.nexthop}" if kind.nexthop else "",
        _hop(kind.via, kind.device),
        f"metric {kind.metric}",
    )
    return " ".join(filter(None, parts))
