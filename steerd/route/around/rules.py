"""Rules of others that policies' traffic meets before ours, or that ours keep it from. Pure.

Only what can concern such traffic is told: the table must have routes for a policy's prefixes, and by other devices
than the policy's own.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from ipaddress import ip_network
from typing import Final, NamedTuple

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import Guard, RoutePolicy, RouteSettings
from steerd.core.settings import PolicyId
from steerd.route.model import numbers, prefixes
from steerd.route.model.leads import Lead, Leads
from steerd.route.model.objects import LOCAL, MAIN, REJECTS, Action, Fra, RouteType, Rule
from steerd.route.wanted import commands, coverage
from steerd.route.wanted.choice import devices
from steerd.route.wanted.desired import steered
from steerd.route.wanted.selection import LOOPBACK, Selection, selections

_NAMED: Final = 5
_TABLES: Final = {MAIN, 253}
"""Main and default, which the kernel's own last rules lead to."""
_TAILSCALE: Final = (0x80000, 0xFF0000)
"""The mark and mask of what tailscaled itself sends: never forwarded."""

Read = Callable[[int, int], Leads]
"""The routes of a table, by family and number."""


class Surrounding(NamedTuple):
    """``rules`` with their protocols; ``own``: this gateway's addresses; ``uplinks``: the devices of main's default
    routes; ``guarded``: the leak guard works here."""

    rules: Sequence[tuple[int, Rule]]
    own: AbstractSet[str]
    uplinks: AbstractSet[str]
    table: Read
    guarded: bool = True


class Met(NamedTuple):
    """A ``rule`` of others that policies' traffic meets: what it does to it, and what mends that; None, and no cure: so
    many more. ``takes``: the policies whose traffic it takes away."""

    what: str
    cure: str = ""
    rule: Rule | None = None
    takes: AbstractSet[PolicyId] = frozenset()

    @property
    def words(self) -> str:
        """Both in one line."""
        return f"{self.what}: {self.cure}" if self.cure else self.what


def foreign(settings: RouteSettings, around: Surrounding) -> Iterator[Met]:
    """Each such rule; of many the first are named, and the rest counted."""
    band = numbers.priorities(settings)
    others = [
        rule
        for protocol, rule in around.rules
        if not (protocol == settings.protocol and rule.priority in band) and _is_about(rule, settings)
    ]
    yield from _late(around, band[0])
    chosen = selections(settings) if others else ()
    for before, does in ((True, "before steerd's and take"), (False, "after steerd's and get none of")):
        found = []
        for rule in others:
            met = [one for one in chosen if (rule.priority < band[0] + one.priority) is before]
            if line := _line(settings, around, rule, met, before=before):
                found.append(line)
        yield from found[:_NAMED]
        if len(found) > _NAMED:
            yield Met(f"and {len(found) - _NAMED} more rules of others come {does} policies' traffic")


def _late(around: Surrounding, first: int) -> Iterator[Met]:
    """The rules that look up this machine's own addresses, if none comes before steerd's."""
    found = [rule for _, rule in around.rules if rule.action == Action.LOOKUP and rule.target == LOCAL]
    for family, protocol in ((IPV4, "ip"), (IPV6, "ip -6")):
        here = [rule for rule in found if rule.family == family]
        if here and min(rule.priority for rule in here) >= first:
            yield Met(
                f"rule '{commands.rule(here[0])}' comes after steerd's: what policies select does not reach this "
                f"gateway's own IPv{family} addresses; `{protocol} rule add priority 0 lookup local` puts them first"
            )


def _line(
    settings: RouteSettings, around: Surrounding, rule: Rule, met: Iterable[Selection], *, before: bool
) -> Met | None:
    taken: dict[PolicyId, Lead] = {}
    guarded = False
    for selection in met:
        for policy in selection.policies if _meets(rule, selection, settings, around) else ():
            lead = _leads(settings, around.table, rule, policy, before=before)
            if lead:
                taken.setdefault(policy.policy, lead)
                guarded |= around.guarded and policy.guard is not Guard.OFF and not selection.selectors.own
    if not taken:
        return None
    first, *more = taken
    whom = f"policy {first}" + (f" and {len(more)} more" if more else "")
    text, band = commands.rule(rule), numbers.priorities(settings)
    out = "leave its traffic out of the policy (from, iif, except)"
    if before:
        where = coverage.where(taken[first]) if rule.action != Action.GOTO else "past steerd's rules"
        drops = ", where the leak guard drops it" if guarded and taken[first].type not in REJECTS else ""
        what = f"rule '{text}' comes before steerd's and takes traffic of {whom} {where}{drops}"
        return Met(what, f"remove it, give it a priority above {band[-1]}, or {out}", rule, taken.keys())
    cure = out if guarded else f"give it a priority below {band[0]}, or {out}"
    return Met(f"rule '{text}' comes after steerd's and gets no traffic of {whom}", cure, rule)


def _is_about(rule: Rule, settings: RouteSettings) -> bool:
    """Whether the rule can matter to any policy: not the kernel's own, nor one that does as ours do."""
    values = dict(rule.other)
    plain = not (rule.source or rule.iif or rule.mask or values)
    if Fra.L3MDEV in values or Fra.TUN_ID in values or rule.action == Action.NOP:
        return False
    if rule.action == Action.LOOKUP and rule.target in numbers.tables(settings):
        return False
    if rule.action == Action.LOOKUP and (rule.target == LOCAL or (rule.target == MAIN and rule.suppress is not None)):
        return False
    if (
        plain
        and rule.priority > numbers.priorities(settings)[-1]
        and (rule.action in REJECTS or rule.target in _TABLES)
    ):
        return False  # what nobody took goes there
    marked = (rule.mark, rule.mask)
    return rule.invert or (marked != _TAILSCALE and not (settings.bypass_mark and rule.mark == settings.bypass_mark))


def _meets(rule: Rule, selection: Selection, settings: RouteSettings, around: Surrounding) -> bool:
    """Whether a packet may match both."""
    selectors, values = selection.selectors, dict(rule.other)
    if rule.invert:
        return not _excludes(rule, selection)
    local = rule.iif == LOOPBACK or Fra.OIFNAME in values or Fra.UID_RANGE in values
    if (local and not selectors.own) or (rule.iif not in ("", LOOPBACK) and selectors.own):
        return False
    if rule.iif and not local:
        outside = {path.device for path in settings.paths} | around.uplinks  # by these come answers
        if rule.iif not in selectors.iifs and (selectors.iifs or rule.iif in outside):
            return False
    mark, mask = selectors.fwmark
    if (mark ^ rule.mark) & mask & rule.mask:
        return False
    if not rule.source:
        return True
    source = ip_network(rule.source)
    if not selectors.own and source.num_addresses == 1 and str(source.network_address) in around.own:
        return False  # what is from here is not forwarded
    same = [one for one in map(ip_network, selectors.sources) if one.version == source.version]
    return not selectors.sources or any(one[0] in source or source[0] in one for one in same)


def _excludes(rule: Rule, selection: Selection) -> bool:
    """Whether a rule that is about all but something leaves out just what the selection is about."""
    selectors = selection.selectors
    if rule.mask or rule.other or (rule.source and rule.iif):
        return False
    if rule.iif:
        return (selectors.own and rule.iif == LOOPBACK) or set(selectors.iifs) == {rule.iif}
    source, mine = ip_network(rule.source or "0.0.0.0/0"), [ip_network(one) for one in selectors.sources]
    same = [one for one in mine if one.version == source.version]
    return bool(rule.source and mine) and all(
        source.prefixlen <= one.prefixlen and one.network_address in source for one in same
    )


def _leads(settings: RouteSettings, table: Read, rule: Rule, policy: RoutePolicy, *, before: bool) -> Lead | None:
    """Where the rule leads packets of the policy, or would lead them; None: nowhere else than they go, or should."""
    family = rule.family
    management = prefixes.pack(family, settings.management)
    mine, about = steered(policy, family, management), commands.destination(rule)
    if about:
        mine = prefixes.overlapping(family, mine, about)
    if not mine:
        return None
    left = prefixes.union(family, prefixes.of_family(policy.excepted, family), management)
    if rule.action == Action.GOTO:
        jumps = before and rule.target > numbers.priorities(settings)[0]
        return Lead(family, RouteType.THROW) if jumps else None
    if rule.action != Action.LOOKUP:
        return Lead(family, rule.action) if rule.action in REJECTS else None
    routes = table(family, rule.target)
    if not routes and rule.source and not before:
        return Lead(family, RouteType.UNICAST)  # written for somebody, though its table is still empty
    found = {
        lead: widest
        for lead, packed in routes.items()
        if lead.type != RouteType.THROW
        and not (lead.devices and devices(settings, policy) >= set(lead.devices))
        and (widest := _widest(family, packed, mine, left, about, rule.suppress)) is not None
    }
    if before and all(lead.type == RouteType.LOCAL for lead in found):
        return None  # a proxy on this machine: as meant
    return min(found, key=lambda lead: (found[lead], lead.metric), default=None)


def _widest(family: int, packed: bytes, mine: bytes, left: bytes, about: bytes, suppress: int | None) -> int | None:
    """The shortest prefix of a table's routes that is about addresses of the policy's, but for what it leaves to main;
    None: there is none."""
    known = packed
    if suppress is not None:
        known = b"".join(entry for entry in prefixes.split(family, packed) if entry[-1] > suppress)
    known = prefixes.outside(family, known, left)
    if about and known:
        known = prefixes.overlapping(family, known, about)
    met = prefixes.overlapping(family, known, mine) if known else b""
    return min((entry[-1] for entry in prefixes.split(family, met)), default=None)
