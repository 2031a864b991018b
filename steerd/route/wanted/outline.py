"""A plan in words: policy by policy what would become of its traffic, and how much of the kernel changes. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from steerd.config.prefixes import count
from steerd.config.route_settings import Guard, RoutePolicy, RouteSettings
from steerd.core.settings import PolicyId
from steerd.route.model import prefixes
from steerd.route.model.objects import Group, Nexthop, Rule
from steerd.route.model.prefixes import FAMILIES
from steerd.route.wanted.choice import BLOCKED, Choice
from steerd.route.wanted.diff import Difference, Verb

_SHOWN = 3


def outline(
    settings: RouteSettings,
    before: Mapping[PolicyId, Choice],
    after: Mapping[PolicyId, Choice],
    changes: Difference,
    *,
    table: bool,
) -> list[str]:
    """``before`` and ``after``: the choices of policies that are in place, in the kernel and by the plan; ``table``:
    whether our table of nftables is put in place anew."""
    lines = [
        f"policy {policy.policy}: {_about(policy)}: {_goes(policy, before, after)}" for policy in settings.policies
    ]
    counted = list(_counted(changes))
    if table:
        guarded = [policy.policy for policy in settings.policies if policy.guard is not Guard.OFF]
        guards = f", whose guard lets {', '.join(guarded)} leave by {_own(guarded)} paths only" if guarded else ""
        counted.append(f"table inet {settings.nft_table} of nftables{guards}")
    return [*lines, f"in the kernel: {'; '.join(counted)}" if counted else "the kernel already has all of it"]


def _own(guarded: Sequence[str]) -> str:
    return "its" if len(guarded) == 1 else "their"


def _about(policy: RoutePolicy) -> str:
    """What it selects: `0.0.0.0/0 and ::/0 of what comes in by lan0`."""
    every = count(policy.prefixes)
    texts = []
    for family in FAMILIES:
        packed, width = prefixes.of_family(policy.prefixes, family), prefixes.WIDTH[family]
        texts += [
            prefixes.text(family, packed[at : at + width]) for at in range(0, min(len(packed), _SHOWN * width), width)
        ]
    shown = " and ".join(texts) if every <= _SHOWN else f"{every} prefixes"
    if excepted := count(policy.excepted):
        shown += f" but for {excepted} in except"
    what = [f"from {', '.join(policy.sources)}"] if policy.sources else []
    what += [f"by {', '.join(policy.iifs)}"] if policy.iifs else []
    what += [f"with mark {policy.fwmark[0]:#x}"] if policy.fwmark != (0, 0) else []
    own = " and of this machine's own" if policy.own_traffic else ""
    return f"{shown} of {'what comes in ' + ' '.join(what) if what else 'all that is forwarded'}{own}"


def _goes(policy: RoutePolicy, before: Mapping[PolicyId, Choice], after: Mapping[PolicyId, Choice]) -> str:
    was, will = before.get(policy.policy), after.get(policy.policy)
    if will is None:
        return "not steered yet; its rules and routes come with its first choice"
    said = "is blocked" if will == BLOCKED else f"by {will.best}"
    if was is None:
        return f"{said}, from now on"
    if was.best != will.best:
        return f"{said}, no longer {'blocked' if was == BLOCKED else f'by {was.best}'}"
    return f"{said}, as now"


def _counted(changes: Difference) -> Iterator[str]:
    """How many objects of each kind come, change and go."""
    done: dict[str, Counter[str]] = {}
    for change in (*changes.additions, *changes.removals):
        match change.thing:
            case Rule():
                kind, number = "rules", 1
            case Nexthop() | Group():
                kind, number = "next hops", 1
            case routes:
                kind, number = "routes", prefixes.count(routes.kind.family, routes.prefixes)
        verb = {Verb.ADD: "added", Verb.REPLACE: "replaced", Verb.REMOVE: "removed"}[change.verb]
        # A route is always sent as one that replaces what its place holds; mostly that is nothing.
        done.setdefault(kind, Counter())["set" if kind == "routes" and verb != "removed" else verb] += number
    for kind, verbs in done.items():
        yield f"{kind}: " + ", ".join(f"{number} {verb}" for verb, number in verbs.items())
