"""The switch rules, with beliefs written by hand."""

import random

import pytest

from steerd.core.excursions import Excursions
from steerd.core.rules import Regret, Standing, Threshold
from steerd.core.settings import RegretSettings, ThresholdSettings
from tests.unit.beliefs import Belief


def field(**costs):
    standings = {name: Standing(Belief(name, cost)) for name, cost in costs.items()}
    scatter(standings, 0.5)
    return standings


def scatter(standings, sd):
    """Single samples scatter so much; what a path is used to is known by 27 of them."""
    for one in standings.values():
        one.belief.scatter = sd
        one.belief.level_error2 = sd**2 / 27


def rounds(rule, standings, current, count, dt=1.0, start=0.0, costs=None):
    """The round in which the rule first wants to move, and its verdict. `costs` gives what each path pays by round."""
    for n in range(count):
        for name, one in standings.items():
            one.belief.samples += 1
            if costs is not None:
                one.belief.paid = costs(n)[name]
        verdict = rule.observe(list(standings.values()), standings[current], dt, start + n * dt)
        if verdict is not None:
            return n, verdict
    return None


def preferred(standings, current):
    """The current path has long been the best: the others sit at the cap."""
    for name, one in standings.items():
        one.regret = 0.0 if name == current else 100.0
    return standings


def test_regret_moves_when_a_price_was_paid_and_the_advantage_of_before_is_used_up():
    """At 4 ms more, which the confident test is not interested in, 100 ms*s are 25 rounds."""
    when, verdict = rounds(Regret(RegretSettings(), 2.0), field(a=24.0, b=20.0), "a", 100)
    assert (when, verdict.to, verdict.rule) == (25, "b", "regret")  # the first round makes them level
    assert verdict.margin["gain"] == pytest.approx(4.0)
    when, verdict = rounds(Regret(RegretSettings(), 2.0), preferred(field(a=24.0, b=20.0), "a"), "a", 100)
    assert (when, verdict.rule) == (49, "regret")


def test_confidence_moves_when_a_rival_is_surely_used_to_less():
    """20 ms more are 11.7 beyond what would pay the price in 12 s: three rounds of that are 25 ms*s and more."""
    standings = preferred(field(a=40.0, b=20.0), "a")
    when, verdict = rounds(Regret(RegretSettings(), 2.0), standings, "a", 100)
    assert (when, verdict.to, verdict.rule) == (2, "b", "confident")
    assert verdict.margin["gain"] == pytest.approx(20.0)


def test_noise_makes_confidence_wait():
    standings = preferred(field(a=40.0, b=20.0), "a")
    scatter(standings, 20.0)
    when, _ = rounds(Regret(RegretSettings(), 2.0), standings, "a", 100)
    assert when > 6


def test_one_sample_is_never_confident_and_a_spike_alone_moves_nothing():
    standings = preferred(field(a=20.0, b=20.0), "a")
    spike = {"a": 200.0, "b": 20.0}
    calm = {"a": 20.0, "b": 20.0}
    assert rounds(Regret(RegretSettings(), 2.0), standings, "a", 60, costs=lambda n: spike if n == 5 else calm) is None


def test_what_all_paths_of_an_uplink_share_moves_nothing():
    """They become slow together: levels are still low everywhere, but the rivals' probes tell."""
    standings = preferred(field(a=20.0, b=20.0), "a")
    for one in standings.values():
        one.belief.used_to = 20.0
    slow = {"a": 120.0, "b": 119.0}
    assert rounds(Regret(RegretSettings(), 2.0), standings, "a", 60, costs=lambda _: slow) is None


def test_where_excursions_last_they_are_left_at_once():
    rule, standings = Regret(RegretSettings(), 2.0), preferred(field(a=20.0, b=20.0, c=20.0), "a")
    high, calm = {"a": 20.0, "b": 20.0, "c": 400.0}, {"a": 20.0, "b": 20.0, "c": 20.0}
    learned = rounds(rule, standings, "a", 100, costs=lambda n: high if n % 10 in (3, 4, 5) else calm)
    assert learned is None  # all on a path that is not in use
    standings["a"].regret = standings["b"].regret = 0.0
    when, verdict = rounds(rule, standings, "a", 5, costs=lambda _: {"a": 400.0, "b": 20.0, "c": 20.0})
    assert (when, verdict.rule, verdict.to) == (0, "regret", "b")


def test_excursions_are_expected_to_last_as_those_before_did():
    seen = Excursions()
    assert seen.ahead(0) == 0.5
    for _ in range(7):
        seen.saw(0, lasted=True)
    assert seen.ahead(0) == 4.0
    assert seen.ahead(1) == 0.5
    for _ in range(6):
        seen.saw(0, lasted=False)
    assert seen.ahead(0) == 1.0


@pytest.mark.parametrize(
    ("rule", "count"), [(Regret(RegretSettings(), 2.0), 400), (Threshold(ThresholdSettings(0.0, 0.0, 1.0), 2.0), 2000)]
)
def test_never_for_less_than_is_ignored_and_never_on_a_tie(rule, count):
    assert rounds(rule, field(a=22.0, b=20.0), "a", count) is None
    assert rounds(rule, field(a=20.0, b=20.0), "a", 2000) is None


@pytest.mark.parametrize(("gain", "after"), [(2.0, 400), (1.6, 500), (0.8, 1000)])
def test_what_is_ignored_is_left_once_it_has_cost_what_2_ms_would_in_400_s(gain, after):
    when, verdict = rounds(Regret(RegretSettings(), 2.0), field(a=20.0 + gain, b=20.0), "a", 2000)
    assert (when, verdict.rule) == (pytest.approx(after, abs=1), "regret")  # the first round makes them level


@pytest.mark.parametrize("rule", [Regret(RegretSettings(), 2.0), Threshold(ThresholdSettings(hold=1.0), 2.0)])
def test_never_to_a_path_with_fewer_than_five_samples_or_one_that_is_closed(rule):
    standings = field(a=90.0, b=20.0, c=30.0)
    standings["b"].belief.samples = -100
    assert rounds(rule, standings, "a", 100)[1].to == "c"
    standings = field(a=90.0, b=20.0, c=30.0)
    standings["b"].open = False
    assert rounds(rule, standings, "a", 100)[1].to == "c"
    standings = field(a=90.0, b=20.0, c=30.0)
    standings["b"].belief.up = False
    assert rounds(rule, standings, "a", 100)[1].to == "c"


def test_a_path_that_was_down_lately_must_be_worth_its_doubt():
    """Four prices for a third relapse: at 100 ms a second, four rounds of full regret after the cap."""
    trusted, _ = rounds(Regret(RegretSettings(), 2.0), field(a=120.0, b=20.0), "a", 100)
    standings = field(a=120.0, b=20.0)
    standings["b"].doubt = 6.0
    when, verdict = rounds(Regret(RegretSettings(), 2.0), standings, "a", 100)
    assert verdict.rule == "regret"
    assert when >= trusted + 4


def test_the_field_moves_to_the_least_regretted_of_several():
    standings = preferred(field(a=60.0, b=30.0, c=20.0), "a")
    assert rounds(Regret(RegretSettings(), 2.0), standings, "a", 100)[1].to == "c"


def test_regrets_are_capped_and_start_level():
    standings = field(a=20.0, b=500.0)
    rounds(Regret(RegretSettings(), 2.0), standings, "a", 50)
    assert (standings["a"].regret, standings["b"].regret) == (0.0, 100.0)


def test_a_new_path_enters_at_the_cap():
    rule, standings = Regret(RegretSettings(), 2.0), field(a=24.0)
    rounds(rule, standings, "a", 50)
    standings |= field(b=20.0)
    rule.observe(list(standings.values()), standings["a"], 1.0, 50.0)
    assert standings["b"].regret == 100.0
    when, verdict = rounds(rule, standings, "a", 100)
    assert (verdict.rule, when) == ("regret", 49)  # 25 to be level, 25 to the cap, less one


def test_void_time_counts_for_nothing():
    standings = field(a=40.0, b=20.0)
    assert rounds(Regret(RegretSettings(), 2.0), standings, "a", 100, dt=0.0) is None
    assert standings["b"].excess == 0.0


def test_a_move_clears_what_was_seen_of_the_path_before():
    rule, standings = Regret(RegretSettings(), 2.0), field(a=40.0, b=20.0)
    rounds(rule, standings, "a", 100)
    rule.moved(list(standings.values()))
    assert [(one.excess, one.above, one.beyond) for one in standings.values()] == [(0.0, 0.0, 0.0)] * 2


@pytest.mark.parametrize(("sd", "hz"), [(3, 0.2), (3, 1), (10, 0.2), (10, 1), (10, 5)])
def test_equal_noise_moves_it_ten_times_an_hour_at_most(sd, hz):
    rule, standings, draw = Regret(RegretSettings(), 2.0), field(a=40.0, b=40.0, c=40.0), random.Random(1)
    scatter(standings, sd)
    current, moves, hours = "a", 0, 3
    for n in range(int(hours * 3600 * hz)):
        for one in standings.values():
            one.belief.samples += 1
            one.belief.paid = draw.gauss(40.0, sd)
            one.belief.used_to = draw.gauss(40.0, sd / 27**0.5) if n % 27 == 0 else one.belief.level
        verdict = rule.observe(list(standings.values()), standings[current], 1.0 / hz, n / hz)
        if verdict is not None:
            current, moves = verdict.to, moves + 1
            rule.moved(list(standings.values()))
    assert moves <= 10 * hours


def test_the_outlook_says_how_long_it_takes():
    rule, standings = Regret(RegretSettings(), 2.0), field(a=24.0, b=20.0)
    rounds(rule, standings, "a", 11)
    text = rule.outlook(list(standings.values()), standings["a"])
    assert "b is 4.0 ms cheaper" in text
    assert "within 15 s" in text
    standings = field(a=20.0, b=24.0)
    assert "6.0 ms cheaper" in rule.outlook(list(standings.values()), standings["a"])
    assert "no rival" in rule.outlook([standings["a"]], standings["a"])


def test_threshold_asks_for_margin_and_time():
    rule = Threshold(ThresholdSettings(margin=0.1, margin_ms=3.0, hold=10.0), 2.0)
    assert rounds(rule, field(a=100.0, b=91.0), "a", 100) is None
    when, verdict = rounds(rule, field(a=100.0, b=89.0), "a", 100)
    assert (when, verdict.rule) == (9, "threshold")


def test_threshold_starts_again_after_a_relapse():
    rule, standings = Threshold(ThresholdSettings(hold=10.0), 2.0), field(a=100.0, b=50.0)
    assert rounds(rule, standings, "a", 8) is None
    standings["b"].belief.cost = 99.0
    assert rounds(rule, standings, "a", 1, start=8.0) is None
    standings["b"].belief.cost = 50.0
    assert rounds(rule, standings, "a", 20, start=9.0)[0] == 9


def test_losses_that_come_again_and_again_add_up_and_one_alone_does_not():
    """One probe in ten pays 200 ms more: 20 ms a second, and a rival that costs 10 ms more is the better one."""
    calm, lost = {"a": 40.0, "b": 50.0}, {"a": 240.0, "b": 50.0}
    standings = preferred(field(a=40.0, b=50.0), "a")
    assert rounds(Regret(RegretSettings(), 2.0), standings, "a", 300, costs=lambda n: lost if n == 5 else calm) is None
    standings = preferred(field(a=40.0, b=50.0), "a")
    when, verdict = rounds(Regret(RegretSettings(), 2.0), standings, "a", 300, costs=lambda n: calm if n % 10 else lost)
    assert (verdict.to, verdict.rule) == ("b", "regret")
    assert when < 120
