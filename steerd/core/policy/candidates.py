"""Candidates and scouts: which of a policy's paths are probed at full cadence, so that a rule is shown them.

With more paths than ``max_active`` only those that can win are. The others are scouts, looked at now and then. A scout
that looks as if it could win is promoted: it is probed at full cadence at once, and may be moved to when enough was
learned of it by that. So a lucky single sample among 300 scouts wins nothing, and what a round costs does not grow with
the number of PoPs.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Final

from steerd.core.belief.path import Path, Role
from steerd.core.cost.price import last_costs
from steerd.core.policy.eligibility import Eligibility
from steerd.core.rules.rule import SAMPLES_MIN, Candidate
from steerd.core.settings import PathId
from steerd.core.states import PathState

REVIEW: Final = 1.0
"""Seconds between two looks at who is to be a candidate, where nothing asks for one sooner."""

BETTER: Final = 0.9
"""A scout takes the worst candidate's place at this share of its cost, or if it is cheaper than the choice: who is
better by less would soon lose it again."""

USABLE: Final = (PathState.UP, PathState.SUSPECT)

DOUBT_STEP: Final = 1.0
"""Seconds after which it is looked again how far a path in hold-down is doubted."""


class Candidates:
    """Of one policy. ``most``: how many there may be; what must be one is, even beyond that."""

    __slots__ = ("_all", "_most", "_next", "_since", "shown", "stale_at")

    def __init__(self, most: int) -> None:
        self._most, self._all = most, False
        self._since: dict[PathId, int] = {}  # of each candidate the news there were when it became one
        self._next = -inf
        self.shown: tuple[Candidate, ...] = ()
        self.stale_at = -inf

    def configure(self, most: int, paths: int) -> None:
        """So many at most from now on, of so many paths."""
        self._most, self._all = most, paths <= most
        self.expire()

    def expire(self) -> None:
        """What `shown` depends on may have changed: it is made anew at the next `show`."""
        self.stale_at = self._next = -inf

    def role(self, path: Path) -> Role:
        """What the path is to this policy, its choice apart."""
        if self._all:
            return Role.CANDIDATE
        since = self._since.get(path.id)
        if since is None:
            return Role.SCOUT
        return Role.TRIED if since and path.news - since < SAMPLES_MIN else Role.CANDIDATE

    def review(self, eligible: Eligibility, used: Iterable[PathId]) -> bool:
        """Promote and demote where that is due. ``used``: the choice, its runner-up and who shares its traffic. True
        if anything changed."""
        if eligible.now < self._next:
            return False
        self._next = eligible.now + REVIEW
        before = self._since
        if self._all:
            self._next = inf
            self._since = dict.fromkeys(eligible.paths, 0)
            return self._since.keys() != before.keys()
        usable = eligible.usable()
        seems = self._seems(eligible, usable)
        ranked = sorted(usable, key=lambda path: seems[path.id])
        must = dict.fromkeys(_must(eligible, ranked, used))
        room = max(0, self._most - len(must))
        others = [path for path in ranked if path.id not in must]
        kept = [path for path in others if path.id in before][:room]
        scouts = [path for path in others if path.id not in before]
        while scouts and len(kept) < room:
            kept.append(scouts.pop(0))
        places = [place for place, path in enumerate(kept) if self.role(path) is Role.CANDIDATE]
        while scouts and places and _wins(eligible, seems, scouts[0], kept[places[-1]]):
            kept[places.pop()] = scouts.pop(0)
        names = [*must, *(path.id for path in kept)]
        news = {id_: eligible.paths[id_].news for id_ in names}
        self._since = {id_: min(before.get(id_, count), count) for id_, count in news.items()}
        return self._since.keys() != before.keys()

    def show(self, eligible: Eligibility) -> int | None:
        """Make `shown` anew. Returns the place of the path in use in it; None: nothing is known of that."""
        now = eligible.now
        shown: list[Candidate] = []
        here = None
        self.stale_at = min(self._next, eligible.refused_until)
        for id_, since in self._since.items():
            path, mine = eligible.paths[id_], id_ == eligible.wanted
            usable = mine or (path.health.state in USABLE and not eligible.drains.discourages(path.pop))
            may = eligible.open(path)
            if not path.samples or not usable or not (mine or may):
                continue
            if mine:
                here = len(shown)
            relapses = path.health.relapses(now)
            if relapses:
                self.stale_at = min(self.stale_at, now + DOUBT_STEP)
            shown.append(Candidate(id_, eligible.prices[id_], may, since, relapses))
        self.shown = tuple(shown)
        return here

    def _seems(self, eligible: Eligibility, usable: Sequence[Path]) -> dict[PathId, float]:
        """What each path costs as far as is known: of one that is rarely probed its last sample tells more."""
        names = [path.id for path in usable]
        seems = dict(zip(names, last_costs([eligible.prices[id_] for id_ in names]), strict=True))
        for id_ in self._since.keys() & seems.keys():
            if self.role(eligible.paths[id_]) is Role.CANDIDATE:
                seems[id_] = eligible.prices[id_].cost
        return seems


def _wins(eligible: Eligibility, seems: Mapping[PathId, float], scout: Path, candidate: Path) -> bool:
    """Whether the scout looks as if it could win, or as if it were worth more than this candidate."""
    if eligible.current is not None and seems[scout.id] < eligible.prices[eligible.current.id].cost:
        return True
    return seems[scout.id] < BETTER * seems[candidate.id]


def _must(eligible: Eligibility, ranked: Iterable[Path], used: Iterable[PathId]) -> Iterable[PathId]:
    """Who is a candidate whatever it costs: what is in use or stands by, what the policy is pinned to, and the cheapest
    on another uplink than the choice's."""
    yield from (id_ for id_ in used if id_ in eligible.paths)
    pin, current = eligible.pin, eligible.current
    if pin is not None:
        yield from (path.id for path in eligible.paths.values() if path.pop == pin.pop)
    if current is not None:
        uplink = current.settings.uplink
        yield from [path.id for path in ranked if path.settings.uplink != uplink][:1]
