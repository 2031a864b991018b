"""Routes, rules and IPsec policies of others that take traffic of policies, or get none of it."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_network

from steerd.config.family import IPV6
from steerd.config.route_settings import RoutePolicy, RouteSettings
from steerd.config.settings import Config
from steerd.machine.finding import Cure, Finding, do, error, of_policy, put, run, warning
from steerd.machine.record import Machine
from steerd.route.around.remarks import shadowed
from steerd.route.around.rules import Met, Surrounding, foreign
from steerd.route.model import numbers, prefixes
from steerd.route.model.leads import Lead
from steerd.route.model.objects import Rule
from steerd.route.model.prefixes import FAMILIES
from steerd.route.wanted import commands
from steerd.route.wanted.choice import devices
from steerd.route.wanted.coverage import ALL, covered, words
from steerd.route.wanted.desired import steered

_FEW = 8
_KNOWN = {52: "Tailscale's", 220: "strongSwan's"}
"""Tables of programs that make their rules anew."""
_MWAN3 = range(1000, 3001)
"""Priorities of its rules, which it makes anew, too."""


def look(config: Config, machine: Machine) -> Iterator[Finding]:
    """Main's routes first, since they come first, too."""
    settings = config.route
    for policy in settings.policies:
        yield from _main(settings, machine, policy)
        yield from _ipsec(settings, machine, policy)
    guarded = machine.nftables.refusals.get("guard", "") is None
    around = Surrounding(
        machine.rules,
        machine.own,
        machine.uplinks,
        lambda family, number: machine.tables.get((family, number), {}),
        guarded=guarded,
    )
    for met in foreign(settings, around):
        yield from _rule(settings, machine, met, guarded=guarded)


def _main(settings: RouteSettings, machine: Machine, policy: RoutePolicy) -> Iterator[Finding]:
    leads, place, shares = machine.main.leads, of_policy(policy.policy, "prefixes"), False
    for family in FAMILIES:
        found = covered(settings, leads, policy, family, devices(settings, policy))
        if found.share:
            shares = True
            whole = found.share >= ALL
            part = words(settings, leads, policy, found)
            yield (error if whole else warning)(
                "main-takes",
                place,
                f"Routes of main that are no default routes take {part}.",
                "They come before steerd's rules, so this is never steered.",
                _removal(settings, machine, policy, found.leads)
                or do(
                    "Remove them (OpenVPN: pull-filter ignore redirect-gateway), or list in except what is to go there."
                ),
            )
    for line in () if shares else shadowed(replace(settings, policies=(policy,)), machine.main):
        yield warning(
            "main-knows-better",
            place,
            f"{line.removeprefix(f'policy {policy.policy}: ')}.".replace("prefixes are", "of its prefixes are", 1),
            "What main knows as well or better by itself goes where main says.",
            do("Remove these routes (`ip route del`), or take the prefixes out of the policy."),
        )


def _removal(settings: RouteSettings, machine: Machine, policy: RoutePolicy, leads: tuple[Lead, ...]) -> Cure | None:
    """Commands that remove the routes, if they are few."""
    found = []
    for lead, packed in machine.main.leads.items():
        if lead._replace(metric=0) not in leads:
            continue
        mine = steered(policy, lead.family, prefixes.pack(lead.family, settings.management))
        for entry in prefixes.split(lead.family, prefixes.overlapping(lead.family, packed, mine)):
            metric = f" metric {lead.metric}" if lead.metric else ""
            by = f" dev {lead.devices[0]}" if len(lead.devices) == 1 else ""
            found.append(f"{_ip(lead.family)} route del {prefixes.text(lead.family, entry)}{by}{metric}")
            if len(found) > _FEW:
                return None
    return run(*found) if found else None


def _rule(settings: RouteSettings, machine: Machine, met: Met, *, guarded: bool) -> Iterator[Finding]:
    if met.rule is None:
        yield warning("rules-more", "policies", f"{met.what}.", "Only the first are named.", do("Mend those first."))
        return
    rule, band = met.rule, numbers.priorities(settings)
    if rule.priority in band:
        return  # told with the numbers that others have
    whose = _KNOWN.get(rule.target, "mwan3's" if rule.priority in _MWAN3 and rule.mask else "")
    what = f"{whose} {met.what}." if whose else f"{met.what[0].upper()}{met.what[1:]}."
    concerned = _concerned(settings, machine, rule)
    policy = next((one for one in concerned if one.policy in met.takes), next(iter(concerned), None))
    # What others mean to go their way is left to them where that can be said in the file.
    left = _left_out(policy, machine, rule) if policy and (met.takes or whose or guarded) else None
    named = next(iter(met.takes), policy.policy if policy else None)
    place = of_policy(named, "except" if left else "") if named else "policies"
    command, ip = commands.rule(rule), _ip(rule.family)
    words_ = do(f"{met.cure[0].upper()}{met.cure[1:]}.")
    if met.takes:
        cure = left or (words_ if whose else run(f"{ip} rule del {command}"))
        yield error("rule-before", place, what, "What it takes is never steered.", cure)
        return
    first = command.replace(f"priority {rule.priority}", f"priority {band[0] - 1}")
    moved = words_ if guarded else run(f"{ip} rule add {first}", f"{ip} rule del {command}")
    why = "Whoever made it meant that traffic to go there, and it no longer does."
    yield warning("rule-after", place, what, why, left or moved)


def _concerned(settings: RouteSettings, machine: Machine, rule: Rule) -> list[RoutePolicy]:
    """The policies with addresses that the rule's table knows."""
    table = machine.tables.get((rule.family, rule.target), {})
    packed = prefixes.union(rule.family, *table.values())
    return [
        policy
        for policy in settings.policies
        if prefixes.overlapping(rule.family, prefixes.of_family(policy.prefixes, rule.family), packed)
    ]


def _left_out(policy: RoutePolicy, machine: Machine, rule: Rule) -> Cure | None:
    """What the policy is to leave out so that the rule's table gets it; None: too much."""
    table = machine.tables.get((rule.family, rule.target), {})
    entries = prefixes.split(rule.family, prefixes.union(rule.family, *table.values()))
    if not entries or len(entries) > _FEW or any(entry[-1] == 0 for entry in entries):
        return None
    return except_(policy, (prefixes.text(rule.family, entry) for entry in entries))


def except_(policy: RoutePolicy, more: Iterable[str]) -> Cure:
    """What the policy leaves out already, and more."""
    before = [
        prefixes.text(family, entry)
        for family in FAMILIES
        for entry in prefixes.split(family, prefixes.of_family(policy.excepted, family))
    ]
    listed = ", ".join(f'"{one}"' for one in dict.fromkeys((*before, *more)))
    return put(f"except = [{listed}]")


def _ipsec(settings: RouteSettings, machine: Machine, policy: RoutePolicy) -> Iterator[Finding]:
    for one in machine.ipsec:
        management = prefixes.pack(one.family, settings.management)
        left = prefixes.union(one.family, management, prefixes.of_family(policy.excepted, one.family))
        mine = steered(policy, one.family, management)
        about = prefixes.outside(one.family, prefixes.pack(one.family, (one.destination,)), left)
        same = [net for net in map(ip_network, policy.sources) if net.version == one.family]
        of = ip_network(one.source)
        if one.bound or not prefixes.overlapping(one.family, mine, about):
            continue
        if same and not any(net[0] in of or of[0] in net for net in same):
            continue
        yield warning(
            "ipsec-takes",
            of_policy(policy.policy, "except"),
            f"An IPsec policy encrypts what goes from {one.source} to {one.destination}, whatever path it leaves by.",
            "It goes to IPsec's peer and not to the PoP that steerd chose.",
            do("Narrow its selectors, or give the tunnel an interface of its own (if_id).")
            if about == prefixes.DEFAULT[one.family]
            else except_(policy, (one.destination,)),
        )


def _ip(family: int) -> str:
    return "ip -6" if family == IPV6 else "ip"
