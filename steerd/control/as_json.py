"""What the engine shows and what the store keeps, as the documented JSON of steerctl (docs/steerctl.md).

Times are in seconds (`_s`), delays and costs in milliseconds (`_ms`), loss is a ratio. Whatever is not known
is null.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from steerd import __version__
from steerd.config.file.problem import nearest
from steerd.control import decision
from steerd.control.explain import details, explain, explain_event
from steerd.control.parts import observing, onward, packets, probing, uplinks
from steerd.control.parts.figures import at, gain, rounded
from steerd.control.server import RefusedError
from steerd.core.effects import Switched, Terms
from steerd.core.memory import Standing
from steerd.core.states import PathState
from steerd.core.views import Finding, PathView, PolicyView, ProbingView
from steerd.status.snapshot import Snapshot, Trial, Underlay
from steerd.text.times import span

Json = dict[str, Any]


def status(seen: Snapshot) -> Json:
    """The gateway as it is now: policies, paths with what every stage knows of them, drains, remarks, the trial."""
    view = seen.view
    costs: dict[str, Json] = {path.path: {} for path in view.paths}
    further: dict[str, Json] = {path.path: {} for path in view.paths}
    used: dict[str, list[str]] = {path.path: [] for path in view.paths}
    for policy in view.policies:
        for candidate in policy.candidates:
            if "total" in candidate.terms and candidate.path in costs:
                costs[candidate.path][policy.policy] = rounded(candidate.terms["total"])
                if policy.service:
                    further[candidate.path][policy.policy] = rounded(candidate.terms["backbone"])
        for one in dict.fromkeys([policy.choice, *(share.path for share in policy.shares)]):
            if one in used:
                used[one].append(policy.policy)
    return {
        "gateway": seen.gateway,
        "version": __version__,
        "epoch": view.epoch,
        "observing": seen.observed is not None,
        "policies": [
            {
                **_policy(policy, seen.price),
                **observing.figures(policy, seen),
                "packets": packets.figures(seen.packets.get(policy.policy)),
            }
            for policy in view.policies
        ],
        "paths": [
            {
                **_path(path, seen.probing.get(path.path)),
                **probing.words(seen.probing.get(path.path), seen.outcomes.get(path.path, {})),
                "tunnel": probing.tunnel(seen.tunnels.get(path.path)),
                "underlay": _underlay(seen.underlays.get(path.path)),
                "cost_ms": costs[path.path],
                "backbone_ms": further[path.path],
                "used_by": used[path.path],
                # It may carry a policy again since they were counted.
                "staying": None if used[path.path] else seen.staying.get(path.path),
            }
            for path in view.paths
        ],
        "uplinks": uplinks.figures(seen),
        "drains": [{"pop": drain.pop, "origin": drain.origin, "left_s": rounded(drain.left)} for drain in view.drains],
        "declined": dict(view.declined),
        "reload": _trial(seen.trial),
        "remarks": list(seen.remarks),
    }


def why(seen: Snapshot, policy: Any = None, traces: Mapping[str, Json] | None = None) -> Json:
    """The last decision of one policy, or of each, with those of the ``traces`` (by event id) that were made after
    it. RefusedError: there is no such policy."""
    found, view, price = traces or {}, seen.view, seen.price
    paths = {path.path: path for path in view.paths}
    findings: dict[str, Json] = {path: probing.words(seen.probing.get(path), {}).get("findings", {}) for path in paths}
    if policy is not None and not isinstance(policy, str):
        raise RefusedError("must name a policy")
    chosen = [one for one in view.policies if policy is None or one.policy == policy]
    if policy is not None and not chosen:
        raise RefusedError(f'there is no policy "{policy}"; {nearest(policy, [one.policy for one in view.policies])}')
    answers = []
    for one in chosen:
        trace = found.get(one.last.event_id) if one.last else None
        answers.append(
            {
                **_policy(one, price),
                **observing.figures(one, seen),
                "packets": packets.figures(seen.packets.get(one.policy)),
                "outlook": one.outlook,
                "last": _switched(one.last, view.now - one.last.at, trace) if one.last else None,
                "candidates": [
                    {
                        "path": candidate.path,
                        "terms_ms": _terms(candidate.terms),
                        "rank": _terms(candidate.rank),
                        "excluded": candidate.excluded,
                        "scout": candidate.scout,
                        "way": onward.figures(candidate),
                        "findings": findings.get(candidate.path, {}),
                    }
                    for candidate in one.candidates
                ],
                "text": [
                    *observing.words(one, seen),
                    *explain(
                        one,
                        view.now,
                        paths=paths,
                        price=price,
                        trace=trace,
                        findings=findings,
                        packets=seen.packets.get(one.policy),
                        uplinks=uplinks.words(one, seen),
                    ),
                ],
                "details": details(one, paths=paths, price=price),
            }
        )
    return {"policies": answers}


def event(one: Switched, wall_ms: int, now_ms: int, trace: Json | None = None) -> Json:
    """One decision that was kept, made at ``wall_ms`` of Unix time."""
    ago = max(0.0, (now_ms - wall_ms) / 1000.0)
    when = f"{span(ago)} ago, {datetime.fromtimestamp(wall_ms / 1000, UTC):%F %T} UTC"
    return {
        "policies": [],
        "event": {
            **at(wall_ms),
            "policy": one.policy,
            **_switched(one, ago, trace),
            "text": explain_event(one, when, trace),
            "details": decision.details(one),
        },
    }


def trace(pop: str, records: Sequence[Mapping[str, Any]]) -> Json:
    """What was traced of a PoP's paths. RefusedError: nothing could be."""
    if all(record.get("error") for record in records):
        said = "; ".join(f"{record['path']}: {record['error']}" for record in records)
        raise RefusedError(said or f"{pop} is not probed yet: steerd is starting")
    return {"pop": pop, "traces": list(records)}


def _policy(policy: PolicyView, price: float | None) -> Json:
    return {
        "policy": policy.policy,
        "state": policy.state.value,
        "choice": policy.choice,
        "runner_up": policy.runner_up,
        "wanted": policy.wanted,
        "since_s": rounded(policy.since),
        "dwell_s": rounded(policy.dwell),
        "service": policy.service or None,
        "pin": (
            {"pop": policy.pin, "hard": policy.pin_hard, "left_s": rounded(policy.pin_for)}
            if policy.pin is not None
            else None
        ),
        "shares": [{"path": share.path, "part": rounded(share.part)} for share in policy.shares],
        "error": policy.error,
        "rule": _rule(policy.rule, price) if policy.rule is not None else None,
        "paths": len(policy.candidates),
        "scouts": sum(candidate.scout for candidate in policy.candidates),
    }


def _rule(rule: Standing, price: float | None) -> Json:
    switches = {name: rounded(cost / price) for name, cost in rule.costs.items()} if price else None
    return {
        "leader": rule.leader,
        "leads_for_s": rounded(rule.leads_for),
        "costs_ms_s": {name: rounded(cost) for name, cost in rule.costs.items()},
        "costs_switches": switches,
    }


def _path(path: PathView, probed: ProbingView | None) -> Json:
    captive = path.state is PathState.DOWN and probed is not None and Finding.CAPTIVE in probed.findings
    return {
        "path": path.path,
        "pop": path.pop,
        "uplink": path.uplink,
        "state": "captive" if captive else path.state.value,
        "reason": path.reason,
        "since_s": rounded(path.since),
        "rtt_ms": rounded(path.rtt),
        "rtt_sd_ms": rounded(path.sd),
        "jitter_ms": rounded(path.jitter),
        "loss": rounded(path.loss, 6),
        "samples": path.n,
        "age_s": rounded(path.age),
        "every_s": rounded(path.every),
        "hold_s": rounded(path.hold),
        "scout": path.scout,
        "mtu": path.size and path.size.mtu,
        "device_mtu": path.size and path.size.device_mtu,
        "black_hole": path.size is not None and path.size.black_hole,
    }


def _underlay(known: Underlay | None) -> Json | None:
    return known and {"remote": known.remote, "device": known.device or None}


def _trial(trial: Trial | None) -> Json | None:
    if trial is None:
        return None
    if trial.left is not None:
        return {"state": trial.state, "left_s": rounded(trial.left)}
    return {"state": trial.state, "ago_s": rounded(trial.ago), "problems": list(trial.problems)}


def _switched(one: Switched, ago: float, trace: Json | None) -> Json:
    return {
        "event_id": one.event_id,
        "from": one.old,
        "to": one.new,
        "reason": one.reason.value,
        "by": one.by,
        "rule": one.rule,
        "ago_s": rounded(ago),
        "gain_ms": gain(one.evidence, one.old, one.new),
        "evidence": {path: _terms(terms) for path, terms in one.evidence.items()},
        "excluded": dict(one.excluded),
        "margin": _terms(one.margin),
        "trace": trace,
    }


def _terms(terms: Terms) -> Json:
    return {name: rounded(value) for name, value in terms.items()}
