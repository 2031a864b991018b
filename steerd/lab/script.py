"""What happens to the PoPs, what should come of it, and whether it did."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Generic, NamedTuple, TypeVar

TOGETHER: Final = 0.1  # seconds: IPv4 and IPv6 move within so many of each other

W = TypeVar("W")


class Sight(NamedTuple):
    """Something looked at besides the users' packets; ``right``: it was as it should be."""

    text: str
    right: bool


@dataclass(frozen=True, slots=True)
class Act(Generic[W]):
    """Something happens, and is watched for ``lasts`` seconds. ``to``: the PoP that the users' packets have to move to,
    None: they must stay; ``within`` so many seconds of the act's beginning. ``lost_max``: how many seconds' worth of
    the users' packets may be lost. ``look``: at what else, at the end of the act."""

    name: str
    what: str
    do: Callable[[W], None]
    lasts: float
    to: str | None = None
    within: float = 0.0
    lost_max: float = 0.0
    look: Callable[[W], Iterator[Sight]] | None = None


@dataclass(slots=True)
class Result:
    """What came of an act. ``moved_after_s``: until the new PoP got a packet, by family. ``log``: of a problem."""

    act: str
    what: str
    expected: str | None
    within_s: float
    moved_after_s: dict[str, float] = field(default_factory=dict)
    sent: int = 0
    lost: int = 0
    switches: list[dict[str, Any]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    log: str = ""


def judged(script: Sequence[Act[Any]], results: Sequence[Result], daemon: dict[str, float]) -> dict[str, Any]:
    """The whole report: each act, and whether the policy moved as often as it had to. ``daemon``: what that used."""
    made = sum(len(result.switches) for result in results)
    needed = sum(act.to is not None for act in script)
    problems = [f"{result.act}: {problem}" for result in results for problem in result.problems]
    if made != needed:
        problems.append(f"{made} switches were made, {needed} were needed")
    return {
        "ok": not problems,
        "acts": [asdict(result) for result in results],
        "switches": {"made": made, "needed": needed},
        "packets": {"sent": sum(result.sent for result in results), "lost": sum(result.lost for result in results)},
        "daemon": daemon,
        "problems": problems,
    }


def problems(act: Act[Any], result: Result, rate: float) -> Iterator[str]:
    """What did not come of an act as it should, with so many users' datagrams a second in each family."""
    allowed = act.lost_max * rate * 2
    if result.lost > allowed:
        yield f"{result.lost} of the users' packets were lost, {allowed:.0f} may be"
    moves = [(one["from"], one["to"]) for one in result.switches]
    made = f"moved {', '.join(f'{old} -> {new}' for old, new in moves)}"
    if act.to is None:
        if moves:
            yield f"{made}, and should have stayed"
        return
    if not moves:
        yield f"stayed, and should have moved to {act.to}"
        return
    if len(moves) > 1 or not moves[0][1].startswith(f"{act.to}/"):
        yield f"{made}, and should have moved to {act.to}"
    after = result.moved_after_s
    if len(after) < 2:
        yield f"no packets of {' and '.join({'ipv4', 'ipv6'} - set(after))} went by {act.to}"
        return
    if max(after.values()) > act.within:
        yield f"moved after {max(after.values()):.1f} s, and should have within {act.within:g} s"
    if abs(after["ipv4"] - after["ipv6"]) > TOGETHER:
        yield f"IPv4 moved after {after['ipv4']:.2f} s and IPv6 after {after['ipv6']:.2f} s: not together"


def line(result: Result) -> str:
    """What came of an act, as it is shown at once."""
    text = "moved" if result.switches and result.expected is None else "stayed"
    if result.expected is not None and result.moved_after_s:
        text = f"moved to {result.expected} after {max(result.moved_after_s.values()):.1f} s"
    seen = [*result.seen, *(f"PROBLEM: {problem}" for problem in result.problems)]
    return "\n".join(f"  {one}" for one in (f"{text}; {result.lost} of {result.sent} user packets lost", *seen))


def told(report: dict[str, Any]) -> Iterator[str]:
    """The whole report as a table, line by line."""
    yield f"\n{'ACT':<14}{'MOVED TO':<10}{'AFTER':>8}{'ALLOWED':>9}{'LOST':>6}{'OF':>7}  WHY"
    for act in report["acts"]:
        after = max(act["moved_after_s"].values(), default=None)
        allowed = "-" if act["expected"] is None else f"{act['within_s']:g} s"
        why = ", ".join(f"{one['reason']} ({one['rule']})" for one in act["switches"])
        yield (
            f"{act['act']:<14}{act['expected'] or 'stayed':<10}"
            f"{'-' if after is None else f'{after:.2f} s':>8}"
            f"{allowed:>9}"
            f"{act['lost']:>6}{act['sent']:>7}  {why or '-'}"
        )
    switches, daemon = report["switches"], report["daemon"]
    yield f"\nswitches: {switches['made']} made, {switches['needed']} needed"
    yield f"packets: {report['packets']['lost']} of {report['packets']['sent']} lost"
    yield f"the daemon: {daemon['rss_mb']} MB, {daemon['cpu_percent']} % of a core, with 8 probe targets at 5 a second"
    for act in report["acts"]:
        if act["log"]:
            yield f"the daemon's log after {act['act']}:{act['log']}"
    for problem in report["problems"]:
        yield f"PROBLEM: {problem}"
    yield "all as it should be" if report["ok"] else "not as it should be"
