"""Several targets told as one: a target that dies alone is nothing, a quorum that is silent is an outage."""

import random

import pytest

from steerd.core.belief.path import Path
from steerd.core.events import Outcome, Probed
from steerd.core.settings import PathId, PathSettings
from steerd.core.states import PathState
from steerd.probe.outcomes.poll import Poll

PATH = PathId("fra1/wg0")
REPLY, OVERDUE, LOST = Outcome.REPLY, Outcome.OVERDUE, Outcome.LOST


class Link:
    """A poll before a real path of the core: targets asked in turn, each once a second. ``rtts`` in ms; None: none."""

    def __init__(self, rtts, quorum=0):
        self.rtts = list(rtts)
        self.poll = Poll(len(rtts), quorum)
        self.path = Path(PathSettings(PATH, "fra1", PATH), half_life=2.0, now=0.0, draw=lambda: 0.5)
        self.now = 0.0
        self.passed = []
        self.states = []

    def run(self, seconds, interval=1.0):
        n = len(self.rtts)
        for _ in range(round(seconds / interval)):
            due = []
            for place, given in enumerate(self.rtts):
                sent = self.now + place * interval / n
                rtt = given() if callable(given) else given
                if rtt == "local":
                    due.append((sent, place, Outcome.LOCAL, sent, 0.0))
                elif rtt is None:
                    patience = self.poll.patience(place, self.path.patience, 0.9 * interval)
                    due.append((sent + patience, place, OVERDUE, sent, 0.0))
                    due.append((sent + 0.95 * interval, place, LOST, sent, 0.0))
                else:
                    due.append((sent + rtt / 1e3, place, REPLY, sent, rtt / 1e3))
            for at, place, outcome, sent, rtt in sorted(due):
                for event in self.poll.told(place, Probed(PATH, outcome, sent, rtt)):
                    self.passed.append((place, event))
                    if self.path.probed(event, at):
                        self.states.append((at, self.path.health.state))
            self.now += interval
        return self

    @property
    def state(self):
        return self.path.health.state


def test_the_best_steady_target_is_followed():
    link = Link([40.0, 20.0, 30.0]).run(60)
    assert link.poll.follows == 1
    assert link.path.legs[0].mean == pytest.approx(20.0, abs=0.5)
    assert link.state is PathState.UP


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_a_target_that_dies_alone_changes_nothing_but_is_named(dead):
    link = Link([20.0, 21.0, 22.0]).run(60)
    followed = link.poll.follows == dead
    link.states.clear()
    link.rtts[dead] = None
    link.run(60)
    # No more than any lost probe makes of it, and that only where it was followed.
    assert [state for _, state in link.states] == [PathState.SUSPECT, PathState.UP] * followed
    assert list(link.poll.silent) == [dead]
    assert link.path.legs[0].loss < 0.01
    link.rtts[dead] = 20.0
    link.run(2)
    assert not link.poll.silent


@pytest.mark.parametrize("dead", [(0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_two_of_three_that_die_are_an_outage_within_the_usual_time(dead):
    alone = Link([20.0]).run(60)
    alone.rtts[0] = None
    alone.run(10)
    usual = next(at for at, state in alone.states if state is PathState.DOWN) - 60.0
    link = Link([20.0, 21.0, 22.0]).run(60)
    for place in dead:
        link.rtts[place] = None
    link.run(10)
    assert link.state is PathState.DOWN
    took = next(at for at, state in link.states if state is PathState.DOWN) - 60.0
    assert took <= usual + 1.0  # one more round at most: they are asked in turn
    assert not link.poll.silent  # nobody's own fault
    for place in dead:
        link.rtts[place] = 20.0
    link.run(20)
    assert link.state is PathState.UP


def test_of_two_one_is_enough_unless_the_quorum_says_so():
    link = Link([20.0, 21.0]).run(30)
    link.rtts[0] = None
    assert link.run(20).state is PathState.UP
    strict = Link([20.0, 21.0], quorum=2).run(30)
    strict.rtts[1] = None
    assert strict.run(20).state is PathState.DOWN


def test_a_target_that_limits_its_answers_is_not_followed_for_long():
    draw = random.Random(1)
    link = Link([lambda: 10.0 if draw.random() < 0.5 else None, 20.0, 21.0]).run(200)
    assert link.poll.follows != 0
    assert link.path.legs[0].loss < 0.01
    assert PathState.DOWN not in [state for _, state in link.states]


def test_loss_of_the_path_itself_is_not_hidden():
    draw = random.Random(2)
    lossy = [lambda: None if draw.random() < 0.1 else 20.0] * 3
    link = Link(lossy)
    losses = []
    for _ in range(100):
        link.run(4)
        losses.append(link.path.legs[0].loss)
    assert 0.05 < sum(losses) / len(losses) < 0.15


def test_a_distant_target_has_patience_of_its_own():
    link = Link([20.0, 20.0, 250.0]).run(120)
    assert {state for _, state in link.states} == {PathState.UP}
    assert link.poll.patience(2, link.path.patience, 1.0) > 0.25
    assert not link.poll.silent


def test_a_target_that_this_machine_cannot_ask_is_left_out():
    link = Link([20.0, "local", "local"]).run(30)
    assert link.state is PathState.UP
    assert Outcome.LOCAL not in [event.outcome for _, event in link.passed]
    link.rtts[0] = None
    assert link.run(10).state is PathState.DOWN
    blind = Link(["local", "local"]).run(10)
    assert {event.outcome for _, event in blind.passed} == {Outcome.LOCAL}


def test_another_target_is_not_followed_for_a_passing_advantage():
    link = Link([20.0, 25.0]).run(60)
    followed = set()
    for _ in range(20):
        link.rtts = [26.0, 25.0]
        link.run(3)
        link.rtts = [20.0, 25.0]
        link.run(10)
        followed.add(link.poll.follows)
    assert followed == {0}


def test_errors_duplicates_and_void_are_told_of_the_followed_one_alone():
    poll = Poll(2)
    list(poll.told(0, Probed(PATH, REPLY, 0.0, 0.02)))
    for outcome in (Outcome.ERROR, Outcome.DUPLICATE, Outcome.VOID):
        assert [one.outcome for one in poll.told(0, Probed(PATH, outcome, 1.0))] == [outcome]
        assert not list(poll.told(1, Probed(PATH, outcome, 1.0)))


def test_any_sequence_of_outcomes_is_taken():
    draw = random.Random(3)
    for _ in range(200):
        targets = draw.randint(2, 8)
        poll = Poll(targets, draw.choice([0, 1, 2]))
        for step in range(100):
            event = Probed(PATH, draw.choice(list(Outcome)), step * draw.random(), draw.random())
            list(poll.told(draw.randrange(targets), event))
            assert 0 <= poll.follows < targets
