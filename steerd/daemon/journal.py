"""What the log says of the engine's facts."""

import logging
from typing import Final, assert_never

from steerd.core.effects import Declined, Fact, PathChanged, Shared, Switched
from steerd.core.events import Shares
from steerd.core.states import PathState, Reason

log = logging.getLogger("steerd")

CHATTER: Final = frozenset({PathState.UP, PathState.SUSPECT})
"""States between which a path may go several times a minute: told at debug level."""


def tell(fact: Fact, *, observing: bool = False) -> None:
    """Write it down; ``observing``: a switch is on paper."""
    match fact:
        case Switched():
            log.info("%s%s", "would move " if observing else "", sentence(fact))
        case Shared():
            log.info("%s: shared by %s: %s", fact.policy, _shares(fact.new), fact.why)
        case PathChanged():
            level = logging.DEBUG if {fact.old, fact.new} <= CHATTER else logging.INFO
            log.log(level, "%s is %s: %s", fact.path, fact.new, fact.reason)
        case Declined():
            log.warning("declined: %s (%s)", fact.reason, type(fact.event).__name__)
        case _:
            assert_never(fact)


def _shares(shares: Shares) -> str:
    return ", ".join(f"{share.path} {share.part * 100:.0f} %" for share in shares) or "nobody else"


def sentence(switched: Switched) -> str:
    """The journal's line of a switch: from where, to where, and why."""
    where = f"{switched.old or 'nothing'} -> {switched.new or 'blocked'}"
    return f"{switched.policy}: {where}: {_because(switched)}, event {switched.event_id}"


def _because(switched: Switched) -> str:
    gain = switched.margin.get("gain")
    if gain is not None:
        # What was paid decides for some rules: what is believed by now may be level again.
        said = f"{gain:.1f} ms cheaper" if gain > 0.0 else "cheaper lately"
        return f"{said} (rule: {switched.rule})"
    by = f" ({switched.by})" if switched.by else ""
    old, why = switched.old, None if switched.old is None else switched.excluded.get(switched.old)
    match switched.reason:
        case Reason.START:
            return "the first choice"
        case Reason.KERNEL:
            return "the kernel has it so"
        case Reason.PIN:
            return f"pinned{by}"
        case Reason.UNDRAIN:
            return "a drain ended"
        case Reason.BETTER:
            return "it is usable again"
        case Reason.DRAIN:
            return why or f"drained{by}"
        case Reason.DOWN | Reason.ABSENT:
            return f"{old} is {why or switched.reason}"
        case Reason.POLICY:
            return f"{old} may not be used" + (f": {why}" if why else "")
        case _:
            assert_never(switched.reason)
