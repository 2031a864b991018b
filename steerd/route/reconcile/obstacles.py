"""What of others keeps policies' packets from going as they should, though all of ours is in place."""

from collections.abc import Iterator, Mapping

from steerd.config.settings import RoutePolicy, RouteSettings
from steerd.core.settings import PolicyId
from steerd.route.nft.protect import Protection
from steerd.route.wanted import coverage
from steerd.route.wanted.choice import devices
from steerd.route.wanted.coverage import ALL, Coverage

Expected = Mapping[int, frozenset[str]]
"""By family, the devices that a policy's packets are to leave by; empty: none."""


class Obstacles:
    def __init__(self, protection: Protection) -> None:
        self._protection = protection
        self._coverage = Coverage()

    def look(self, settings: RouteSettings, expected: Mapping[PolicyId, Expected]) -> dict[PolicyId, str]:
        """In words, by policy. Main is as `Protection` read it last, everything else as it is now."""
        lines = {
            policy.policy: "; ".join(self._of(settings, policy, expected[policy.policy]))
            for policy in settings.policies
            if policy.policy in expected
        }
        return {policy: words for policy, words in lines.items() if words}

    def _of(self, settings: RouteSettings, policy: RoutePolicy, expected: Expected) -> Iterator[str]:
        if taken := list(self._taken(settings, policy, expected)):
            yield (
                f"routes of main that are no default routes come before steerd's and take {', and '.join(taken)}: "
                "remove them (OpenVPN: pull-filter ignore redirect-gateway; wg-quick: Table = off), or list in except "
                "what is to go there"
            )

    def _taken(self, settings: RouteSettings, policy: RoutePolicy, expected: Expected) -> Iterator[str]:
        """Which share of the policy's addresses main takes in each family, if that is all."""
        leads = self._protection.main.leads
        for family, ways in expected.items():
            found = self._coverage.of(settings, leads, policy, family, ways)
            if found.share >= ALL:
                others = {device for lead in found.leads for device in lead.devices} - devices(settings, policy)
                so = " (where the leak guard drops it)" if others and self._protection.guards(policy) else ""
                yield coverage.words(settings, leads, policy, found) + so
