"""What paths cost, term by term, and which are ruled out: the tables below an explanation."""

from collections.abc import Mapping, Sequence
from typing import Final

from steerd.core.cost import price
from steerd.core.effects import Terms
from steerd.core.settings import PathId
from steerd.text.lines import aligned, wrapped
from steerd.text.times import milliseconds

_TERMS: Final = (*price.TERMS, "total")
_ROWS: Final = 20
"""Paths in a table of costs, the cheapest of those that were not asked for."""

_REASONS, _NAMES = 8, 3
"""How many reasons are listed shortly, and how many paths to each."""


def shown(known: Mapping[PathId, Terms], first: Sequence[PathId | None]) -> dict[PathId, Terms]:
    """Of these costs the ``first`` ones, and then the cheapest."""
    head = [path for path in dict.fromkeys(first) if path is not None and path in known]
    rest = sorted(set(known) - set(head), key=lambda path: known[path].get("total", 0.0))
    return {path: known[path] for path in [*head, *rest][:_ROWS]}


def table(known: Mapping[PathId, Terms], title: str, left_out: int = 0) -> list[str]:
    """A row a path, with the terms that any of them has. ``left_out``: how many are dearer than all of these."""
    if not known:
        return []
    columns = [name for name in _TERMS if any(terms.get(name) for terms in known.values())]
    columns += [name for name in ("mos", "samples") if any(name in terms for terms in known.values())]
    rows = [[path, *(_figure(terms, name) for name in columns)] for path, terms in known.items()]
    lines = aligned([[title, *columns], *rows], right=True)
    if left_out:
        lines.append(f"  and {left_out} more")
    own = max((terms.get("own_load", 0.0) for terms in known.values()), default=0.0)
    if own:
        lines.append(f"  own_load, +{milliseconds(own)}: what our own traffic would add there.")
    return lines


def ruled_out(excluded: Mapping[PathId, str]) -> list[str]:
    """Each path, and why."""
    return aligned([[path, why] for path, why in excluded.items()])


def shortly(excluded: Mapping[PathId, str]) -> list[str]:
    """A line a reason, with the paths it is that of; the most frequent ones first."""
    by_reason: dict[str, list[str]] = {}
    for path, why in excluded.items():
        by_reason.setdefault(why, []).append(path)
    ordered = sorted(by_reason.items(), key=lambda one: -len(one[1]))
    lines = []
    for why, paths in ordered[:_REASONS]:
        more = f" and {len(paths) - _NAMES} more" if len(paths) > _NAMES else ""
        lines += wrapped(f"{', '.join(paths[:_NAMES])}{more}: {why}", first="  ")
    left = sum(len(paths) for _, paths in ordered[_REASONS:])
    return [*lines, f"  and {left} more: see --verbose"] if left else lines


def _figure(terms: Terms, name: str) -> str:
    if name not in terms:
        return "-" if name in ("samples", "mos") else "0.0"
    return f"{terms[name]:.{ {'mos': 2, 'samples': 0}.get(name, 1) }f}"
