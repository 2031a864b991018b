"""What of others keeps policies' packets from going as they should, though all of ours is in place."""

import logging
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cache

from steerd.config.route_settings import RoutePolicy, RouteSettings
from steerd.core.settings import PolicyId
from steerd.route.around.kernel_drops import legacy_tables
from steerd.route.around.remarks import port_of, port_words
from steerd.route.kernel.forwarding import stopped
from steerd.route.kernel.kernel import Kernel
from steerd.route.model.objects import Device, Seen
from steerd.route.model.prefixes import FAMILIES
from steerd.route.nft import marks
from steerd.route.nft.foreign import Passes, best
from steerd.route.nft.protect import Protection
from steerd.route.wanted.choice import devices
from steerd.route.wanted.coverage import ALL, covered, words
from steerd.route.wanted.present import Present
from steerd.route.wanted.samples import inputs

log = logging.getLogger(__name__)

Expected = Mapping[int, frozenset[str]]
"""By family, the devices that a policy's packets are to leave by; empty: none."""


class Obstacles:
    """``doubts``: what may be one, or is one for some packets, by policy and family, as of the last `look`; ``partly``:
    what main's routes take of their addresses, if that is not all; ``filtered``: whose packets others' chains may drop,
    as they may be meant to; ``marks``: chains that set marks which lead packets elsewhere."""

    def __init__(self, kernel: Kernel, protection: Protection) -> None:
        self.doubts: Mapping[tuple[PolicyId, int], str] = {}
        self.partly: Mapping[tuple[PolicyId, int], str] = {}
        self.filtered: AbstractSet[tuple[PolicyId, int]] = frozenset()
        self.marks: tuple[str, ...] = ()
        self._marked: tuple[object, ...] = ()  # what those were found in
        self._kernel = kernel
        self._protection = protection

    def look(self, present: Present, seen: Seen, expected: Mapping[PolicyId, Expected]) -> dict[PolicyId, str]:
        """In words, by policy. Main is as `Protection` read it last, everything else as it is now."""
        settings = present.settings
        found: dict[PolicyId, str] = {}
        doubts: dict[tuple[PolicyId, int], str] = {}
        filtered: set[tuple[PolicyId, int]] = set()
        partly: dict[tuple[PolicyId, int], str] = {}
        known = self._inputs(present, seen)
        forwarding, legacy = cache(self._forwarding), cache(legacy_tables)  # many policies ask the same
        for policy in settings.policies:
            if policy.policy not in expected:
                continue
            lines = [
                *self._pieces(settings, policy, expected[policy.policy]),
                *_ports(policy, self._protection.main.devices),
            ]
            partly |= self._partly(settings, policy, expected[policy.policy])
            for family, ways in expected[policy.policy].items():
                sources = known.get((policy.policy, family), ())
                whole, words = forwarding(family, sources, ways) if ways and sources else (False, "")
                if words and whole and not policy.own_traffic:
                    lines.append(words)
                elif words:
                    doubts[policy.policy, family] = words
                if "filter" in legacy(family) or (words and not any(stopped(family, one) for one in sources)):
                    filtered.add((policy.policy, family))
            if lines:
                found[policy.policy] = "; ".join(lines)
        self.doubts, self.filtered, self.partly = doubts, filtered, partly
        self._look_at_marks(settings)
        return found

    def _look_at_marks(self, settings: RouteSettings) -> None:
        tables = {table: text for one in FAMILIES for table, text in self._protection.others(one).items()}
        if self._marked != (settings, tables):
            self.marks, self._marked = tuple(marks.remarks(settings, tables)), (settings, tables)

    @property
    def remarks(self) -> tuple[str, ...]:
        """The doubts and marks, one line each."""
        return (*(f"policy {policy}: {words}" for (policy, _), words in self.doubts.items()), *self.marks)

    def _inputs(self, present: Present, seen: Seen) -> dict[tuple[PolicyId, int], tuple[str, ...]]:
        """By which devices forwarded packets of each policy come in, by family."""
        uplinks = {one.device for one in self._protection.main.defaults}
        try:
            addresses = self._kernel.addresses()
        except OSError as error:
            log.warning("the gateway's addresses cannot be read: %s", error)
            return {}
        found: dict[tuple[PolicyId, int], tuple[str, ...]] = {}
        for selection in (one for one in present.selections if not one.selectors.own):
            for family in present.families:
                names = inputs(present.settings, selection, family, seen.devices, addresses, uplinks)
                found |= {(policy.policy, family): tuple(names) for policy in selection.policies}
        return found

    def _forwarding(self, family: int, sources: tuple[str, ...], ways: frozenset[str]) -> tuple[bool, str]:
        """What keeps packets from being forwarded from these devices to those, and whether it stops all of them."""
        off = {device: key for device in sources if (key := stopped(family, device))}
        if off:
            cure = " ".join(f"{key}=1" for key in dict.fromkeys(off.values()))
            keys = " and ".join(dict.fromkeys(off.values()))
            words = f"IPv{family} that comes in by {', '.join(off)} is not forwarded, since {keys} is 0"
            return len(off) == len(sources), f"{words}: `sysctl -w {cure}`"
        chains = {
            (table, chain, way): answer
            for way in sorted(ways)
            for table, text in self._protection.others(family).items()
            for chain, answer in best(text, family, sources, way).items()
        }
        for (table, chain, way), answer in sorted(chains.items(), key=lambda one: one[1]):
            does = {Passes.NO: "drops", Passes.MAYBE: "may drop"}.get(answer)
            if does:
                return answer is Passes.NO, (
                    f"chain {chain} of nftables' table {table} {does} IPv{family} from {', '.join(sources)} to {way}: "
                    f"see that a rule of it accepts that (`nft list chain {table} {chain}`)"
                )
        return False, ""

    def _pieces(self, settings: RouteSettings, policy: RoutePolicy, expected: Expected) -> Iterator[str]:
        if taken := list(self._taken(settings, policy, expected)):
            yield (
                f"routes of main that are no default routes come before steerd's and take {', and '.join(taken)}: "
                "remove them (OpenVPN: pull-filter ignore redirect-gateway; wg-quick: Table = off), or list in except "
                "what is to go there"
            )

    def _partly(
        self, settings: RouteSettings, policy: RoutePolicy, expected: Expected
    ) -> Iterator[tuple[tuple[PolicyId, int], str]]:
        leads = self._protection.main.leads
        for family, ways in expected.items():
            found = covered(settings, leads, policy, family, ways)
            if 0.0 < found.share < ALL:
                share = words(settings, leads, policy, found)
                yield (policy.policy, family), f"routes of main that are no default routes take {share}"

    def _taken(self, settings: RouteSettings, policy: RoutePolicy, expected: Expected) -> Iterator[str]:
        """Which share of the policy's addresses main takes in each family, if that is all."""
        leads = self._protection.main.leads
        for family, ways in expected.items():
            found = covered(settings, leads, policy, family, ways)
            if found.share >= ALL:
                others = {device for lead in found.leads for device in lead.devices} - devices(settings, policy)
                so = " (where the leak guard drops it)" if others and self._protection.guards(policy) else ""
                yield words(settings, leads, policy, found) + so


def _ports(policy: RoutePolicy, known: Mapping[str, Device]) -> list[str]:
    """Why nothing comes in for the policy, if all devices that do for it are ports of others."""
    masters = {name: port_of(name, known) for name in policy.iifs}
    return [port_words(*one) for one in masters.items()] if policy.iifs and all(masters.values()) else []
