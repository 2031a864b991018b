"""The arguments of `steerd simulate-fleet`."""

import argparse
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from steerd.cli import arguments


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number between these."""

    def check(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return check


def number(low: float, high: float) -> Callable[[str], float]:
    """A number between these."""

    def check(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = -1.0
        if not low <= found <= high:
            raise ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return found

    return check


def seconds(low: int, high: int) -> Callable[[str], int]:
    """A duration of whole seconds between these."""

    def check(text: str) -> int:
        found = arguments.duration(text)
        if found != int(found) or not low <= found <= high:
            raise ArgumentTypeError(f"{text!r} is not a duration of whole seconds from {low} to {high}")
        return int(found)

    return check


def milliseconds(text: str) -> float:
    """ms, from a duration of 10 s at most."""
    found = arguments.duration(text)
    if not 0.0 <= found <= 10.0:
        raise ArgumentTypeError(f"{text!r} is not a duration up to 10s")
    return 1000.0 * found


def add(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    option = parser.add_argument
    option("--gateways", type=whole(1, 100_000), default=1000, metavar="N", help="default: 1000")
    option("--pops", type=whole(2, 500), default=10, metavar="N", help="default: 10")
    option(
        "--utilisation",
        type=number(0.01, 0.99),
        default=0.85,
        metavar="SHARE",
        help="of what all PoPs can carry, while nothing is wrong with them (default: 0.85)",
    )
    option(
        "--seed", type=whole(0, 10**9), default=1, metavar="N", help="of the world and all that is drawn (default: 1)"
    )
    option(
        "--script",
        type=Path,
        metavar="FILE",
        help="what happens to the PoPs, in TOML (default: the busiest loses half, is whole again and dies)",
    )
    option("--for", dest="length", type=seconds(60, 7 * 86_400), default=2400, metavar="40m", help="default: 40m")
    option(
        "--interval",
        type=seconds(1, 60),
        default=1,
        metavar="1s",
        help="between two probes of a path, in whole seconds (default: 1s)",
    )
    option("--gate", type=number(0.0, 1000.0), default=5.0, metavar="G", help="[fleet] gate (default: 5; 0: none)")
    option(
        "--spread-within",
        type=milliseconds,
        metavar="20ms",
        help="[fleet] spread_within (default: 20ms with a gate, else 0ms)",
    )
    option("--max-active", type=whole(2, 1000), default=12, metavar="N", help="[probe] max_active (default: 12)")
    option(
        "--noise",
        type=milliseconds,
        default=1.0,
        metavar="1ms",
        help="that probes take longer, in the mean (default: 1ms)",
    )
    option(
        "--loss", type=number(0.0, 0.5), default=0.002, metavar="SHARE", help="of probes that are lost (default: 0.002)"
    )
    option(
        "--traffic",
        type=number(0.0, 1e9),
        default=1e6,
        metavar="BYTES",
        help="that a gateway sends in a second, in the mean: whether it learns what its own load does (default: 1e6)",
    )
    option(
        "--report-age",
        type=seconds(0, 3600),
        default=10,
        metavar="10s",
        help="how old it is what PoPs say of themselves, for rules that go by it (default: 10s)",
    )
    option(
        "--rules",
        default="steerd,argmin,hysteresis,two-choices,central",
        metavar="A,B,...",
        help="steerd, work-function, argmin, hysteresis, two-choices, hot-cold, orca, tailscale, netbird, central; "
        "or all (default: %(default)s)",
    )
    option("-j", "--jobs", type=whole(1, 256), metavar="N", help="processes (default: one a processor)")
    option("--json", action="store_true", help="the same as JSON")
    option("--plot", type=Path, metavar="FILE.svg", help="draw the latency of all users over time, for each rule")
