"""A gateway that only observes: where its traffic goes, and what steering it would have saved."""

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from steerd.core.states import PolicyState
from steerd.core.views import PolicyView
from steerd.status.savings import Savings
from steerd.status.snapshot import Snapshot
from steerd.text.times import milliseconds, span, utc

Json = dict[str, Any]

_NOTHING: Final = 0.05  # seconds: shown as 0.0


def figures(policy: PolicyView, seen: Snapshot) -> Json:
    """What `status` says of a policy whose traffic is not steered: by which path it goes, or where else."""
    if seen.observed is None:
        return {}
    one = seen.observed.get(policy.policy)
    state = "observing" if policy.state is PolicyState.STEERING else policy.state.value
    return {"state": state, "path": one and one.path, "goes": one and (one.words or None)}


def words(policy: PolicyView, seen: Snapshot) -> list[str]:
    """What comes before `why` of a policy that is not steered."""
    if seen.observed is None:
        return []
    said = where(figures(policy, seen))
    return [f"steerd only observes, so what follows is on paper. {policy.policy}'s traffic really goes {said}.", ""]


def where(policy: Mapping[str, Any]) -> str:
    """Where a policy's traffic really goes."""
    return f"by {policy['path']}" if policy["path"] else policy["goes"] or "where nobody knows yet"


def briefly(policy: Mapping[str, Any]) -> str:
    """The same for a table; what is long is in `notes`."""
    return "see below" if policy["goes"] and not policy["path"] else where(policy)


def notes(policies: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of those policies whose traffic goes by no path of theirs, where it goes."""
    return [f"{one['policy']}: its traffic goes {where(one)}" for one in policies if briefly(one) != where(one)]


def savings(seen: Snapshot, saved: Savings) -> Json:
    """What steering would have saved since the daemon's start, by policy; the latest moves with their times."""
    report, wall = saved.report(), time.time()
    return {
        "seconds": 0.0 if saved.began is None else round(saved.until - saved.began, 3),
        "policies": [
            {
                "policy": policy.policy,
                **one.figures(),
                "last": [
                    {
                        "at": utc(round((wall - seen.view.now + move.at) * 1000.0)),
                        "event_id": move.event_id,
                        "from": move.old,
                        "to": move.new,
                        "reason": move.reason.value,
                    }
                    for move in one.last
                ],
            }
            for policy in seen.view.policies
            if (one := report.get(policy.policy)) is not None
        ],
    }


def text(answer: Mapping[str, Any]) -> str:
    """The savings in words."""
    head = f"Observed for {span(answer['seconds'])}. Nothing was moved: what steerd would have done is on paper."
    return "\n\n".join([head, *("\n".join(_policy(one)) for one in answer["policies"])])


def _policy(one: Mapping[str, Any]) -> Iterator[str]:
    there = "there, too" if one["path"] and one["path"] == one["choice"] else f"on {one['choice'] or 'no path'}"
    yield f"{one['policy']}: its traffic goes {where(one)}; steerd would have it {there}."
    if not one["seconds"]:
        yield "  There is nothing to compare yet: " + (
            "no probe was answered on either side." if one["path"] else "where it goes now, steerd does not probe."
        )
        return
    yield f"  compared for {span(one['seconds'])}, of which it would have been elsewhere for {span(one['apart_s'])}"
    for name, said in (("was", "where it was"), ("would", "where steerd would have had it")):
        side = one[name]
        yield f"  {said + ':':<32} {milliseconds(side['rtt_ms']):>8} in the mean, {side['lost'] * 100:.2f} % lost"
    yield f"  {_saved(one)}"
    if moves := one["moves"]:
        latest = f", here the last {len(one['last'])}" if moves > len(one["last"]) else ""
        yield f"  It would have been moved {'once' if moves == 1 else f'{moves} times'}{latest}:"
    for move in one["last"]:
        at = datetime.fromisoformat(move["at"]).astimezone()
        yield f"    {at:%F %T}  {move['from']} -> {move['to'] or 'blocked'}  {move['reason']}  {move['event_id']}"


def _saved(one: Mapping[str, Any]) -> str:
    was, would = one["was"], one["would"]
    parts = []
    if was["rtt_ms"] is not None and would["rtt_ms"] is not None:
        gain = was["rtt_ms"] - would["rtt_ms"]
        parts.append(f"{milliseconds(abs(gain))} of RTT {'saved' if gain >= 0.0 else 'more'}")
    fewer = (was["lost"] - would["lost"]) * one["seconds"]
    if abs(fewer) >= _NOTHING or not parts:
        parts.append(f"{span(abs(fewer))} {'less' if fewer >= 0.0 else 'more'} without an answer")
    return ", ".join(parts)
