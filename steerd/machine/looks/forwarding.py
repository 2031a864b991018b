"""Whether packets of policies are let through this machine at all."""

import re
from collections.abc import Iterator, Sequence
from functools import cache

from steerd.config.family import IPV4
from steerd.config.route_settings import RoutePolicy
from steerd.config.settings import Config
from steerd.machine.finding import Cure, Finding, do, error, of_path, of_policy, run, warning
from steerd.machine.record import Machine
from steerd.route.kernel.forwarding import name, stopped
from steerd.route.model import prefixes
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft.foreign import Passes, best
from steerd.route.wanted.samples import inputs
from steerd.route.wanted.selection import selections

_STRICT = 1
_USERS = "DOCKER-USER"
"""Docker's own chains are made anew with each of its starts; this one is left to whoever runs the machine."""
_PAIRS = 8
_PLAIN = re.compile(r"[A-Za-z_.][\w.-]*", re.ASCII)
_EVERYWHERE = (["net.ipv4.ip_forward"], ["net.ipv6.conf.all.forwarding"])


def look(config: Config, machine: Machine) -> Iterator[Finding]:
    """Sysctls of forwarding, chains of others, and reverse path filters."""
    settings = config.route
    told: set[object] = set()
    for selection in (one for one in selections(settings) if not one.selectors.own):
        for policy in selection.policies:
            for family in FAMILIES:
                every = {
                    path.device
                    for path in settings.paths
                    if family in path.families and (policy.allowed is None or path.path in policy.allowed)
                }
                if not every or not prefixes.of_family(policy.prefixes, family):
                    continue
                devices, own = machine.main.devices, machine.addresses
                sources = inputs(settings, selection, family, devices, own, machine.uplinks)
                # Those that are not up are told already, and no reason to be silent of what is to come in.
                ways = sorted(name for name in every if machine.main.up(name))
                for finding in (
                    *_stopped(machine, policy, family, sources, ways),
                    *_chains(machine, policy, family, sources, ways),
                ):
                    # Many policies meet the same chain, in both families: it is told with the first.
                    if finding.cure not in told:
                        told.add(finding.cure)
                        yield finding
    if settings.pins and machine.nftables.refusals.get("pin") is None:
        yield from _strict(config, machine)


def _stopped(
    machine: Machine, policy: RoutePolicy, family: int, sources: Sequence[str], ways: Sequence[str]
) -> Iterator[Finding]:
    """Sysctls that keep packets, or the answers to them, from being forwarded."""
    off = {
        device: key for device in dict.fromkeys((*sources, *ways)) if (key := stopped(family, device, machine.sysctl))
    }
    if off:
        keys = list(dict.fromkeys(off.values()))
        where = "" if keys in _EVERYWHERE else f" that comes in by {', '.join(off)}"
        yield error(
            "not-forwarded",
            of_policy(policy.policy),
            f"IPv{family}{where} is not forwarded, since {' and '.join(keys)} is 0.",
            "What the policy is to steer goes nowhere.",
            run(*(f"sysctl -w {key}=1" for key in keys)),
        )


def _chains(
    machine: Machine, policy: RoutePolicy, family: int, sources: Sequence[str], ways: Sequence[str]
) -> Iterator[Finding]:
    hooked = ("ip" if family == IPV4 else "ip6", "inet")
    for table, text in machine.nftables.forwarding.items() if sources else ():
        if table.split()[0] not in hooked:
            continue
        passes = cache(lambda way, text=text: best(text, family, tuple(sources), way))
        for chain in {chain for way in ways for chain in passes(way)}:
            for answer, does, make in ((Passes.NO, "drops", error), (Passes.MAYBE, "may drop", warning)):
                stuck = [way for way in ways if passes(way).get(chain) is answer]
                if not stuck:
                    continue
                whole = answer is Passes.NO
                where = _USERS if f"\tchain {_USERS} {{" in text else chain
                yield make(
                    "chain-drops",
                    of_policy(policy.policy),
                    f"Chain {chain} of nftables' table {table} {does} IPv{family} from {', '.join(sources)} to "
                    f"{', '.join(stuck)}.",
                    "What the policy steers there is dropped by this machine's own firewall."
                    if whole
                    else "Whether one of its rules accepts that depends on more than the devices.",
                    _accept(table, where, sources, stuck)
                    if whole
                    else do(f"See that a rule of it accepts what is meant to pass: `nft list chain {table} {chain}`."),
                )


def _accept(table: str, chain: str, sources: Sequence[str], ways: Sequence[str]) -> Cure:
    """Rules at the head of the chain, for what goes out and for the answers. One a pair: a set in it would make
    `iptables` refuse to show a table that is its own."""
    if len(sources) * len(ways) > _PAIRS:
        return do(f"Have a rule of {chain} accept that, and the answers: `nft list chain {table} {chain}`.")
    insert = f"nft insert rule {table} {chain}"
    return run(
        *(
            command
            for source in sources
            for way in ways
            for command in (
                f"{insert} iifname {_named(way)} oifname {_named(source)} ct state established,related counter accept",
                f"{insert} iifname {_named(source)} oifname {_named(way)} counter accept",
            )
        )
    )


def _named(device: str) -> str:
    """As `nft` takes it."""
    return device if _PLAIN.fullmatch(device) else f'"{device}"'


def _strict(config: Config, machine: Machine) -> Iterator[Finding]:
    """As for `remarks.strict`."""
    everywhere = int(machine.sysctl("ipv4", "all", "rp_filter") or 0)
    for path in config.route.paths:
        device = path.device
        if max(everywhere, int(machine.sysctl("ipv4", device, "rp_filter") or 0)) == _STRICT:
            yield warning(
                "rp-filter-strict",
                of_path(path.path, "dev"),
                f"rp_filter is in effect as 1 (strict) on {device}.",
                "Connections that stay on this path after a switch (flows) get no answers.",
                run(f"sysctl -w {name('ipv4', device, 'rp_filter')}=2"),
            )
