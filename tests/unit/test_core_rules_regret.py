"""Regret: what it adds up, whom it moves to, and when chance alone explains it. Worked by hand."""

import pytest

from steerd.core.rules import Regret, Threshold, make
from steerd.core.settings import RegretSettings, Settings, ThresholdSettings
from tests.unit.beliefs import field, look, regrets, rule


def at_the_cap(**costs):
    """The first path has been regretted for as much as a switch costs, the others not at all."""
    return field(dict.fromkeys(costs, 0.0) | {next(iter(costs)): 100.0}, **costs)


def test_regret_is_what_being_there_would_have_cost_more_than_the_best():
    one, standings = rule(), field(a=30.0, b=20.0, c=25.0)
    look(one, standings)
    assert regrets(standings) == [0.0, 0.0, 0.0]  # all are new: they start level
    look(one, standings)
    assert regrets(standings) == [10.0, 0.0, 5.0]
    look(one, standings, dt=0.5)
    assert regrets(standings) == [15.0, 0.0, 7.5]
    look(one, standings, b=50.0, c=35.0)
    assert regrets(standings) == [2.5, 7.5, 0.0]
    for _ in range(30):
        look(one, standings)
    assert regrets(standings) == [100.0, 0.0, 100.0]


def test_a_path_alone_is_not_regretted():
    one, standings = rule(), field({"a": 70.0}, a=30.0)
    assert look(one, standings) is None
    assert regrets(standings) == [0.0]


def test_void_time_is_no_round():
    one, standings = rule(), at_the_cap(a=40.0, b=20.0)
    standings["a"].owed = 50.0
    assert look(one, standings, dt=0.0) is None
    assert regrets(standings) == [100.0, 0.0]


@pytest.mark.parametrize(("dt", "rounds"), [(1.0, 25), (0.5, 50), (5.0, 5)])
def test_a_path_is_left_when_its_regret_reaches_the_price(dt, rounds):
    one, standings = rule(), field({"a": 0.0, "b": 0.0}, a=24.0, b=20.0)
    verdicts = [look(one, standings, dt=dt) for _ in range(rounds)]
    assert verdicts[:-1] == [None] * (rounds - 1)
    assert (verdicts[-1].to, verdicts[-1].rule) == ("b", "regret")


@pytest.mark.parametrize("samples", [0, 1, 100])
def test_the_evidence_of_a_move_for_regret(samples):
    """Two rounds at 27 and 31 against 20: 9 ms more on average. Deviations of 3 ms over 2 samples, and of the level."""
    one, standings = rule(), field({"a": 89.0, "b": 0.0}, a=27.0, b=20.0)
    standings["a"].belief.samples = samples
    standings["a"].belief.scatter = 3.0
    standings["b"].belief.level_error2 = 1.0
    assert look(one, standings) is None
    verdict = look(one, standings, a=31.0)
    assert (verdict.to, verdict.rule) == ("b", "regret")
    assert verdict.margin == {
        "gain": 9.0,
        "stderr": pytest.approx((9.0 / 2 + 1.0) ** 0.5),
        "regret": 100.0,
        "excess": 2.0 + 6.0,
        "price": 100.0,
        "cap": 100.0,
        "horizon": 20.0,
    }


@pytest.mark.parametrize("samples", [0, 1, 99])
def test_the_evidence_counts_from_when_the_path_ceased_to_be_the_best(samples):
    """Its samples from then on, and what it cost more in that time, by time and not by round."""
    one, standings = rule(), field({"a": 0.0, "b": 2.0}, a=40.0, b=20.0)
    standings["a"].belief.samples = samples
    standings["a"].belief.scatter = 3.0
    look(one, standings, a=70.0, b=70.0)
    look(one, standings, a=30.0, b=31.0)  # still the best
    assert regrets(standings)[0] == 0.0
    standings["a"].regret, standings["b"].regret = 90.0, 0.0
    assert look(one, standings, a=28.0, dt=0.5) is None
    verdict = look(one, standings, a=26.0, dt=2.0)
    assert verdict.margin["gain"] == pytest.approx((8.0 * 0.5 + 6.0 * 2.0) / 2.5)
    assert verdict.margin["stderr"] == pytest.approx((9.0 / 2) ** 0.5)


@pytest.mark.parametrize("samples", [0, 1, 50])
def test_the_first_round_of_all_may_be_evidence(samples):
    one, standings = rule(), at_the_cap(a=29.0, b=20.0)
    standings["a"].belief.samples = samples
    standings["a"].belief.scatter = 2.0
    verdict = look(one, standings)
    assert (verdict.margin["gain"], verdict.margin["stderr"]) == (9.0, 2.0)


@pytest.mark.parametrize("end", ["best again", "moved"])
def test_the_evidence_starts_anew(end):
    """After the path was the best again, or another was chosen."""
    one, standings = rule(), field({"a": 10.0, "b": 0.0}, a=40.0, b=20.0)
    look(one, standings, a=24.0)
    if end == "moved":
        one.moved(list(standings.values()))
    else:
        look(one, standings, a=20.0, b=50.0)
        assert standings["a"].regret == 0.0
    standings["a"].regret, standings["b"].regret = 100.0, 0.0
    standings["a"].belief.scatter = 3.0
    verdict = look(one, standings, a=31.0)
    assert verdict.margin["gain"] == 11.0
    assert verdict.margin["stderr"] == 3.0


@pytest.mark.parametrize(("regret", "to"), [(0.0, "b"), (49.0, "b"), (50.0, "b"), (51.0, None), (100.0, None)])
def test_a_rival_must_be_regretted_half_as_much_at_most(regret, to):
    one, standings = rule(), field({"a": 100.0, "b": regret, "c": 0.0}, a=30.0, b=20.0, c=20.0)
    standings["c"].open = False
    verdict = look(one, standings)
    assert (verdict and verdict.to) == to


@pytest.mark.parametrize(
    ("regretted", "costs", "to"),
    [
        ((22.0, 0.0), (20.0, 21.0), "c"),  # 21 against 0 after the round, and 400 against 420
        ((0.0, 22.0), (21.0, 20.0), "b"),
        ((20.0, 0.0), (20.0, 21.0), "b"),
        ((0.0, 20.0), (21.0, 20.0), "c"),
        ((21.0, 0.0), (20.0, 21.0), "b"),  # equal: the one that costs less now
        ((0.0, 21.0), (21.0, 20.0), "c"),
        ((0.0, 0.0), (20.0, 20.0), "b"),  # equal in all: the first
    ],
)
def test_the_rival_wins_that_is_least_regretted_and_will_cost_least_within_the_horizon(regretted, costs, to):
    one = rule()
    standings = field(
        {"a": 100.0} | dict(zip("bc", regretted, strict=True)), a=40.0, **dict(zip("bc", costs, strict=True))
    )
    assert look(one, standings).to == to


@pytest.mark.parametrize(
    ("mean", "spot", "scatter", "to"),
    [
        (20.0, 30.0, 5.0, "b"),  # two deviations from its mean are noise
        (20.0, 30.1, 5.0, "c"),  # more is what it costs now
        (50.0, 40.0, 5.0, "c"),
        (50.0, 20.0, 5.0, "b"),
    ],
)
def test_what_a_rival_will_cost_is_its_mean_or_a_last_probe_far_from_it(mean, spot, scatter, to):
    one, standings = rule(), at_the_cap(a=90.0, b=mean, c=25.0)
    standings["b"].belief.scatter = scatter
    assert look(one, standings, b=spot).to == to


def test_the_plain_work_function_goes_by_regret_alone():
    """Then by what the last probe paid."""
    for regretted, to in ((22.0, "c"), (2.0, "c"), (1.0, "b")):
        standings = field({"a": 100.0, "b": regretted, "c": 0.0}, a=40.0, b=20.0, c=21.0)
        assert look(rule(plain=True), standings).to == to


@pytest.mark.parametrize("flaw", [{"up": False}, {"samples": 3}, {"open": False}])
def test_a_path_that_may_not_be_used_is_passed_over(flaw):
    """Whatever its regret; what comes after it is looked at."""
    one, standings = rule(), at_the_cap(a=30.0, b=20.0, c=20.0)
    for name, value in flaw.items():
        setattr(standings["b"] if name == "open" else standings["b"].belief, name, value)
    assert look(one, standings).to == "c"


@pytest.mark.parametrize(("samples", "to"), [(5, "b"), (4, None)])
def test_five_answers_make_a_path_eligible(samples, to):
    one, standings = rule(), at_the_cap(a=30.0, b=20.0)
    standings["b"].belief.samples = samples - 1  # one more comes with the round
    verdict = look(one, standings)
    assert (verdict and verdict.to) == to


def test_a_path_that_was_down_lately_must_save_the_price_first_for_each_relapse():
    """20 ms more: 5 rounds for one price, 10 for two. A trusted one after it does not wait."""
    for doubt, rounds in ((1.0, 5), (2.0, 10)):
        one, standings = rule(), at_the_cap(a=40.0, b=20.0)
        standings["b"].doubt = doubt
        verdicts = [look(one, standings) for _ in range(rounds)]
        assert verdicts[:-1] == [None] * (rounds - 1)
        assert verdicts[-1].to == "b"
    one, standings = rule(), at_the_cap(a=40.0, b=20.0, c=20.0)
    standings["b"].doubt = 1.0
    assert look(one, standings).to == "c"


@pytest.mark.parametrize(("here", "moves"), [(22.0, False), (22.1, True)])
def test_never_for_what_is_ignored(here, moves):
    verdict = look(rule(), at_the_cap(a=here, b=20.0))
    assert (verdict is not None) is moves


@pytest.mark.parametrize(
    ("here", "error", "scatter", "moves"),
    [
        (26.0, 2.0, 100.0, True),  # three errors of the level, exactly
        (25.9, 2.0, 100.0, False),
        (28.0, 100.0, 2.0, True),  # or four of what the rival cost meanwhile
        (27.9, 100.0, 2.0, False),
    ],
)
def test_what_chance_would_bring_about_moves_nothing(here, error, scatter, moves):
    standings = at_the_cap(a=here, b=20.0)
    standings["b"].belief.level_error2 = error**2
    standings["b"].belief.scatter = scatter
    assert (look(rule(), standings) is not None) is moves


@pytest.mark.parametrize(("here", "moves"), [(29.2, True), (29.1, False)])
def test_chance_is_that_of_both_paths_samples(here, moves):
    """Deviations of 1.8 and 1.4 over a sample: 4 times 2.28 are 9.12. Its level is not known."""
    standings = at_the_cap(a=here, b=20.0)
    standings["b"].belief.level_error2 = 100.0**2
    standings["a"].belief.scatter, standings["b"].belief.scatter = 1.8, 1.4
    verdict = look(rule(), standings)
    assert (verdict is not None) is moves
    if verdict:
        assert verdict.margin["stderr"] == pytest.approx((1.8**2 + 1.4**2) ** 0.5)


def test_more_samples_leave_less_to_chance():
    """Deviations of 4 ms each: 6 ms more are 4 errors from 15 samples on."""
    one, standings = rule(), at_the_cap(a=26.0, b=20.0)
    standings["a"].belief.scatter = standings["b"].belief.scatter = 4.0
    standings["b"].belief.level_error2 = 100.0**2
    verdicts = [look(one, standings) for _ in range(15)]
    assert verdicts[:-1] == [None] * 14
    assert verdicts[-1].to == "b"


def test_the_rivals_level_is_what_it_must_be_above():
    """What the rival happened to pay in these rounds does not matter to the first of the two."""
    one, standings = rule(), at_the_cap(a=26.0, b=20.0)
    belief = standings["b"].belief
    belief.level_error2, belief.scatter = 1.0, 100.0
    for used_to, moves in ((23.1, False), (23.0, True)):
        belief.used_to = used_to
        verdict = look(rule(), standings, a=26.0)
        assert (verdict is not None) is moves, used_to
        one.moved(list(standings.values()))
        standings["a"].regret, standings["b"].regret = 100.0, 0.0


def test_the_plain_work_function_knows_of_no_chance_and_no_excursion():
    """It is the one of which a bound is proven: a spike counts in full, and at the cap the path is left."""
    one, standings = rule(plain=True), field({"a": 80.0, "b": 0.0}, a=20.0, b=20.0)
    standings["a"].belief.scatter = standings["b"].belief.scatter = 10.0
    standings["b"].belief.level_error2 = 100.0**2
    verdict = look(one, standings, a=220.0, dt=0.1)
    assert (verdict.to, verdict.rule) == ("b", "regret")
    assert verdict.margin == {
        "gain": pytest.approx(200.0),
        "stderr": pytest.approx((100.0 + 10000.0) ** 0.5),
        "regret": 100.0,
        "excess": pytest.approx(3.0),
        "price": 100.0,
        "cap": 100.0,
        "horizon": 20.0,
    }
    one, standings = rule(plain=True), field({"a": 0.0, "b": 0.0}, a=40.0, b=20.0)
    assert [look(one, standings) is None for _ in range(5)] == [True] * 4 + [False]  # no confident test before


def test_the_outlook_in_words():
    one, standings = rule(), field({"a": 60.0, "b": 100.0, "c": 20.0}, a=24.0, b=22.0, c=20.0)
    everyone = list(standings.values())
    told = "c is 4.0 ms cheaper: at this difference a is left within 15 s (regret 60 of 100 ms*s)"
    assert one.outlook(everyone, standings["a"]) == told
    standings["c"].open = False
    standings["b"].beyond = 100.0
    told = "b is 2.0 ms cheaper: at this difference a is left within 350 s (regret 60 of 100 ms*s)"
    assert one.outlook(everyone, standings["a"]) == told  # 800 ms*s are asked for what is so little
    standings["b"].beyond = 790.0
    assert "within 70 s" in one.outlook(everyone, standings["a"])
    standings["b"].open = False
    assert one.outlook(everyone, standings["a"]) == "no rival may be used now"
    standings = field(a=30.0, b=20.0)
    told = "b is 10.0 ms cheaper: at this difference a is left within 10 s (regret 0 of 100 ms*s)"
    assert one.outlook(list(standings.values()), standings["a"]) == told
    standings = field(a=20.0, b=24.5)
    told = "b, the cheapest rival, would have to become 6.5 ms cheaper"
    assert one.outlook(list(standings.values()), standings["a"]) == told
    standings = field(a=20.5, b=20.0)
    assert "b is 0.5 ms cheaper: at this difference a is left within 1600 s" in one.outlook(
        list(standings.values()), standings["a"]
    )
    standings = field({"b": 0.0}, a=22.04, b=20.0)
    assert "within 49 s (regret 0 of" in one.outlook(list(standings.values()), standings["a"])


def test_settings_say_which_rule():
    standings = field(a=100.0, b=94.5)
    made = make(Settings(rule=RegretSettings(price=50.0), ignore_below=6.0))
    assert isinstance(made, Regret)
    assert "within 436 s" in made.outlook(list(standings.values()), standings["a"])  # 6 ms for 400 s
    standings = field(a=100.0, b=90.0)
    assert "within 5 s (regret 0 of 50 ms*s)" in made.outlook(list(standings.values()), standings["a"])
    made = make(Settings(rule=ThresholdSettings(margin=0.0, margin_ms=0.0, hold=7.0), ignore_below=12.0))
    assert isinstance(made, Threshold)
    told = "b, the cheapest rival, would have to become 2.0 ms cheaper"
    assert made.outlook(list(standings.values()), standings["a"]) == told
    standings = field(a=100.0, b=80.0)
    assert made.outlook(list(standings.values()), standings["a"]).endswith("it has to stay so for 7 s")
