"""The switch rules, with beliefs written by hand."""

from dataclasses import dataclass

import pytest

from steerd.core.rules import Regret, Standing, Threshold
from steerd.core.settings import RegretSettings, ThresholdSettings


@dataclass
class Belief:
    id: str
    cost: float
    error2: float = 0.25
    n: float = 5.0
    samples: int = 100
    up: bool = True
    spike: float | None = None

    @property
    def spot(self):
        return self.cost if self.spike is None else self.spike


def field(**costs):
    return {name: Standing(Belief(name, cost)) for name, cost in costs.items()}


def rounds(rule, standings, current, count, dt=1.0, start=0.0):
    """The round in which the rule first wants to move, and its verdict."""
    for n in range(count):
        verdict = rule.observe(list(standings.values()), standings[current], dt, start + n * dt)
        if verdict is not None:
            return n, verdict
    return None


def test_regret_alone_moves_when_half_more_than_the_price_was_paid():
    """4 ms more is below what the confident test asks for: 150 ms*s at 4 ms are 38 rounds after the first."""
    when, verdict = rounds(Regret(RegretSettings(), 2.0), field(a=24.0, b=20.0), "a", 100)
    assert (when, verdict.to, verdict.rule) == (38, "b", "regret")
    assert verdict.margin["gain"] == 4.0


def test_confidence_moves_when_half_a_price_was_paid():
    when, verdict = rounds(Regret(RegretSettings(), 2.0), field(a=40.0, b=20.0), "a", 100)
    assert (when, verdict.rule) == (2, "confident")  # 3 rounds at 18 ms beyond what is ignored


def test_a_sure_mean_alone_does_not_move():
    """The mean is high, but what was really paid was not: neither test moves."""
    standings = field(a=40.0, b=20.0)
    standings["a"].belief.spike = 20.0
    assert rounds(Regret(RegretSettings(), 2.0), standings, "a", 1000) is None


def test_what_was_paid_alone_does_not_move():
    """The price was paid in single bursts, but the means say that there is nothing to gain."""
    standings = field(a=20.0, b=20.0)
    standings["a"].belief.spike = 500.0
    assert rounds(Regret(RegretSettings(), 2.0), standings, "a", 1000) is None


def test_an_unsure_mean_waits_for_regret():
    standings = field(a=40.0, b=20.0)
    standings["a"].belief.error2 = 200.0
    assert rounds(Regret(RegretSettings(), 2.0), standings, "a", 100)[1].rule == "regret"


def test_one_sample_is_never_confident():
    standings = field(a=40.0, b=20.0)
    standings["b"].belief.n = 1.0
    assert rounds(Regret(RegretSettings(), 2.0), standings, "a", 100)[1].rule == "regret"


@pytest.mark.parametrize("rule", [Regret(RegretSettings(), 2.0), Threshold(ThresholdSettings(0.0, 0.0, 1.0), 2.0)])
def test_never_for_less_than_is_ignored_and_never_on_a_tie(rule):
    assert rounds(rule, field(a=22.0, b=20.0), "a", 2000) is None
    assert rounds(rule, field(a=20.0, b=20.0), "a", 2000) is None


@pytest.mark.parametrize("rule", [Regret(RegretSettings(), 2.0), Threshold(ThresholdSettings(hold=1.0), 2.0)])
def test_never_to_a_path_with_fewer_than_five_samples_or_one_that_is_closed(rule):
    standings = field(a=90.0, b=20.0, c=30.0)
    standings["b"].belief.samples = 4
    assert rounds(rule, standings, "a", 100)[1].to == "c"
    standings = field(a=90.0, b=20.0, c=30.0)
    standings["b"].open = False
    assert rounds(rule, standings, "a", 100)[1].to == "c"


def test_regrets_are_capped_and_start_level():
    standings = field(a=20.0, b=500.0)
    rounds(Regret(RegretSettings(), 2.0), standings, "a", 50)
    assert (standings["a"].regret, standings["b"].regret) == (0.0, 150.0)


def test_a_new_path_enters_at_the_cap():
    rule, standings = Regret(RegretSettings(), 2.0), field(a=30.0)
    rounds(rule, standings, "a", 50)
    standings |= field(b=20.0)
    rule.observe(list(standings.values()), standings["a"], 1.0, 50.0)
    assert standings["b"].regret == 150.0
    when, verdict = rounds(rule, standings, "a", 100)
    assert verdict.rule == "confident"
    assert when >= 4


def test_void_time_counts_for_nothing():
    standings = field(a=40.0, b=20.0)
    assert rounds(Regret(RegretSettings(), 2.0), standings, "a", 100, dt=0.0) is None
    assert standings["b"].excess == 0.0


def test_a_move_clears_what_was_paid():
    rule, standings = Regret(RegretSettings(), 2.0), field(a=40.0, b=20.0)
    rounds(rule, standings, "a", 100)
    rule.moved(list(standings.values()))
    assert [one.excess for one in standings.values()] == [0.0, 0.0]


def test_the_outlook_says_how_long_it_takes():
    rule, standings = Regret(RegretSettings(), 2.0), field(a=24.0, b=20.0)
    rounds(rule, standings, "a", 10)
    text = rule.outlook(list(standings.values()), standings["a"])
    assert "b is 4.0 ms cheaper" in text
    assert "within 28 s" in text
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
