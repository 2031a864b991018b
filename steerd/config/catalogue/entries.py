"""A catalogue's PoPs as entries of this configuration. It says what a PoP is; by which device this gateway gets there
is this gateway's own word, and nothing else can come from a catalogue."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from steerd.config.catalogue.signed import MOST, Listed, RefusedError, verified
from steerd.config.catalogue.table import INSTEAD, Catalogue
from steerd.config.file import files
from steerd.config.file.problem import Report, nearest
from steerd.config.values.names import trusted_key

OF_POP: Final = ("name", "region", "tags", "bias")
OF_PATH: Final = ("target", "target6", "targets", "quorum", "port", "peer", "endpoint", "capacity")
"""What a catalogue may say of a PoP, and of the path to it."""
POPS_MAX: Final = 4096


def trusted(raw: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Who may sign the catalogue: those of `[catalogue]`, else those of `[mqtt]`; none, if what is written is wrong."""
    for table in ("catalogue", "mqtt"):
        own = raw.get(table)
        keys = own.get("trusted_keys") if isinstance(own, dict) else None
        if keys:
            try:
                return tuple(trusted_key(key) for key in keys)
            except (TypeError, ValueError):
                return ()
    return ()


def add(raw: dict[str, Any], report: Report, store: Path, document: bytes | None, *, strict: bool) -> Listed | None:
    """Adds the PoPs of the ``document``, or of the one that is kept in ``store``, to the tables as they are written.
    Not ``strict``: a document of another name counts for nothing. Returns what it was; None: there is none."""
    try:
        own = Catalogue.model_validate(raw.get("catalogue"))
    except ValidationError:
        return None  # it is reported with all other tables
    listed = _given(own, raw, report, document, strict=strict) if document is not None else None
    if listed is None and not strict and not report.touched("catalogue"):
        listed = _kept(own, raw, report, store / f"catalogue-{own.name}.json")
    pops = raw.get("pop", [])
    if listed is None or not isinstance(pops, list):
        return None
    if len(listed.pops) > POPS_MAX:
        report.error("catalogue", len(listed.pops), f"must list at most {POPS_MAX} PoPs")
        return None
    origin = Path(f"catalogue {own.name}")
    report.origins.setdefault("pop", [(report.file, at) for at in range(len(pops))])
    report.origins["pop"] = [*report.origins["pop"], *((origin, at) for at in range(len(listed.pops)))]
    raw["pop"] = [*pops, *(_entry(pop, own, f"pop[{len(pops) + at}]", report) for at, pop in enumerate(listed.pops))]
    return listed


def _given(own: Catalogue, raw: Mapping[str, Any], report: Report, document: bytes, *, strict: bool) -> Listed | None:
    try:
        return verified(document, own.name, trusted(raw))
    except RefusedError as error:
        if strict or error.reason != "wrong name":
            report.error("catalogue", own.name, f"the catalogue in force cannot be taken: {error}")
        return None


def _kept(own: Catalogue, raw: Mapping[str, Any], report: Report, file: Path) -> Listed | None:
    try:
        return verified(files.content(file, MOST), own.name, trusted(raw))
    except FileNotFoundError:
        report.warn("catalogue", f"none has come yet: the PoPs of {own.name} are not known")
    except (OSError, files.UnfitError, RefusedError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        report.warn("catalogue", f"{file}, the last good one, cannot be used: {words}")
    return None


def _entry(pop: Mapping[str, Any], own: Catalogue, key: str, report: Report) -> dict[str, Any]:
    """One PoP as it would be written in the file."""
    for name in pop:
        if name not in OF_POP + OF_PATH:
            report.error(f"{key}.{name}", None, f"is not for a catalogue to say; {nearest(name, OF_POP + OF_PATH)}")
    path = {"dev": own.dev.replace(INSTEAD, str(pop.get("name"))), "name": own.name}
    fixed = {name: getattr(own, name) for name in ("via", "via6", "uplink", "over")}
    path |= {name: value for name, value in fixed.items() if value is not None}
    path |= {name: deepcopy(pop[name]) for name in OF_PATH if name in pop}
    return {name: deepcopy(pop[name]) for name in OF_POP if name in pop} | {"paths": [path]}


def counted(former: Listed | None, new: Listed) -> str:
    """What has changed from one to the next, in words."""
    old, now = ({pop["name"]: pop for pop in one.pops} if one else {} for one in (former, new))
    added, withdrawn = _pops(now.keys() - old.keys()), len(old.keys() - now.keys())
    changed = sum(old[name] != now[name] for name in old.keys() & now.keys())
    return f"{added} added, {changed} changed, {withdrawn} withdrawn"


def _pops(names: Any) -> str:
    return f"{len(names)} PoP{'' if len(names) == 1 else 's'}"
