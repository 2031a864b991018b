"""PoPs and their paths against each other: names, and what each path can carry and be probed by."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steerd.config.family import IPV4, IPV6
from steerd.config.file.problem import Report
from steerd.config.gateway.document import TARGETS_MAX, Document, Path, Pop
from steerd.config.values import names
from steerd.core.settings import PathId


@dataclass(frozen=True, slots=True)
class CheckedPath:
    """`key` is the path's place in the file; `uplink` what it leaves by: no other path shares one of its own name."""

    key: str
    path: PathId
    pop: Pop
    written: Path
    families: frozenset[int]
    uplink: str


@dataclass(frozen=True, slots=True)
class Pops:
    """What policies choose from. `names` has all written PoPs, the refused too; `whole`: none was refused;
    `partial`: there may be others."""

    paths: Sequence[CheckedPath]
    names: Sequence[str]
    tags: dict[str, Sequence[str]]
    whole: bool
    partial: bool = False


def targets(path: Path) -> Mapping[int, Sequence[tuple[str, str]]]:
    """Each family's targets, with the key that each is under. A name in ``targets`` is one of IPv4."""
    single = {IPV4: [("target", path.target)], IPV6: [("target6", path.target6)]}
    listed = [(f"targets[{at}]", one) for at, one in enumerate(path.targets)]
    found = {
        family: [
            *((key, one) for key, one in own if one is not None),
            *((key, one) for key, one in listed if (":" in one) == (family == IPV6)),
        ]
        for family, own in single.items()
    }
    return {family: some for family, some in found.items() if some}


def check(tables: Document, raw: dict[str, Any], report: Report) -> Pops:
    """Reports what PoPs and paths contradict, and finds what each path carries."""
    paths: list[CheckedPath] = []
    report.unique("pop", (pop.name if pop else None for pop in tables.pop))
    uplinks = {uplink.name for uplink in tables.uplink if uplink is not None}
    for at, pop in enumerate(tables.pop):
        if pop is None:
            continue
        paths += _paths(pop, f"pop[{at}]", uplinks, report)
    if not tables.probe.wireguard_interval and not report.touched("probe.wireguard_interval"):
        for path in paths:
            if path.written.endpoint:
                host, port = path.written.endpoint
                allowed = 'must come without probe.wireguard_interval = "0s", or nobody knows when the tunnel is stale'
                report.error(f"{path.key}.endpoint", f"{host}:{port}", allowed)
    written = raw.get("pop")
    every = [pop.get("name") for pop in written if isinstance(pop, dict)] if isinstance(written, list) else []
    return Pops(
        paths=paths,
        names=[name for name in every if isinstance(name, str)],
        tags={pop.name: pop.tags for pop in tables.pop if pop},
        whole=not report.touched("pop"),
    )


def _paths(pop: Pop, key: str, uplinks: Collection[str], report: Report) -> list[CheckedPath]:
    paths: list[CheckedPath] = []
    names: dict[str, int] = {}
    if not pop.paths:
        report.error(f"{key}.paths", [], "must list at least one path")
    for at, path in enumerate(pop.paths):
        if path is None:
            continue
        here = f"{key}.paths[{at}]"
        name = _name(path, here, report)
        if name in names:
            other = f"{report.told(key)}.paths[{names[name]}]"
            report.error(f"{here}.name", name, f"must be unique in its PoP: {other} has this name")
        names.setdefault(name, at)
        families = _families(path)
        _targets(path, families, here, report)
        id_ = PathId(f"{pop.name}/{name}")
        uplink = path.uplink or path.over or (path.dev if path.dev in uplinks else id_)
        paths.append(CheckedPath(here, id_, pop, path, families, uplink))
    return paths


def _name(path: Path, key: str, report: Report) -> str:
    if path.name is not None:
        return path.name
    try:
        return names.name(path.dev)
    except ValueError:
        if not report.touched(key):
            report.error(f"{key}.name", path.dev, "is the device's name, and no path name: must be given")
        return path.dev


def _families(path: Path) -> frozenset[int]:
    """With neither next hop the device alone serves both families (tunnels)."""
    if path.via is None and path.via6 is None:
        return frozenset({IPV4, IPV6})
    return frozenset({IPV4} if path.via else ()) | frozenset({IPV6} if path.via6 else ())


def _targets(path: Path, families: frozenset[int], key: str, report: Report) -> None:
    known = targets(path)
    if not known and not report.touched(key):
        report.error(key, path.dev, "has nothing to probe: must have a target or a target6, or targets")
    for family, some in known.items():
        seen: dict[str, str] = {}
        for name, target in some:
            needed = "via6" if family == IPV6 else "via"
            if family not in families and not report.touched(f"{key}.{needed}"):
                carries = f"the path carries no IPv{family}: must come with a next hop for it, {needed}"
                report.error(f"{key}.{name}", target, carries)
            if target in seen:
                report.error(f"{key}.{name}", target, f"must be another one: {seen[target]} is the same")
            seen.setdefault(target, name)
        if len(some) > TARGETS_MAX:
            report.error(f"{key}.targets", len(some), f"must be at most {TARGETS_MAX} of each family")
        if path.quorum is not None and path.quorum > len(some):
            allowed = f"must be at most {len(some)}: each family needs so many, and IPv{family} has no more targets"
            report.error(f"{key}.quorum", path.quorum, allowed)
