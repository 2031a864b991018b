"""Confidence: what the current path costs beyond what a rival is used to, added up. Worked by hand, with 5 ms that
are not added up and 25 ms*s (a quarter of a price) that it takes."""

import pytest

from tests.unit.beliefs import field, look, rule


def settled(**costs):
    """The first path has long been the best: the others sit at the cap, and regret has no say."""
    names = list(costs)
    return field(dict.fromkeys(names, 100.0) | {names[0]: 0.0}, **costs)


def added(standings, name="b"):
    return (standings[name].excess, standings[name].excess_for)


def test_what_is_more_than_what_pays_within_the_horizon_is_added_up():
    one, standings = rule(), settled(a=20.0, b=20.0)
    told = []
    for here, dt in ((25.0, 1.0), (25.5, 1.0), (30.0, 0.5), (24.0, 1.0), (20.0, 0.5), (33.0, 1.0)):
        look(one, standings, a=here, dt=dt)
        told.append(added(standings))
    assert told == [
        (0.0, 0.0),
        (0.5, 1.0),
        (3.0, 1.5),
        (2.0, 2.5),
        (0.0, 3.0),  # never below 0
        (8.0, 1.0),  # and from 0 on the time counts anew
    ]
    one, standings = rule(), settled(a=25.5, b=20.0)
    look(one, standings)
    look(one, standings, a=24.9)
    assert standings["b"].excess == pytest.approx(0.4)
    look(one, standings, a=20.0)
    assert standings["b"].excess == 0.0


def test_the_horizon_says_what_is_not_added_up():
    """A price of 60 ms*s in 12 s: 5 ms. In 24 s: 2.5 ms."""
    for horizon, excess in ((12.0, 5.0), (24.0, 7.5)):
        standings = settled(a=30.0, b=20.0)
        look(rule(price=60.0, horizon=horizon), standings)
        assert added(standings) == (excess, 1.0)


@pytest.mark.parametrize(
    ("dt", "scatter", "counts"),
    [
        (1.0, 0.0, 25.0),
        (0.5, 0.0, 25.0),
        (2.0, 0.0, 12.5),
        (1.0, 20.0, 70.0),  # what noise of that size brings about now and then: 3.5 deviations
        (1.0, 7.0, 25.0),
    ],
)
def test_one_round_counts_for_what_it_takes_at_most(dt, scatter, counts):
    """However much it costs: an outlier alone convinces nobody."""
    for far in (1000.0, 20.0 + counts + 1.0):
        standings = settled(a=20.0, b=20.0)
        standings["a"].belief.scatter = scatter
        look(rule(), standings, a=far, dt=dt)
        assert added(standings) == (pytest.approx((counts - 5.0) * dt), dt)
    standings = settled(a=20.0, b=20.0)
    standings["a"].belief.scatter = scatter
    look(rule(), standings, a=20.0 + counts - 1.0, dt=dt)  # this counts as it is
    assert added(standings) == (pytest.approx((counts - 6.0) * dt), dt)


@pytest.mark.parametrize("samples", [1, 100, 101])
def test_it_is_left_when_a_quarter_of_a_price_is_added_up(samples):
    """10 ms more are 5 a second: 5 rounds, exactly."""
    one, standings = rule(), settled(a=30.0, b=20.0)
    standings["a"].belief.samples = samples
    standings["a"].belief.scatter = 2.0
    standings["b"].belief.level_error2 = 0.25
    verdicts = [look(one, standings) for _ in range(5)]
    assert verdicts[:-1] == [None] * 4
    verdict = verdicts[-1]
    assert (verdict.to, verdict.rule) == ("b", "confident")
    assert verdict.margin == {
        "gain": 10.0,
        "stderr": pytest.approx((4.0 / 5 + 0.25) ** 0.5),
        "regret": 0.0,
        "excess": 25.0,
        "price": 100.0,
        "cap": 100.0,
        "horizon": 20.0,
    }


@pytest.mark.parametrize(("here", "dt", "rounds"), [(35.0, 1.0, 3), (30.0, 1.0, 5), (40.0, 0.5, 4), (60.0, 1.0, 3)])
def test_the_more_it_costs_the_sooner_but_never_for_two_samples(here, dt, rounds):
    one, standings = rule(), settled(a=20.0, b=20.0)
    verdicts = [look(one, standings, a=here, dt=dt) for _ in range(rounds)]
    assert verdicts[:-1] == [None] * (rounds - 1)
    assert verdicts[-1].rule == "confident"


def test_three_samples_may_convince_and_two_may_not():
    """With a deviation of 10 ms a round counts for up to 35: the first is past 25, the second 3.4 errors off."""
    one, standings = rule(), settled(a=20.0, b=20.0)
    standings["a"].belief.scatter = 10.0
    assert look(one, standings, a=60.0) is None
    assert standings["b"].excess == 30.0
    assert look(one, standings, a=60.0) is None
    assert look(one, standings, a=60.0).rule == "confident"


@pytest.mark.parametrize(("others", "excess"), [(0, 4.0), (1, 40.0)])
def test_rounds_without_a_new_sample_convince_nobody(others, excess):
    """Where nobody has one they are not even counted; the first of all may be new."""
    one, standings = rule(), settled(a=80.0, b=20.0)
    everyone = list(standings.values())
    for _ in range(10):
        standings["b"].belief.samples += others
        standings["a"].regret = 0.0
        standings["b"].regret = 100.0
        assert one.observe(everyone, standings["a"], 0.2, 0.0) is None
    assert standings["b"].excess == pytest.approx(excess)


@pytest.mark.parametrize(("error", "moves"), [(5.0, True), (5.01, False)])
def test_it_must_be_three_and_more_errors_from_chance(error, moves):
    """17 ms more are 3.4 errors of 5 ms. Three rounds of 12 ms*s are enough otherwise."""
    one, standings = rule(), settled(a=37.0, b=20.0)
    standings["b"].belief.level_error2 = error**2
    verdicts = [look(one, standings) for _ in range(3)]
    assert verdicts[:2] == [None] * 2
    assert (verdicts[2] is not None) is moves


@pytest.mark.parametrize(("scatter", "rounds"), [(3.0, 3), (10.0, 4), (15.0, 9), (20.0, 16)])
def test_noise_makes_it_wait_for_samples(scatter, rounds):
    """Of 17 ms: 3.4 deviations over the root of the samples."""
    one, standings = rule(), settled(a=37.0, b=20.0)
    standings["a"].belief.scatter = scatter
    for _ in range(rounds - 1):
        assert look(one, standings) is None
        standings["a"].regret = 0.0  # regret has no say
    assert look(one, standings).rule == "confident"


@pytest.mark.parametrize(
    ("cost", "used_to", "spot", "scatter", "expected"),
    [
        (20.0, 26.0, 20.0, 1.0, 26.0),  # its level
        (24.0, 20.0, 20.0, 1.0, 24.0),  # which is slow to rise: its mean
        (20.0, 20.0, 22.0, 1.0, 20.0),  # two deviations above are nothing
        (20.0, 20.0, 22.1, 1.0, 22.1),  # more is: it is on the rise itself
        (20.0, 20.0, 25.0, 3.0, 20.0),
        (20.0, 20.0, 27.0, 3.0, 27.0),
        (20.0, 20.0, 21.5, 0.5, 21.5),
    ],
)
def test_what_a_rival_may_be_expected_to_cost(cost, used_to, spot, scatter, expected):
    standings = settled(a=45.0, b=cost)
    belief = standings["b"].belief
    belief.used_to, belief.scatter = used_to, scatter
    look(rule(), standings, b=spot)
    assert added(standings) == (pytest.approx(45.0 - 5.0 - expected), 1.0)


def convinced(**costs):
    """Long enough of what costs enough: 12 rounds in which the first cost 20 ms more than each."""
    standings = settled(**costs)
    for name, one in standings.items():
        if name != "a":
            one.excess, one.excess_for = 180.0, 12.0
            one.excess_from = standings["a"].belief.samples - 12
    return standings


@pytest.mark.parametrize(("here", "moves"), [(22.0, False), (22.1, True), (21.0, False)])
def test_its_last_probe_must_be_above_the_rivals_level_by_more_than_is_ignored(here, moves):
    assert (look(rule(), convinced(a=40.0, b=20.0), a=here) is not None) is moves


@pytest.mark.parametrize("flaw", ["missing", "doubt", "samples", "up", "open", "excess_from"])
def test_a_rival_that_is_doubtful_itself_is_passed_over(flaw):
    """What comes after it is looked at."""
    standings = convinced(a=40.0, b=20.0, c=22.0)
    rival = standings["b"]
    spoilt = {"missing": True, "doubt": 1.0, "samples": 3, "up": False, "open": False, "excess_from": 100}[flaw]
    setattr(rival if hasattr(rival, flaw) else rival.belief, flaw, spoilt)
    verdict = look(rule(), standings)
    assert (verdict.to, verdict.rule) == ("c", "confident")


@pytest.mark.parametrize("costs", [{"b": 20.0, "c": 22.0, "d": 21.0}, {"b": 22.0, "c": 21.0, "d": 20.0}])
def test_of_several_the_lowest_level_wins(costs):
    assert look(rule(), convinced(a=40.0, **costs)).to == min(costs, key=costs.get)


def test_of_equal_levels_the_first_wins():
    assert look(rule(), convinced(a=40.0, b=20.0, c=20.0)).to == "b"


def test_a_new_choice_is_judged_anew():
    one, standings = rule(), convinced(a=40.0, b=20.0)
    one.moved(list(standings.values()))
    assert look(one, standings) is None
    assert added(standings) == (15.0, 1.0)
