"""Limiters of answers told from loss on the way."""

import random

import pytest

from steerd.probe.outcomes.limit import Limit


def seen(answers: list[bool], period: float = 0.1) -> Limit:
    limit = Limit()
    for at, answered in enumerate(answers):
        (limit.answered if answered else limit.lost)(at * period)
    return limit


def test_a_token_bucket_is_noticed_with_its_rate():
    answers = [n < 6 or n % 10 == 0 for n in range(120)]  # a burst of 6, then one a second
    assert seen(answers).looks_limited() == pytest.approx(1.4, abs=0.3)


def test_so_many_for_each_second_is_noticed():
    answers = [n % 10 < 4 for n in range(200)]
    assert seen(answers).looks_limited() == pytest.approx(4.0, abs=0.4)


def test_a_bucket_that_drifts_against_the_probes_is_noticed():
    tokens, answers = 0.0, []
    for _ in range(200):
        tokens = min(1.0, tokens + 0.37)
        answers.append(tokens >= 1.0)
        tokens -= answers[-1]
    assert seen(answers).looks_limited() == pytest.approx(3.7, abs=0.5)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
def test_random_loss_is_not(share: float):
    suspected = 0
    for seed in range(300):
        draw = random.Random(seed)
        suspected += seen([draw.random() > share for _ in range(200)]).looks_limited() is not None
    assert suspected <= 1


def test_bursts_of_loss_are_not():
    suspected = 0
    for seed in range(300):
        draw, answers, lost = random.Random(seed), [], False
        for _ in range(200):
            lost = draw.random() < (0.89 if lost else 0.05)
            answers.append(not lost)
        suspected += seen(answers).looks_limited() is not None
    assert suspected <= 3


def test_silence_and_little_loss_say_nothing():
    assert seen([False] * 200).looks_limited() is None
    assert seen([True] * 200).looks_limited() is None
    assert seen([n % 10 != 0 for n in range(200)]).looks_limited() is None
    assert Limit().looks_limited() is None


def test_it_is_over_when_a_window_of_answers_follows():
    limit = seen([n % 10 == 0 for n in range(200)])
    for n in range(200, 327):
        limit.answered(n * 0.1)
    assert not limit.quiet
    limit.answered(33.0)
    assert limit.quiet


def test_loss_that_echoes_do_not_meet_is_no_loss_on_the_way():
    draw = random.Random(1)
    limit = seen([draw.random() > 0.3 for _ in range(200)])
    assert limit.refuses() is None
    for _ in range(16):
        limit.echoed(True)
    assert limit.refuses() == pytest.approx(0.3, abs=0.1)
    for _ in range(16):
        limit.echoed(draw.random() > 0.3)
    assert limit.refuses() is None
