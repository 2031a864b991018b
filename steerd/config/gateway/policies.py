"""Policies against the PoPs and against each other: who may carry what, and which prefixes collide."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path

from steerd.config.family import IPV4, IPV6
from steerd.config.file.problem import Report, nearest
from steerd.config.gateway.document import Document, Policy, Route
from steerd.config.gateway.pops import CheckedPath, Pops
from steerd.config.prefixes import PrefixList, covered, joined, pack, unpack
from steerd.config.route_settings import OWN_SELECTORS, POLICY_TABLES, SELECTORS, Prefixes
from steerd.core.settings import PathId

_COLLISIONS = 10
_TAG = "tag:"
_ALL = frozenset({pack("0.0.0.0/0"), pack("::/0")})

Forbidden = tuple[tuple[PathId, str], ...]
Preferred = tuple[tuple[PathId, float], ...]
Selectors = tuple[frozenset[str], frozenset[str], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class CheckedPolicy:
    """A policy with its prefixes read, the paths it may never use and why, those worth something to it, in ms, and the
    PoPs that its traffic may cross on the way ``through`` the backbone to its service."""

    written: Policy
    order: int
    prefixes: Prefixes
    excepted: Prefixes
    forbidden: Forbidden
    preferred: Preferred
    through: tuple[str, ...] = ()


def selectors(policy: Policy) -> Selectors:
    """What its packets are selected by: sources, input interfaces, mark."""
    return frozenset(policy.sources), frozenset(policy.iif), policy.fwmark


def check(tables: Document, pops: Pops, folder: Path, report: Report) -> list[CheckedPolicy]:
    """Reads every policy's prefixes and finds its candidates."""
    found: list[CheckedPolicy] = []
    report.unique("policy", (policy.name if policy else None for policy in tables.policy))
    written = [(order, policy) for order, policy in enumerate(tables.policy) if policy is not None]
    lists = [(policy, _prefixes(policy, f"policy[{order}]", folder, report)) for order, policy in written]
    if report.tolerant:
        _assume_all(lists)
    for (order, policy), (_, texts) in zip(written, lists, strict=True):
        key = f"policy[{order}]"
        prefixes = joined(texts.packed)
        families = {family for family, data in ((IPV4, prefixes.v4), (IPV6, prefixes.v6)) if data}
        forbidden = _candidates(policy, key, families, pops, report) if pops.names else ()
        _objective(policy, key, report)
        _spread(tables, policy, key, dict(forbidden), pops, report)
        _flows(policy, key, report)
        through = _service(tables, policy, key, pops, report) if policy.service else ()
        preferred = _preferred(policy, key, dict(forbidden), pops, report) if pops.whole and pops.names else ()
        excepted = joined(map(pack, policy.excepted))
        found.append(CheckedPolicy(policy, order, prefixes, excepted, forbidden, preferred, through))
    if len(found) > POLICY_TABLES:
        report.error("policy", len(found), f"must be at most {POLICY_TABLES} policies")
    _selectors(found, report)
    _marks(found, tables.route.mark, report)
    _own_traffic(found, tables.route, report)
    _collisions(lists, report)
    return found


def _selectors(policies: Sequence[CheckedPolicy], report: Report) -> None:
    """Each different selector takes a rule priority of its own."""
    kinds = {selectors(one.written) for one in policies}
    own = {(frozenset(one.written.sources), one.written.fwmark) for one in policies if one.written.own_traffic}
    for what, most, number in (
        ("from, iif and fwmark", SELECTORS, len(kinds)),
        ("from and fwmark with own_traffic", OWN_SELECTORS, len(own)),
    ):
        if number > most:
            report.error("policy", None, f"there are {number} different {what}: must be at most {most}")


def _marks(policies: Sequence[CheckedPolicy], ours: int, report: Report) -> None:
    for order, fwmark in ((one.order, one.written.fwmark) for one in policies):
        if fwmark[1] & ours:
            found = "{:#x}/{:#x}".format(*fwmark)
            report.error(f"policy[{order}].fwmark", found, f"must share no bit with route.mark {ours:#x}")


def _own_traffic(policies: Sequence[CheckedPolicy], route: Route, report: Report) -> None:
    answers = "steers answers to whoever administers this gateway too: list them in route.management"
    tunnels = "" if route.bypass_mark else ", with the tunnels' endpoints"
    for one in policies:
        if one.written.own_traffic and not route.management:
            report.warn(f"policy[{one.order}].own_traffic", answers + tunnels)


def _prefixes(policy: Policy, key: str, folder: Path, report: Report) -> PrefixList:
    texts = PrefixList()
    before = len(report.problems)
    texts.add(f"{key}.prefixes", policy.prefixes, report)
    listed = len(report.problems)
    if policy.prefixes_file is not None:
        texts.add_file(f"{key}.prefixes_file", folder / policy.prefixes_file, report)
    if not texts.packed and not texts.late and not report.touched(key) and len(report.problems) == before:
        report.error(key, policy.name, "has no prefixes: must have some, or a prefixes_file that is not empty")
    if policy.prefixes_file is not None:
        texts.late |= report.miss(listed)
    for at, text in enumerate(policy.excepted):
        if pack(text) in texts.packed:
            report.error(f"{key}.except[{at}]", text, "is one of the prefixes too: must be within one of them")
        elif not covered(pack(text), texts.packed):
            report.warn(f"{key}.except[{at}]", f"{text} is in none of the policy's prefixes")
    return texts


def _assume_all(lists: Sequence[tuple[Policy, PrefixList]]) -> None:
    """A list that cannot be read, or not to its end, may hold any address: the policy counts as one for all of them,
    unless another, of the same selectors, has the default route."""
    for policy, texts in lists:
        if texts.late:
            alike = [others.packed for other, others in lists if selectors(other) == selectors(policy)]
            texts.packed.update(_ALL.difference(*alike))


def _matches(pattern: str, name: str, tags: Iterable[str]) -> bool:
    if pattern.startswith(_TAG):
        return any(fnmatchcase(tag, pattern.removeprefix(_TAG)) for tag in tags)
    return fnmatchcase(name, pattern)


def _candidates(policy: Policy, key: str, families: set[int], pops: Pops, report: Report) -> Forbidden:
    """Reports patterns that match nothing; returns the paths that this policy may never use, and why."""
    patterns = ["*"] if policy.pops is None else policy.pops
    for at, pattern in enumerate(patterns):
        decidable = pops.whole or not pattern.startswith(_TAG)
        if decidable and not any(_matches(pattern, name, pops.tags.get(name, ())) for name in pops.names):
            report.error(f"{key}.pops[{at}]", pattern, f"matches no PoP; {nearest(pattern, pops.names)}")
    if not pops.whole:
        return ()
    forbidden: list[tuple[PathId, str]] = []
    candidates: list[CheckedPath] = []
    for path in pops.paths:
        if not any(_matches(pattern, path.pop.name, path.pop.tags) for pattern in patterns):
            forbidden.append((path.path, f"PoP {path.pop.name} is not among {', '.join(patterns)}"))
        elif policy.regions and path.pop.region not in policy.regions:
            forbidden.append((path.path, f"region {path.pop.region} is not among {', '.join(policy.regions)}"))
        else:
            candidates.append(path)
    if not candidates and not report.touched(f"{key}.pops"):
        where = f" in the regions {', '.join(policy.regions)}" if policy.regions else ""
        report.error(key, policy.name, f"has no path: must match at least one PoP{where}")
    elif candidates:
        for family in sorted(families):
            if not any(family in path.families for path in candidates):
                report.warn(key, f"no path of policy {policy.name} carries IPv{family}: that traffic is blocked")
    forbidden += [
        (path.path, f"carries no IPv{min(families)}")
        for path in candidates
        if families and not families & path.families
    ]
    return tuple(forbidden)


def _objective(policy: Policy, key: str, report: Report) -> None:
    """Reports what the policy's objective ignores."""
    idle = policy.weights.model_fields_set & {"rtt", "jitter", "loss"} if policy.objective == "mos" else set()
    left_out = f'does nothing with objective = "{policy.objective}": must be left out'
    for term in sorted(idle):
        report.error(f"{key}.weights.{term}", getattr(policy.weights, term), left_out)
    if policy.objective != "mos" and "codec" in policy.model_fields_set and not report.touched(f"{key}.objective"):
        report.error(f"{key}.codec", policy.codec, left_out)


def _spread(
    tables: Document, policy: Policy, key: str, forbidden: Mapping[PathId, str], pops: Pops, report: Report
) -> None:
    if policy.spread == 1:
        if "spread_within" in policy.model_fields_set:
            report.error(f"{key}.spread_within", policy.spread_within, "does nothing with spread = 1: must be left out")
        return
    if not tables.route.nexthop_objects:
        grouped = "takes nexthop groups: must be 1 with route.nexthop_objects = false"
        report.error(f"{key}.spread", policy.spread, grouped)
    candidates = [path for path in pops.paths if path.path not in forbidden]
    if pops.whole and len(candidates) < 2:
        report.warn(f"{key}.spread", f"policy {policy.name} may use one path only: nothing is shared")
    unknown = [path for path in candidates if path.written.capacity is None]
    if unknown and len(unknown) < len(candidates):
        names = ", ".join(path.path for path in unknown)
        report.error(f"{key}.spread", policy.spread, f"its paths have a capacity, but not {names}: must be all or none")


def _flows(policy: Policy, key: str, report: Report) -> None:
    if policy.flows != "client" and "client_idle" in policy.model_fields_set and not report.touched(f"{key}.flows"):
        left_out = f'does nothing with flows = "{policy.flows}": must be left out'
        report.error(f"{key}.client_idle", policy.client_idle, left_out)


def _service(tables: Document, policy: Policy, key: str, pops: Pops, report: Report) -> tuple[str, ...]:
    """The PoPs that traffic to the policy's service may cross: where it may not be, it may not pass either."""
    if policy.service in pops.names:
        allowed = "is the name of a PoP: must be another name, as PoPs say of their links where they lead to"
        report.error(f"{key}.service", policy.service, allowed)
    if tables.mqtt is None and not report.touched("mqtt"):
        report.warn(f"{key}.service", "there is no [mqtt]: no PoP can say how far it is from there")
    within = [pop.name for pop in tables.pop if pop and (not policy.regions or pop.region in policy.regions)]
    return tuple(dict.fromkeys(within))


def _preferred(policy: Policy, key: str, forbidden: Mapping[PathId, str], pops: Pops, report: Report) -> Preferred:
    """What each path is worth to the policy: all tags of its PoP together. Warns of tags that change nothing."""
    candidates = [path for path in pops.paths if path.path not in forbidden]
    for tag in policy.prefer:
        if not any(tag in tags for tags in pops.tags.values()):
            known = nearest(tag, [one for tags in pops.tags.values() for one in tags])
            report.warn(f"{key}.prefer.{tag}", f"no PoP has this tag; {known}")
        elif not any(tag in path.pop.tags for path in candidates):
            report.warn(f"{key}.prefer.{tag}", f"no PoP that policy {policy.name} may use has this tag")
    worths = ((path.path, sum(policy.prefer.get(tag, 0.0) for tag in set(path.pop.tags))) for path in candidates)
    return tuple((path, worth) for path, worth in worths if worth)


def _collisions(lists: Sequence[tuple[Policy, PrefixList]], report: Report) -> None:
    """Equal prefixes under equal selectors: which of the policies would be meant?"""
    found = 0
    for (one, texts), (other, others) in combinations(lists, 2):
        if selectors(one) != selectors(other):
            continue
        for packed in sorted(texts.packed & others.packed):
            found += 1
            if found <= _COLLISIONS:
                first = f"policy {one.name} has it too, at {texts.place(packed)}"
                report.error(others.place(packed), unpack(packed), f"must be in one policy only: {first}")
    if found > _COLLISIONS:
        report.error("policy", None, f"{found - _COLLISIONS} more prefixes are in two policies")
