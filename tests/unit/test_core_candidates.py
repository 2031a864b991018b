"""Of 40 paths twelve are candidates: who must be, who is promoted, who makes room."""

import pytest

from steerd.core.belief.path import Role
from steerd.core.policy.candidates import BETTER, REVIEW, Candidates
from steerd.core.policy.drains_and_pins import POP
from steerd.core.rules.rule import SAMPLES_MIN
from tests.unit.networks import Network, heard

MOST = 12
ALL = [f"p{number:02}/w" for number in range(40)]
CHEAPEST, LAST, SCOUT = ALL[0], ALL[11], ALL[30]


class World:
    """40 paths that cost 20, 24, 28 ms and so on, all heard, of which the first is in use."""

    def __init__(self, count=40, most=MOST, **uplinks):
        self.network = heard(
            Network(*ALL[:count], uplinks=uplinks), [(name, 20.0 + 4.0 * n) for n, name in enumerate(ALL[:count])]
        )
        self.network.wanted = CHEAPEST
        self.candidates = Candidates(most)
        self.candidates.configure(most, count)
        self.used = [CHEAPEST]

    def review(self, after=REVIEW):
        """Look again, so many seconds later. Whether that changed anything."""
        self.network.now += after
        return self.candidates.review(self.network.eligible(), self.used)

    def hear(self, name, rtt, times=1):
        for _ in range(times):
            self.network.now += 1.0
            self.network.hear(name, rtt)

    def role(self, name):
        return self.candidates.role(self.network.paths[name])

    def names(self):
        return {name for name in self.network.paths if self.role(name) is not Role.SCOUT}

    def shown(self):
        here = self.candidates.show(self.network.eligible())
        return {one.path: one for one in self.candidates.shown}, here


@pytest.fixture
def world():
    one = World()
    assert one.review()
    for name in ALL[:MOST]:
        one.hear(name, 20.0 + 4.0 * ALL.index(name), SAMPLES_MIN)
    return one


# Who is a candidate


def test_where_all_find_room_all_are():
    one = World(count=MOST)
    one.network.add("new/w")  # never heard
    one.candidates.configure(MOST + 1, MOST + 1)
    assert one.review()
    assert one.names() == {*ALL[:MOST], "new/w"}
    assert {one.role(name) for name in ALL[:MOST]} == {Role.CANDIDATE}
    shown, _ = one.shown()
    assert "new/w" not in shown  # nothing is known of it
    assert all(candidate.ready for candidate in shown.values())
    assert not one.review()


def test_the_twelve_cheapest_are(world):
    assert world.names() == set(ALL[:MOST])
    assert not world.review()


@pytest.mark.parametrize("used", [["p20/w"], ["p20/w", "p39/w"]])
def test_who_is_used_is_whatever_it_costs(world, used):
    """The choice, its runner-up, and who shares its traffic."""
    world.used = [CHEAPEST, *used]
    assert world.review()
    assert world.names() == {*ALL[: MOST - len(used)], *used}


def test_who_is_used_is_even_beyond_the_limit():
    one = World(most=2)
    one.used = [CHEAPEST, *ALL[20:24]]
    one.review()
    assert one.names() == {CHEAPEST, *ALL[20:24], ALL[1]}  # p01 is the cheapest on another uplink


def test_what_the_policy_is_pinned_to_is(world):
    world.network.pinned("p35")
    world.review()
    assert world.names() == {*ALL[: MOST - 1], "p35/w"}


def test_the_cheapest_on_another_uplink_is():
    one = World(**dict.fromkeys(ALL[:35], "wan"))
    one.review()
    assert one.names() == {*ALL[: MOST - 1], "p35/w"}


def test_before_the_first_choice_the_cheapest_that_were_heard_are():
    one = World()
    one.network.wanted, one.used = None, []
    one.network.add("new/w")
    one.review()
    assert one.names() == set(ALL[:MOST])


def test_what_is_not_configured_any_more_is_forgotten(world):
    world.used = [CHEAPEST, "p20/w"]
    world.review()
    for name in ("p20/w", "p03/w"):
        del world.network.paths[name]
    world.candidates.expire()
    world.review(0.0)
    assert world.names() == {*ALL[:3], *ALL[4:13]}
    assert len(world.shown()[0]) == MOST


# Promotion


def test_a_scout_that_looks_cheaper_than_the_choice_is_promoted_at_once(world):
    world.hear(SCOUT, 15.0)
    assert world.review()
    assert world.role(SCOUT) is Role.TRIED
    assert world.role(LAST) is Role.SCOUT  # the worst made room
    assert len(world.names()) == MOST


def test_it_may_be_moved_to_when_enough_was_learned_of_it_since(world):
    world.hear(SCOUT, 15.0)
    world.review()
    for number in range(SAMPLES_MIN + 1):
        candidate = world.shown()[0][SCOUT]
        assert candidate.ready is (number >= SAMPLES_MIN)
        assert world.role(SCOUT) is (Role.CANDIDATE if number >= SAMPLES_MIN else Role.TRIED)
        world.hear(SCOUT, 15.0 + number)


def test_a_lucky_single_sample_wins_nothing(world):
    """It is tried, is found to be as dear as ever, and loses its place to the next one."""
    world.hear(SCOUT, 15.0)
    world.review()
    assert not world.shown()[0][SCOUT].ready
    world.hear(SCOUT, 140.0, SAMPLES_MIN)
    world.review()
    assert world.role(SCOUT) is Role.SCOUT
    assert world.names() == set(ALL[:MOST])


def test_who_is_tried_is_not_put_aside_before_it_was(world):
    """Not even for a scout that looks cheaper still."""
    world.hear(SCOUT, 19.0)
    world.review()
    world.hear("p31/w", 10.0)
    world.review()
    assert {SCOUT, "p31/w"} <= world.names()
    assert world.role(SCOUT) is Role.TRIED
    assert world.role(ALL[10]) is Role.SCOUT


def test_several_are_promoted_at_once_if_each_beats_one(world):
    for name in ("p30/w", "p31/w", "p32/w"):
        world.hear(name, 12.0)
    world.review()
    assert {"p30/w", "p31/w", "p32/w"} <= world.names()
    assert world.names().isdisjoint(ALL[9:12])


@pytest.mark.parametrize(("share", "promoted"), [(BETTER - 0.01, True), (BETTER + 0.01, False), (0.999, False)])
def test_a_scout_that_is_a_little_better_than_the_worst_does_not_take_its_place(world, share, promoted):
    world.hear(SCOUT, 64.0 * share)
    assert world.review() is promoted
    assert (SCOUT in world.names()) is promoted


def test_after_a_change_of_places_the_way_back_is_as_hard(world):
    world.hear(SCOUT, 56.0)
    world.review()
    world.hear(SCOUT, 56.0, SAMPLES_MIN)
    for _ in range(30):
        world.hear(LAST, 55.0)
        assert not world.review()
    world.hear(LAST, 40.0)
    assert world.review()
    assert world.role(LAST) is Role.TRIED


def test_a_scout_that_may_not_be_used_is_not_promoted(world):
    for name, happens in {
        "p30/w": lambda: world.network.paths["p30/w"].link(False, world.network.now),
        "p31/w": lambda: world.network.drains.add("p31", "operator", None),
        "p32/w": lambda: world.network.refused.update({"p32/w": "busy"}),
    }.items():
        world.hear(name, 5.0)
        happens()
    assert not world.review()


# Making room


def test_a_dead_candidates_place_is_taken_at_once(world):
    world.network.kill(ALL[3])
    world.candidates.expire()  # as the end of its health does
    assert world.review(0.0)
    assert world.names() == {*ALL[:3], *ALL[4:13]}
    assert ALL[3] not in world.shown()[0]


def test_a_candidate_that_is_only_doubted_keeps_its_place(world):
    world.network.miss(ALL[3])
    assert not world.review()
    assert ALL[3] in world.names()


def test_who_comes_back_has_to_show_itself_again(world):
    world.network.kill(ALL[3])
    world.review()
    for _ in range(4):
        world.hear(ALL[3], 20.0)
    world.review()
    assert world.role(ALL[3]) is Role.TRIED
    assert not world.shown()[0][ALL[3]].ready


def test_other_settings_make_room_or_take_it(world):
    world.candidates.configure(4, 40)
    assert world.review(0.0)
    assert world.names() == set(ALL[:4])
    world.candidates.configure(100, 40)
    assert world.review(0.0)
    assert world.names() == set(ALL)


def test_it_is_looked_at_once_a_second_unless_something_happened(world):
    world.review()
    world.network.kill(ALL[3])
    assert not world.review(REVIEW / 2)
    assert world.review(REVIEW / 2)


# What a rule is shown


def test_shown_are_candidates_and_where_the_policy_is(world):
    world.used = [CHEAPEST, SCOUT]
    world.network.wanted = SCOUT
    world.review()
    shown, here = world.shown()
    assert set(shown) == world.names()
    assert list(shown)[here] == SCOUT


def test_nothing_is_known_of_where_the_policy_is(world):
    world.network.add("new/w")
    world.network.wanted = "new/w"
    world.used = ["new/w"]
    world.review()
    assert world.shown()[1] is None
    world.network.wanted = None
    assert world.shown()[1] is None


@pytest.mark.parametrize(
    "happens",
    [
        lambda one: one.kill(ALL[2]),
        lambda one: one.drains.add("p02", "operator", None),
        lambda one: one.drains.add("p02", POP, None),
        lambda one: one.paths[ALL[2]].link(False, one.now),
    ],
    ids=["down", "drained", "to-be-left", "absent"],
)
def test_who_may_not_be_used_is_not_shown(world, happens):
    happens(world.network)
    assert ALL[2] not in world.shown()[0]


def test_the_choice_is_shown_while_its_pop_is_to_be_left(world):
    world.network.drains.add("p00", POP, None)
    shown, here = world.shown()
    assert list(shown)[here] == CHEAPEST


def test_a_path_in_hold_down_is_shown_with_its_relapses_and_looked_at_again(world):
    world.network.paths[ALL[2]].health.restore(length=8.0, age=0.0, left=8.0, now=world.network.now)
    assert world.shown()[0][ALL[2]].relapses == 1.0
    assert world.candidates.stale_at <= world.network.now + 1.0
    world.network.now += 4.0
    assert world.shown()[0][ALL[2]].relapses == 0.5
    world.network.now += 4.0
    assert world.shown()[0][ALL[2]].relapses == 0.0


def test_what_is_shown_is_made_anew_when_a_refusal_ends():
    one = World(count=3)
    one.review()
    one.network.refused_until = 30.0
    one.shown()
    assert one.candidates.stale_at == 30.0
    one.network.refused_until = float("inf")
    one.shown()
    assert one.candidates.stale_at == float("inf")
    one.candidates.expire()
    assert one.candidates.stale_at < one.network.now
