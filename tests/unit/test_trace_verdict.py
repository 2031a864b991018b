"""What a trace means: hops to words."""

import pytest

from steerd.trace.result import Hop, Mtu, MtuState, TargetTrace
from steerd.trace.verdict import of_target, verdict


def way(*hops: Hop, **more) -> TargetTrace:
    return TargetTrace(
        4, "198.51.100.7", source="192.0.2.1", hops=hops, reached=any(hop.target for hop in hops), **more
    )


def hop(number: int, answered: int = 3, best: float | None = None, **more) -> Hop:
    best = float(number) if best is None else best
    addresses = (f"203.0.113.{number}",) if answered else ()
    times = {"best_ms": best, "mean_ms": best} if answered else {}
    return Hop(number, 3, answered, **{"addresses": addresses, **times, **more})


def silent(first: int, last: int) -> list[Hop]:
    return [hop(number, 0) for number in range(first, last + 1)]


def target(number: int, answered: int = 3, best: float | None = None, **more) -> Hop:
    return hop(number, answered, best, addresses=("198.51.100.7",), target=True, **more)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (way(hop(1), hop(2), target(3, best=11.34)), "the target answers, at hop 3, in 11.3 ms"),
        (way(target(1)), "the first hop is the target (a tunnel shows no hops)"),
        (way(target(1, 2)), "the first hop is the target (a tunnel shows no hops); it answers 2 of 3"),
        (way(hop(1), hop(2), *silent(3, 7)), "answers until hop 2 (203.0.113.2), nothing beyond"),
        (way(*silent(1, 5)), "no hop answered: check this gateway; for a tunnel, check both ends"),
        (way(), "no hop answered: check this gateway; for a tunnel, check both ends"),
        (way(refused="Network is unreachable"), "this machine cannot send: Network is unreachable"),
        # an error, by the router itself or for the hop behind it
        (way(hop(1), hop(2, error="prohibited")), 'hop 2 (203.0.113.2) says "prohibited"'),
        (
            way(hop(1), hop(2), hop(3, error="host unreachable", addresses=("203.0.113.2",))),
            'hop 2 (203.0.113.2) says "host unreachable"',
        ),
        (
            way(hop(1), *silent(2, 5), hop(6, error="prohibited", addresses=("203.0.113.2",))),
            '203.0.113.2, beyond hop 1 (203.0.113.1), says "prohibited"',
        ),
        (
            way(*silent(1, 3), hop(4, error="prohibited")),
            '203.0.113.4, before any hop, says "prohibited"',
        ),
        (
            way(hop(1, error="host unreachable", addresses=("192.0.2.1",))),
            'this machine itself says "host unreachable": check this gateway',
        ),
        (way(hop(1), target(2, error="port unreachable")), 'the target answers with "port unreachable"'),
        # loss
        (way(hop(1), hop(2, 2), hop(3, 1), target(4, 2)), "the target answers; loss begins at hop 2"),
        (way(hop(1), hop(2, 1), hop(3), target(4, 2)), "the target answers; loss begins at hop 4"),
        (way(hop(1), *silent(2, 2), hop(3, 2), target(4, 2)), "the target answers; loss begins at hop 3"),
        (way(hop(1), hop(2, 1), target(3)), "the target answers, at hop 3, in 3.0 ms"),
        # delay
        (
            way(hop(1, best=2), hop(2, best=3), hop(3, best=51), target(4, best=52)),
            "the target answers; the delay grows by 48 ms between hop 2 and hop 3",
        ),
        (
            way(hop(1, best=2), *silent(2, 3), target(4, best=52)),
            "the target answers; the delay grows by 50 ms between hop 1 and hop 4",
        ),
        (way(hop(1, best=2), hop(2, best=80), target(3, best=4)), "the target answers, at hop 3, in 4.0 ms"),
        (way(hop(1, best=1), hop(2, best=9), target(3, best=12)), "the target answers, at hop 3, in 12.0 ms"),
        (way(hop(1, best=50), hop(2, best=62), target(3, best=70)), "the target answers, at hop 3, in 70.0 ms"),
        (
            way(hop(1, best=1), hop(2, 2, best=41), target(3, 2, best=42)),
            "the target answers; loss begins at hop 2; the delay grows by 40 ms between hop 1 and hop 2",
        ),
        # circles
        (
            way(*(hop(n, addresses=(f"203.0.113.{n % 2}",)) for n in range(1, 9))),
            "goes in circles from hop 1 on, by 203.0.113.1 and 203.0.113.0",
        ),
        # answers that do not tell which probe they are for
        (
            TargetTrace(4, "a", hops=tuple(silent(1, 5)), reached=True),
            "the target answers, without telling at which hop",
        ),
        (
            TargetTrace(4, "a", hops=(hop(1), *silent(2, 6)), reached=True),
            "the target answers, beyond hop 1 (203.0.113.1), without telling at which hop",
        ),
        # sizes
        (
            way(hop(1), target(2), mtu=Mtu(MtuState.BLACK_HOLE, 1400, 1500)),
            "the target answers, at hop 2, in 2.0 ms; packets of more than 1400 bytes vanish without an error",
        ),
        (
            way(target(1), mtu=Mtu(MtuState.FOUND, 1400, 1500, "203.0.113.1")),
            "the first hop is the target (a tunnel shows no hops)",
        ),
    ],
)
def test_verdicts(found, said):
    assert of_target(found) == said


def test_families_that_fare_alike_share_a_sentence():
    good, bad = way(target(1)), TargetTrace(6, "2001:db8::1", hops=tuple(silent(1, 5)))
    assert verdict([good, good]) == of_target(good)
    assert verdict([good, bad]) == f"IPv4: {of_target(good)}; IPv6: {of_target(bad)}"
