"""What is worth waking up for, in one sentence each: the same for the log, the history, and whoever reads either."""

import logging
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from steerd.core.effects import PathChanged, PolicyChanged, Shared
from steerd.core.events import Order, Shares, Verb
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import PathState, PolicyState
from steerd.text.times import span

OUT: Final[Mapping[PolicyState, str]] = {
    PolicyState.HELD: "no path can be used; its traffic stays where it was, and goes nowhere",
    PolicyState.BLOCKED: "no path can be used; its traffic is blocked",
    PolicyState.LOCAL_OUTAGE: "nothing answers on its uplink: the fault is on this side",
}
"""States in which a policy's traffic is not carried as it should be, and what becomes of it."""

CHATTER: Final = frozenset({PathState.UP, PathState.SUSPECT})
"""States between which a path may go several times a minute: they are not told."""

_GOOD: Final = (PathState.UP, PathState.SUSPECT, PathState.RECOVERING)


class Kind(StrEnum):
    """Of what is noted."""

    OUTAGE = "outage"
    PATH = "path"
    SHARE = "share"
    ORDER = "order"
    RELOAD = "reload"
    FINDING = "finding"


class Note(NamedTuple):
    """``level`` is that of `logging`; ``lasted``: for how many seconds what ends here went on."""

    kind: Kind
    level: int
    text: str
    policy: PolicyId | None = None
    path: PathId | None = None
    lasted: float | None = None


class Notes:
    """Tells ``hear`` of each. ``on_paper``: steerd only observes, nothing is carried or not."""

    def __init__(self, hear: Callable[[Note], None], *, on_paper: bool = False) -> None:
        self._hear = hear
        self._on_paper = "on paper, as steerd only observes: " if on_paper else ""
        self._out: dict[PolicyId, float] = {}  # since when
        self._since: dict[PathId, float] = {}

    def policy(self, fact: PolicyChanged) -> None:
        """An outage begins, is of another kind, or is over."""
        name, said = fact.policy, f"{fact.policy}: {self._on_paper}"
        if fact.new in OUT:
            self._out.setdefault(name, fact.at)
            self._hear(Note(Kind.OUTAGE, logging.ERROR, f"{said}{OUT[fact.new]} ({fact.why})", name))
        elif (since := self._out.pop(name, None)) is not None:
            lasted = fact.at - since
            self._hear(
                Note(Kind.OUTAGE, logging.INFO, f"{said}carried again, after {span(lasted)}", name, None, lasted)
            )

    def path(self, fact: PathChanged) -> None:
        """A path's health changed, and it is more than `CHATTER`: a warning where it carries somebody's traffic."""
        before = self._since.get(fact.path)
        self._since[fact.path] = fact.at
        lasted = None if before is None else fact.at - before
        level = logging.WARNING if fact.used_by and fact.new not in _GOOD else logging.INFO
        used = f" (used by {', '.join(fact.used_by)})" if fact.used_by else ""
        after = "" if lasted is None else f", after {span(lasted)} {fact.old}"
        policy = fact.used_by[0] if len(fact.used_by) == 1 else None
        text = f"{fact.path} is {fact.new}: {fact.reason}{after}{used}"
        self._hear(Note(Kind.PATH, level, text, policy, fact.path, lasted))

    def found(self, path: PathId, level: int, text: str) -> None:
        """Something of how a path is probed has begun, or is over."""
        self._hear(Note(Kind.FINDING, level, text, None, path))

    def shared(self, fact: Shared) -> None:
        """Other paths share a policy's traffic."""
        text = f"{fact.policy}: shared by {_shares(fact.new)}: {fact.why}"
        self._hear(Note(Kind.SHARE, logging.INFO, text, fact.policy))

    def order(self, order: Order, now: float, *, by: str) -> None:
        """Somebody ordered something, or took it back. ``now`` on the order's clock, in seconds."""
        lasts = "" if order.until is None else f" for {span(order.until - now)}"
        to = f" to {order.to}{', hard' if order.hard else ''}" if order.to else ""
        policy = PolicyId(order.subject) if order.verb in (Verb.PIN, Verb.UNPIN) else None
        text = f"{order.verb} {order.subject}{to}{lasts}, by {by}"
        self._hear(Note(Kind.ORDER, logging.INFO, text, policy))

    def reloaded(self, problems: Sequence[str], changed: Sequence[str], *, by: str) -> None:
        """The configuration was read again: what is wrong with it, or what it changed. ``by``: empty, for a signal."""
        who = f", by {by}" if by else ""
        if problems:
            self._hear(Note(Kind.RELOAD, logging.ERROR, f"reload refused{who}: {'; '.join(problems)}"))
        else:
            self._hear(Note(Kind.RELOAD, logging.INFO, f"reloaded{who}: {'; '.join(changed) or 'nothing changed'}"))


def _shares(shares: Shares) -> str:
    return ", ".join(f"{share.path} {share.part * 100:.0f} %" for share in shares) or "nobody else"
