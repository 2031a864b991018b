"""What there is to see of a gateway."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from tools.dashboards.panels import THIRD, Row, lines, number, page, states

_POLICIES: Final = Row(
    "Policies",
    [
        states(
            "Traffic is carried",
            "Red: no path of the policy's can carry it.",
            [("well", "green"), ("cannot be carried", "red")],
            (
                'max by (policy) (steerd_policy_state{policy=~"$policy", state=~"held|blocked|local-outage"})',
                "{{policy}}",
            ),
            height=5,
        ),
        states(
            "Path in use",
            "Which path each policy uses.",
            [("not in use", "transparent"), ("in use", "green")],
            ('steerd_policy_active{policy=~"$policy"}', "{{policy}}: {{path}}"),
        ),
        lines(
            "Switches",
            "short",
            "By reason, in each interval. Many that are `better`: a flap.",
            (
                (
                    'sum by (policy, reason) (increase(steerd_switches_total{policy=~"$policy", reason!="start"}'
                    "[$__rate_interval])) > 0"
                ),
                "{{policy}}: {{reason}}",
            ),
        ),
        lines(
            "Cost of each path",
            "s",
            "All terms together. The cheapest wins once it has been cheaper by more than a switch costs; down: none.",
            ('steerd_path_cost_seconds{policy=~"$policy", term="total"}', "{{policy}}: {{path}}"),
        ),
    ],
)

_PATHS: Final = Row(
    "Paths",
    [
        lines("RTT", "s", "As believed now.", ("steerd_path_rtt_seconds", "{{path}}"), width=THIRD),
        lines("Jitter", "s", "As believed now.", ("steerd_path_jitter_seconds", "{{path}}"), width=THIRD),
        lines(
            "Loss", "percentunit", "As believed now; down: all.", ("steerd_path_loss_ratio", "{{path}}"), width=THIRD
        ),
        lines(
            "Probes that were lost",
            "percentunit",
            "Of those that were settled in each interval.",
            (
                (
                    'sum by (path) (rate(steerd_probes_total{result="lost"}[$__rate_interval])) / '
                    'sum by (path) (rate(steerd_probes_total{result=~"reply|lost"}[$__rate_interval]))'
                ),
                "{{path}}",
            ),
        ),
        lines(
            "Slowest probe of a hundred",
            "s",
            "99th percentile of the RTT in each interval.",
            (
                "histogram_quantile(0.99, sum by (path, le) (rate(steerd_probe_rtt_seconds_bucket[$__rate_interval])))",
                "{{path}}",
            ),
        ),
    ],
)

_TRAFFIC: Final = Row(
    "Traffic",
    [
        lines(
            "Packets by device",
            "pps",
            "Where the policies' packets leave, as the kernel counts them.",
            (
                (
                    'sum by (policy, device) (rate(steerd_policy_packets_total{policy=~"$policy", where=~"choice|path"}'
                    "[$__rate_interval]))"
                ),
                "{{policy}}: {{device}}",
            ),
            stacked=True,
        ),
        lines(
            "Packets that go wrong",
            "pps",
            "Astray, nowhere, or stopped by the leak guard.",
            (
                (
                    'sum by (policy, where) (rate(steerd_policy_packets_total{policy=~"$policy", where!~"choice|path"}'
                    "[$__rate_interval]))"
                ),
                "{{policy}}: {{where}}",
            ),
        ),
        lines(
            "Prefixes in the kernel",
            "short",
            "As read back.",
            ('steerd_routes_installed{policy=~"$policy"}', "{{policy}}: {{family}}"),
        ),
        lines(
            "Uplinks' caps",
            "percentunit",
            "What is used of each uplink's cap.",
            ("steerd_uplink_bytes_total / steerd_uplink_cap_bytes", "{{uplink}}"),
        ),
    ],
)

_DAEMON: Final = Row(
    "The daemon",
    [
        number(
            "Last reload",
            "1: it was refused.",
            ("1 - steerd_config_last_reload_successful", "refused"),
            bad_from=1,
        ),
        number(
            "Repairs in an hour",
            "What others changed in the kernel, and steerd put back.",
            ("sum(increase(steerd_repairs_total[1h]))", "repairs"),
            bad_from=10,
        ),
        number(
            "Own mistakes in a day",
            "Mistakes in steerd itself that it survived. Please report them.",
            ("sum(increase(steerd_faults_total[1d]))", "mistakes"),
            bad_from=1,
        ),
        number("Switches in a day", "Of all policies.", ("sum(increase(steerd_switches_total[1d]))", "switches")),
        lines(
            "CPU",
            "percentunit",
            "Of one core.",
            ("rate(process_cpu_seconds_total[$__rate_interval])", "{{instance}}"),
            width=THIRD,
        ),
        lines("Memory", "bytes", "Resident.", ("process_resident_memory_bytes", "{{instance}}"), width=THIRD),
        lines(
            "Event loop's lateness",
            "s",
            "99th percentile of how late the daemon woke up.",
            (
                (
                    "histogram_quantile(0.99, "
                    "sum by (instance, le) (rate(steerd_loop_lag_seconds_bucket[$__rate_interval])))"
                ),
                "{{instance}}",
            ),
            width=THIRD,
        ),
        lines(
            "Refused inputs",
            "cpm",
            "By who sent them.",
            (
                "60 * sum by (source, reason) (rate(steerd_refused_total[$__rate_interval])) > 0",
                "{{source}}: {{reason}}",
            ),
        ),
        lines("MQTT", "short", "1: connected.", ("steerd_mqtt_connected", "connected")),
    ],
)


def gateway() -> dashboard.Dashboard:
    """What a gateway does."""
    return page(
        "steerd-gateway",
        "steerd: gateway",
        "Which ways the traffic of a gateway takes, why, and what its paths are like.",
        {
            "instance": "label_values(steerd_policy_state, instance)",
            "policy": 'label_values(steerd_policy_state{instance="$instance"}, policy)',
        },
        [_POLICIES, _PATHS, _TRAFFIC, _DAEMON],
    )
