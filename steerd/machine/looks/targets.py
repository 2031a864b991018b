"""Targets: that they answer, and that it is not this machine which does."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from steerd.config.family import IPV4
from steerd.config.probe_settings import ProbePath, Target
from steerd.config.settings import Config
from steerd.core.views import Finding as Said
from steerd.machine.answers import Answers
from steerd.machine.finding import Cure, Finding, do, error, of_path, put, warning
from steerd.machine.record import Machine
from steerd.tunnel.staleness import REJECT_AFTER

SILENCE = {"target-silent", "target-unsent", "target-unmeasured", "target-not-by-method", "target-wrong"}
"""Findings that something else may be the cause of."""

_ICMP = "icmp"
_LOG_IN = "Log in at the portal, or write a target that answers itself."
_NO_ROUTE = ("ENETUNREACH", "EHOSTUNREACH")
"""In the prober's words, where the kernel found no route for a probe."""


def look(config: Config, machine: Machine, answers: Answers) -> Iterator[Finding]:
    """Of paths whose device is up: what is wrong with the others is told already."""
    if answers.refused:
        if "CAP_NET_RAW" in machine.capable:
            why, cure = (
                "Nothing is known of the paths, and steerd does not start.",
                do("See to what the message names."),
            )
            yield error("probing-impossible", "probe", f"Nothing can be probed: {answers.refused}.", why, cure)
        return
    silent = {path.path for path in config.probe.paths if not answers.answered.get(path.path)}
    blocked = [
        policy.policy
        for policy in config.route.policies
        if all(
            path.path in silent for path in config.route.paths if policy.allowed is None or path.path in policy.allowed
        )
    ]
    for path in config.probe.paths:
        if machine.main.up(path.device) is None:
            continue
        heard = answers.answered.get(path.path, frozenset())
        mute = []
        for place, target in enumerate(path.targets):
            if _is_own(machine, target):
                yield _own(path, target, answers)
            elif place not in heard and (target.source is None or target.source in machine.own):
                mute.append(target)
        yield from _mute(machine, path, mute, answers, blocked)


def _is_own(machine: Machine, target: Target) -> bool:
    return bool(target.address) and (target.address in machine.own or ip_address(target.address).is_loopback)


def _own(path: ProbePath, target: Target, answers: Answers) -> Finding:
    key = _key(path, target)
    return error(
        "target-is-own",
        of_path(path.path, key),
        f"{target.address} is an address of this machine.",
        "It answers itself whatever becomes of the path, so it is not probed, and the path is never known to work.",
        _other(path, target, answers)
        or do(f"Write an address behind {path.device} that answers: the other end of the tunnel, or one beyond it."),
    )


def _mute(
    machine: Machine, path: ProbePath, mute: Sequence[Target], answers: Answers, blocked: Sequence[str]
) -> Iterator[Finding]:
    """Targets of a path that did not answer."""
    said = answers.said.get(path.path, {})
    local = said.get(Said.LOCAL, "")
    unrouted = any(code in local for code in _NO_ROUTE)
    make = error if blocked else warning
    why = "The path is taken for down."
    heard = {path.targets[place].family for place in answers.answered.get(path.path, ())}
    if mute and heard.issuperset(target.family for target in mute):
        why = "Others of its targets answer; the path is down only if fewer than its quorum do."
    if blocked:
        why = f"No path of policy {' and '.join(blocked)} answers, so there is nothing to steer to."
    silent, elsewhere = [], []
    for target in mute:
        name, place = target.name or target.address, of_path(path.path, _key(path, target))
        # Bound to a device without neighbours a packet leaves whatever routes say; else they have to lead there.
        leads = machine.main.devices[path.device].hardware == "" and target.family == IPV4
        if Said.UNRESOLVED in said and target.name:
            what, cure = f"{said[Said.UNRESOLVED]}.", do("See to this machine's DNS, or write an address.")
            yield make("target-unresolved", place, what, why, cure)
        elif unrouted and not leads and not machine.sockets.daemon:
            yield warning(
                "target-unmeasured",
                place,
                f"{name} could not be probed: no route of this machine leads there by {path.device}.",
                "steerd's own table will; until it runs, nobody can say whether the target answers.",
                do("Run this check again beside the running daemon."),
            )
        elif local and not unrouted:
            what = f"{name} cannot be probed: {local}."
            yield make("target-unsent", place, what, why, do("See to what the message names."))
        elif wrong := said.get(Said.CAPTIVE) or said.get(Said.ELSEWHERE) or said.get(Said.REFUSED):
            what = f"{wrong[0].upper()}{wrong[1:]}."
            answers_itself = "Write a resolver that answers." if Said.REFUSED in said else _LOG_IN
            yield make("target-wrong", place, what, why, do(answers_itself))
        elif cure_ := _other(path, target, answers):
            yield make("target-silent", place, f"{name} does not answer through {path.device}.", why, cure_)
        elif path.method != _ICMP and target.address in answers.others.get(path.path, ()):
            elsewhere.append(name)
        else:
            silent.append(name)
    by = path.method.upper() + (f" at port {path.port}" if path.port else "")
    if elsewhere:
        what = f"{' and '.join(elsewhere)} {_verb(elsewhere, 'answers', 'answer')} ICMP, and nothing by {by}."
        yield make("target-not-by-method", of_path(path.path, "method"), what, why, put('method = "icmp"'))
    if silent:
        names = " and ".join(silent)
        look_ = f"See whether {_verb(silent, 'it answers', 'they answer')} at all (`ping -I {path.device} {silent[0]}`)"
        what = f"{names} {_verb(silent, 'does', 'do')} not answer by {by} through {path.device}."
        cure = do(f"{look_}, or write an address behind the path that does.")
        if device := _unmet(machine, path):
            what = f"{what[:-1]}, and WireGuard has no session with its peer."
            cure = do(f"Compare keys and endpoint at both ends: `wg show {device}` names those of this one.")
        yield make("target-silent", of_path(path.path, _key(path, mute[0])), what, why, cure)


def _unmet(machine: Machine, path: ProbePath) -> str:
    """The path's WireGuard device, if no peer of it has completed a handshake lately; empty: it is none, or one has."""
    device = machine.wireguard.get(path.device)
    latest = max((peer.handshake for peer in device.peers.values()), default=0.0) if device else machine.now
    return path.device if machine.now - latest > REJECT_AFTER else ""


def _verb(of: Sequence[str], one: str, many: str) -> str:
    return one if len(of) == 1 else many


def _other(path: ProbePath, target: Target, answers: Answers) -> Cure | None:
    """An address that answers by the path's device in the target's place."""
    own = [one.name or one.address for one in path.targets]
    found = [one for one in answers.others.get(path.path, ()) if ip_address(one).version == target.family]
    better = next((one for one in found if one not in own), None)
    if better is None:
        return None
    key = _key(path, target)
    if key != "targets":
        return put(f'{key} = "{better}"')
    listed = ", ".join(f'"{better if one == (target.name or target.address) else one}"' for one in own)
    return put(f"targets = [{listed}]")


def _key(path: ProbePath, target: Target) -> str:
    """Where the file has the target."""
    if len(path.targets) > len(path.legs):
        return "targets"
    return "target" if target.family == IPV4 else "target6"
