"""How paths are probed: what is asked of the prober for the roles that they have, and for who is in doubt."""

from collections.abc import Collection, Iterable

from steerd.core.belief.path import Path, Role
from steerd.core.effects import Cadence
from steerd.core.policy.policy import Policy
from steerd.core.settings import PathId


class Cadences:
    """What is asked for, of all paths of all policies."""

    def __init__(self) -> None:
        self._urgent: set[PathId] = set()

    def wanted(
        self,
        changed: Path | None,
        paths: Iterable[Path],
        policies: Collection[Policy],
        stranded: Collection[str],
        scout_interval: float,
    ) -> Iterable[Cadence]:
        """What is to be asked for anew, since something is new of ``changed`` (None: of any); of all ``paths`` where
        that matters to others. ``stranded``: policies that found nowhere to go; ``scout_interval`` in seconds."""
        urgent = _rivals_of_doubted(policies, stranded)
        some = paths if changed is None or urgent != self._urgent else (changed,)
        self._urgent = urgent
        for path in some:
            cadence = path.wants(role(path, policies), scout_interval=scout_interval, urgent=path.id in urgent)
            if cadence is not None:
                yield cadence


def role(path: Path, policies: Iterable[Policy]) -> Role:
    """What the path is to the policies that may use it."""
    roles = [found for found in (policy.role(path) for policy in policies) if found is not None]
    return min(roles, key=lambda one: one.value, default=Role.SCOUT)


def _rivals_of_doubted(policies: Iterable[Policy], stranded: Collection[str]) -> set[PathId]:
    """Who is to answer soon, since a choice may be dead: its fellow candidates, or all when none of these does."""
    urgent: set[PathId] = set()
    for policy in policies:
        current = policy.current
        if current is None or not current.health.doubted:
            continue
        desperate = policy.id in stranded
        urgent.update(
            path.id
            for path in policy.paths.values()
            if not path.health.gone and (desperate or policy.role(path) is not Role.SCOUT)
        )
    return urgent
