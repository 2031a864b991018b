"""Whose a connection is, by what conntrack tells of it: its addresses. Pure."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from ipaddress import IPv4Interface, IPv6Interface, ip_address

from steerd.config.route_settings import RoutePolicy, RouteSettings
from steerd.core.settings import PolicyId
from steerd.route.nft.classify import lookup
from steerd.route.wanted.samples import selects
from steerd.route.wanted.selection import Selection


class Owners:
    """``addresses`` are the gateway's own, by device: they tell by which device neighbours' packets come in."""

    def __init__(
        self,
        settings: RouteSettings,
        selections: Sequence[Selection],
        addresses: Mapping[str, Sequence[IPv4Interface | IPv6Interface]],
    ) -> None:
        self._settings = settings
        self._selections = selections
        self._own = {one.ip for some in addresses.values() for one in some}
        self._networks = [(one.network, device) for device, some in addresses.items() for one in some]
        self._policies = {policy.policy: policy for policy in settings.policies}
        self._asked = cache(self._asks)
        self._ranges = cache(self._lookup)

    def of(self, family: int, source: bytes, destination: bytes) -> Iterator[RoutePolicy]:
        """The policies that it may belong to: more than one where the device that its packets come in by, or their
        mark, decides, and is not known."""
        number = int.from_bytes(destination)
        for at, sure in self._asked(source):
            firsts, lasts, policies = self._ranges(at, family)
            place = bisect_right(firsts, number) - 1
            if place >= 0 and number <= lasts[place]:
                yield self._policies[PolicyId(policies[place])]
                if sure:
                    return

    def _asks(self, source: bytes) -> list[tuple[int, bool]]:
        """The selections that may be about packets of this sender, in order, and whether they are for sure."""
        address = ip_address(source)
        own = address in self._own
        near = [(network.prefixlen, device) for network, device in self._networks if address in network]
        iif = max(near)[1] if near else ""
        found = []
        for at, selection in enumerate(self._selections):
            selectors = selection.selectors
            unknown = any(selectors.fwmark) or bool(selectors.iifs and not iif)
            known = selectors._replace(fwmark=(0, 0), iifs=selectors.iifs if iif else ())
            if selectors.own == own and selects(known, source, iif, 0):
                found.append((at, not unknown))
        return found

    def _lookup(self, at: int, family: int) -> tuple[list[int], list[int], list[str]]:
        found = lookup(self._settings, self._selections[at], family, lambda policy: policy.policy, None)
        return [one.first for one in found], [one.last for one in found], list(found.values())
