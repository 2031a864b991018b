"""How paths are probed: what is asked of the prober for the roles that they have, and for who is in doubt."""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Final

from steerd.core.belief.path import Path, Role
from steerd.core.effects import Cadence
from steerd.core.policy.policy import Policy
from steerd.core.settings import PathId

HINTED: Final = 3.0
"""A scout that the region's gateways find near is looked at so many times as often. With 12 of 288 scouts, each looked
at twice a minute otherwise, that is less than a probe a second more: a liar gains no more than that."""


class Cadences:
    """What is asked for, of all paths of all policies."""

    def __init__(self) -> None:
        self._hinted: frozenset[str] = frozenset()
        self._urgent: set[PathId] = set()

    def hint(self, pops: Iterable[str], paths: Iterable[Path], most: int) -> None:
        """Others of the region find these PoPs near, the nearest first: ``most`` of those that ``paths`` lead to are
        looked at more often from now on."""
        ours = {path.pop for path in paths}
        self._hinted = frozenset(islice((pop for pop in pops if pop in ours), most))

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
            interval = scout_interval / HINTED if path.pop in self._hinted else scout_interval
            cadence = path.wants(role(path, policies), scout_interval=interval, urgent=path.id in urgent)
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
