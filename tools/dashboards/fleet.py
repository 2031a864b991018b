"""What there is to see of a fleet."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from tools.dashboards.panels import WHOLE, Row, lines, page, states

_GATEWAYS: Final = Row(
    "Gateways",
    [
        lines(
            "By what is known of them",
            "short",
            "`stale`: connected, and says nothing.",
            ("sum by (presence) (steerd_fleet_gateways)", "{{presence}}"),
            stacked=True,
        ),
        lines(
            "Online, by region",
            "short",
            "Connected, and heard of lately.",
            ('sum by (region) (steerd_fleet_gateways{presence="online"})', "{{region}}"),
            stacked=True,
        ),
        lines(
            "Switches of a gateway in an hour",
            "short",
            "By reason, on average over those online.",
            (
                (
                    "3600 * sum by (reason) (rate(steerd_fleet_switches_total[$__rate_interval])) / "
                    'scalar(sum(steerd_fleet_gateways{presence="online"}))'
                ),
                "{{reason}}",
            ),
        ),
        lines("Strangers", "short", "Gateways that are not in the inventory.", ("steerd_fleet_strangers", "strangers")),
    ],
)

_POPS: Final = Row(
    "PoPs",
    [
        states(
            "Takes users",
            "Red: the PoP says that it takes nobody.",
            [("takes nobody", "red"), ("takes users", "green")],
            ('steerd_fleet_pop_accepting{pop=~"$pop"}', "{{pop}}"),
        ),
        states(
            "Drained",
            "By a signed order, for all or for some.",
            [("no", "transparent"), ("drained", "orange")],
            ('steerd_fleet_pop_drained{pop=~"$pop"}', "{{pop}}"),
        ),
        lines(
            "Gateways on it",
            "short",
            "With a policy on the PoP.",
            ('steerd_fleet_pop_gateways{pop=~"$pop"}', "{{pop}}"),
            stacked=True,
        ),
        lines(
            "Load",
            "percentunit",
            "What the PoP says of itself.",
            ('steerd_fleet_pop_load_ratio{pop=~"$pop"}', "{{pop}}"),
        ),
        lines(
            "RTT",
            "s",
            "Median of what online gateways measure.",
            ('steerd_fleet_pop_rtt_seconds{pop=~"$pop"}', "{{pop}}"),
        ),
        lines(
            "Since it last spoke",
            "s",
            "Of the PoP's own word.",
            ('steerd_fleet_pop_age_seconds{pop=~"$pop"}', "{{pop}}"),
        ),
        lines(
            "Gateways that cannot reach it",
            "short",
            "Online ones whose best path there is down, or not to be had.",
            ('sum by (pop) (steerd_fleet_pop_paths{pop=~"$pop", state=~"down|absent"})', "{{pop}}"),
            width=WHOLE,
        ),
    ],
)


def fleet() -> dashboard.Dashboard:
    """What the fleet service hears of: gateways and PoPs."""
    return page(
        "steerd-fleet",
        "steerd: fleet",
        "All gateways and PoPs that the fleet service hears of.",
        {
            "instance": "label_values(steerd_fleet_strangers, instance)",
            "pop": 'label_values(steerd_fleet_pop_gateways{instance="$instance"}, pop)',
        },
        [_GATEWAYS, _POPS],
    )
