"""What is held is counted once, with what follows it: rounds in which nobody answered anew. Worked by hand."""

import pytest

from tests.unit.beliefs import field, regrets, rule


def scene(**costs):
    """A rule that has seen one round, in which all became level."""
    one, standings = rule(), field(**costs)
    everyone = list(standings.values())
    look(one, everyone, dt=0.5)
    return one, standings, everyone


def look(one, everyone, dt=1.0, answers=1):
    for standing in everyone:
        standing.belief.samples += answers
    return one.observe(everyone, everyone[0], dt, 0.0)


def test_nothing_is_counted_before_somebody_answers_anew():
    one, standings, everyone = scene(a=30.0, b=20.0)
    for _ in range(4):
        assert look(one, everyone, dt=0.2, answers=0) is None
    assert regrets(standings) == [0.0, 0.0]


@pytest.mark.parametrize("who", ["a", "b"])
def test_what_follows_counts_for_all_the_time_since(who):
    """10 ms for 0.2 s after 0.5 and 0.25 s of waiting; and then for its own time alone."""
    one, standings, everyone = scene(a=30.0, b=20.0)
    look(one, everyone, dt=0.5, answers=0)
    look(one, everyone, dt=0.25, answers=0)
    standings[who].belief.samples += 1
    look(one, everyone, dt=0.2, answers=0)
    assert regrets(standings) == [pytest.approx(9.5), 0.0]
    look(one, everyone, dt=0.2)
    assert regrets(standings) == [pytest.approx(11.5), 0.0]


def test_what_is_missing_counts_at_once_and_for_its_own_time_alone():
    """However long an answer was held before; and in each round for which it is missing, though nobody answers anew."""
    one, standings, everyone = scene(a=30.0, b=20.0)
    look(one, everyone, dt=0.8, answers=0)
    standings["a"].belief.missing = True
    look(one, everyone, dt=0.2, answers=0)
    assert regrets(standings) == [pytest.approx(2.0), 0.0]
    look(one, everyone, dt=0.2, answers=0)
    assert regrets(standings) == [pytest.approx(4.0), 0.0]
    standings["a"].belief.missing = False
    look(one, everyone, dt=0.2, answers=0)
    assert regrets(standings) == [pytest.approx(4.0), 0.0]


def test_other_paths_begin_anew():
    """What was waited for among those from before says nothing of these."""
    one, standings, everyone = scene(a=30.0, b=20.0)
    look(one, everyone, dt=0.8, answers=0)
    look(one, list(everyone), dt=0.2, answers=0)
    assert regrets(standings) == [pytest.approx(2.0), 0.0]
    look(one, everyone, dt=0.2, answers=0)
    look(one, everyone, dt=0.2, answers=0)
    assert regrets(standings) == [pytest.approx(4.0), 0.0]


def test_a_round_of_a_second_counts_whatever_it_brought():
    """Nothing is held for so long: the same answer was measured again."""
    one, standings, everyone = scene(a=30.0, b=20.0)
    look(one, everyone, dt=0.999, answers=0)
    assert regrets(standings) == [0.0, 0.0]
    look(one, everyone, dt=1.0, answers=0)
    assert regrets(standings) == [10.0, 0.0]


def test_the_plain_work_function_counts_every_round():
    one, standings = rule(plain=True), field(a=30.0, b=20.0)
    everyone = list(standings.values())
    for _ in range(3):
        look(one, everyone, dt=0.5, answers=0)
    assert regrets(standings) == [10.0, 0.0]
