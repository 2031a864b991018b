"""Targets: that they answer, and that it is not this machine which does."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from steerd.config.settings import IPV4, Config, ProbePath, Target
from steerd.core.views import Finding as Said
from steerd.machine.answers import Answers
from steerd.machine.finding import Cure, Finding, do, error, of_path, put, warning
from steerd.machine.record import Machine

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
        for leg, target in enumerate(path.targets):
            if _is_own(machine, target):
                yield _own(path, target, answers)
            elif leg not in answers.answered.get(path.path, ()):
                yield _silent(machine, path, target, answers, blocked)


def _is_own(machine: Machine, target: Target) -> bool:
    return bool(target.address) and (target.address in machine.own or ip_address(target.address).is_loopback)


def _own(path: ProbePath, target: Target, answers: Answers) -> Finding:
    key = _key(target)
    return error(
        "target-is-own",
        of_path(path.path, key),
        f"{target.address} is an address of this machine.",
        "It answers itself whatever becomes of the path, so it is not probed, and the path is never known to work.",
        _other(path, target, answers)
        or do(f"Write an address behind {path.device} that answers: the other end of the tunnel, or one beyond it."),
    )


def _silent(machine: Machine, path: ProbePath, target: Target, answers: Answers, blocked: Sequence[str]) -> Finding:
    said = answers.said.get(path.path, {})
    name, place = target.name or target.address, of_path(path.path, _key(target))
    by = f"{path.method.upper()}" + (f" at port {path.port}" if path.port else "")
    if Said.UNRESOLVED in said and target.name:
        return warning(
            "target-unresolved",
            place,
            f"{said[Said.UNRESOLVED]}.",
            "It is not probed until its name has an address.",
            do("See to this machine's DNS, or write an address."),
        )
    local = said.get(Said.LOCAL, "")
    # Bound to a device without neighbours a packet leaves whatever routes say; else they have to lead there.
    leads = machine.main.devices[path.device].hardware == "" and target.family == IPV4
    unrouted = any(code in local for code in _NO_ROUTE)
    if unrouted and not leads and not machine.sockets.daemon:
        return warning(
            "target-unmeasured",
            place,
            f"{name} could not be probed: no route of this machine leads there by {path.device}.",
            "steerd's own table will; until it runs, nobody can say whether the target answers.",
            do("Run this check again beside the running daemon."),
        )
    make = error if blocked else warning
    why = "The path is taken for down."
    if blocked:
        why = f"No path of policy {' and '.join(blocked)} answers, so there is nothing to steer to."
    if local and not unrouted:
        return make(
            "target-unsent", place, f"{name} cannot be probed: {local}.", why, do("See to what the message names.")
        )
    if path.method != "icmp" and target.address in answers.others.get(path.path, ()):
        return make(
            "target-not-by-method",
            place,
            f"{name} answers ICMP, and nothing by {by}.",
            why,
            put('method = "icmp"'),
        )
    return make(
        "target-silent",
        place,
        f"{name} did not answer by {by} through {path.device}.",
        why,
        _other(path, target, answers)
        or do(f"See whether it answers at all (`ping -I {path.device} {name}`), or write an address that does."),
    )


def _other(path: ProbePath, target: Target, answers: Answers) -> Cure | None:
    """An address that answers by the path's device in the target's place."""
    found = [one for one in answers.others.get(path.path, ()) if ip_address(one).version == target.family]
    return next((put(f'{_key(target)} = "{one}"') for one in found if one != target.address), None)


def _key(target: Target) -> str:
    return "target" if target.family == IPV4 else "target6"
