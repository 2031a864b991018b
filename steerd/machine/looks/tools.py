"""What this machine lacks: programs, uses of nftables, privileges of whoever looks."""

from collections.abc import Iterator

from steerd.config.route_settings import Flows, Guard, RoutePolicy
from steerd.config.settings import Config
from steerd.machine.finding import Cure, Finding, do, error, of_policy, run, warning
from steerd.machine.record import Machine

_USES = {
    "guard": ("the leak guard", "Routes alone keep traffic within its paths."),
    "pin": ("pinned connections", "Established connections move with their policy, and die where PoPs do NAT."),
    "client": ("clients that are kept whole", "Their connections stay one by one."),
    "clamp": ("clamped segment sizes", "TCP connections are not told what the paths' MTU leaves them."),
}
"""Of nftables: what it is for, and what follows without it."""


def look(config: Config, machine: Machine) -> Iterator[Finding]:
    """nftables first."""
    settings, nftables = config.route, machine.nftables
    wanted = {
        "guard": settings.guards,
        "pin": settings.pins,
        "client": any(policy.flows is Flows.CLIENT for policy in settings.policies),
        "clamp": settings.clamp_mss and bool(settings.policies),
    }
    insisting = [policy for policy in settings.policies if any(_insists(policy, use) for use in _USES)]
    if not nftables.there:
        lost = [words for use, (words, _) in _USES.items() if wanted[use]]
        lost += ["counts of where packets go"] if settings.count and settings.policies else []
        if lost:
            what, why = "nft is not installed.", f"steerd does without {', '.join(lost)}."
            yield _lacking("nft-missing", insisting, what, why, run("apt install nftables"))
        return
    for use, (words, why) in _USES.items():
        refusal = nftables.refusals.get(use)
        if wanted[use] and refusal is not None:
            strict = [one for one in insisting if _insists(one, use)]
            cure = do("Use a kernel with it, or switch it off in the file (leak_guard, flows, route.clamp_mss).")
            yield _lacking(
                "nft-refuses", strict, f"This machine refuses what is needed for {words}: {refusal}.", why, cure
            )
    if machine.unread:
        named = "; ".join(f"{one.what} ({one.why})" for one in machine.unread)
        yield warning(
            "not-looked-at",
            "this check",
            f"It could not look at {named}.",
            "What is wrong there is not told.",
            do("Run it again as root."),
        )


def _insists(policy: RoutePolicy, use: str) -> bool:
    insists = {
        "guard": policy.guard is Guard.ALWAYS,
        "pin": policy.flows in (Flows.PIN, Flows.CLIENT),
        "client": policy.flows is Flows.CLIENT,
    }
    return insists.get(use, False)


def _lacking(id_: str, insisting: list[RoutePolicy], what: str, why: str, cure: Cure) -> Finding:
    if insisting:
        return error(
            id_, of_policy(insisting[0].policy), what, "The policy insists on it: steerd does not start.", cure
        )
    return warning(id_, "policies", what, why, cure)
