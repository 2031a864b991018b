"""What PoPs say of their links, and the ways that come of it."""

from itertools import pairwise
from math import inf, nan

import pytest

from steerd.core.cost.backbone import AGAIN, FULL, GONE, HOPS, LINKS_MAX, PACE, Backbone, Way
from steerd.core.events import BackboneLink, BackboneLinks
from steerd.core.settings import PolicyId, PolicySettings, Settings

COMMON = Settings(loss_penalty=200.0, backbone_max=100.0)
POPS = ("fra1", "ams1", "lon1", "nyc1", "syd1", "tyo1")


def policy(**by):
    return PolicySettings(PolicyId("db"), **{"service": "db", "through": POPS, **by})


def said(*links, interval=10.0, age=0.0):
    """Links as (to, RTT in ms) or (to, RTT, loss)."""
    return BackboneLinks(tuple(BackboneLink(*(*link, 0.0)[:3]) for link in links), interval, age)


def backbone(**links):
    """Of PoPs that said so at time 0."""
    made = Backbone()
    for pop, own in links.items():
        made.told(pop, said(*own), 0.0)
    return made


def costs(made, now=0.0, common=COMMON, **by):
    return {pop: way.cost for pop, way in made.ways(policy(**by), common, now).items()}


def test_the_cheapest_way_may_lead_by_other_pops():
    made = backbone(fra1=[("ams1", 7.0), ("db", 90.0)], ams1=[("db", 24.0)])
    assert made.ways(policy(), COMMON, 0.0) == {
        "fra1": Way(("ams1",), 31.0, 0.0, 0.0, 31.0),
        "ams1": Way((), 24.0, 0.0, 0.0, 24.0),
    }


def test_a_link_leads_in_one_direction_only():
    assert costs(backbone(fra1=[("db", 5.0)], ams1=[("fra1", 7.0)])) == {"fra1": 5.0, "ams1": 12.0}
    assert costs(backbone(fra1=[("db", 5.0), ("ams1", 7.0)])) == {"fra1": 5.0}


def test_a_way_has_so_many_links_at_most():
    chain = dict(zip(POPS, [[(to, 1.0)] for to in (*POPS[1:], "db")], strict=True))
    assert costs(backbone(**chain)) == {pop: float(n) for n, pop in enumerate(reversed(POPS), 1) if n <= HOPS}


def test_a_shorter_way_is_not_lost_to_a_cheaper_one_that_is_too_long_for_others():
    """nyc1's own best way has three links; for fra1, two links further, only its dear one of one link is left."""
    made = backbone(
        fra1=[("ams1", 1.0)], ams1=[("lon1", 1.0)], lon1=[("nyc1", 1.0)],
        nyc1=[("db", 50.0), ("syd1", 1.0)], syd1=[("tyo1", 1.0)], tyo1=[("db", 1.0)],
    )  # fmt: skip
    assert costs(made) == {"tyo1": 1.0, "syd1": 2.0, "nyc1": 3.0, "lon1": 4.0, "ams1": 52.0, "fra1": 53.0}


def test_loss_costs_what_a_probes_does_and_both_as_the_policy_weighs_them():
    made = backbone(fra1=[("ams1", 10.0, 0.1)], ams1=[("db", 5.0, 0.1)])
    assert costs(made)["fra1"] == pytest.approx(15.0 + 40.0)
    assert costs(made, rtt_weight=2.0, loss_weight=0.5)["fra1"] == pytest.approx(30.0 + 20.0)
    assert made.ways(policy(), COMMON, 0.0)["fra1"].loss == pytest.approx(0.19)


def test_no_way_costs_more_than_the_bound():
    assert costs(backbone(fra1=[("db", 4000.0, 1.0)])) == {"fra1": 100.0}


def test_no_way_leads_by_a_pop_that_the_policy_may_not_cross():
    made = backbone(fra1=[("nyc1", 1.0), ("db", 60.0)], nyc1=[("db", 1.0)], ams1=[("nyc1", 1.0)])
    assert costs(made) == {"fra1": 2.0, "ams1": 2.0, "nyc1": 1.0}
    assert costs(made, through=("fra1", "ams1")) == {"fra1": 60.0}


def test_what_was_said_counts_fully_then_fades_evenly_and_then_is_unknown():
    made = backbone(fra1=[("db", 20.0)])
    at = {age: costs(made, now=10.0 * age).get("fra1") for age in (0.0, FULL, (FULL + GONE) / 2, GONE)}
    assert at == {0.0: 20.0, FULL: 20.0, (FULL + GONE) / 2: pytest.approx(20.0 + 50.0), GONE: None}
    assert made.ways(policy(), COMMON, 10.0 * (FULL + GONE) / 2)["fra1"].faded == pytest.approx(0.5)


def test_fading_never_jumps_however_many_links_a_way_has():
    made = backbone(fra1=[("ams1", 30.0)], ams1=[("db", 30.0)])
    seen = [costs(made, now=float(now)).get("fra1", 100.0) for now in range(400)]
    assert all(0.0 <= after - before < 1.0 for before, after in pairwise(seen))
    assert (seen[0], seen[-1]) == (60.0, 100.0)


def test_what_lay_at_the_broker_is_as_old_as_it_says():
    made = Backbone()
    made.told("fra1", said(("db", 20.0), interval=2.0, age=6.0), 100.0)
    assert costs(made, now=100.0) == {"fra1": 20.0}
    assert costs(made, now=101.0)["fra1"] > 20.0
    assert costs(made, now=100.0 + 2.0 * (GONE - FULL)) == {}


def test_a_link_that_is_no_longer_spoken_of_fades_as_if_the_pop_were_silent():
    """So an agent that starts anew, and knows nothing yet, takes nothing back."""
    made = backbone(fra1=[("db", 20.0), ("ams1", 5.0)])
    made.told("fra1", said(("ams1", 5.0)), 10.0)
    assert costs(made, now=30.0) == {"fra1": 20.0}
    assert costs(made, now=10.0 * GONE) == {}


def test_small_differences_are_no_news_and_large_ones_are():
    made = backbone(fra1=[("db", 20.0)], ams1=[("db", 300.0)])
    assert made.look(0.0)
    for now, pop, rtt, loss, news in (
        (1.0, "fra1", 20.9, 0.0, False),
        (2.0, "fra1", 19.2, 0.004, False),
        (3.0, "fra1", 23.0, 0.0, True),
        (4.0, "ams1", 308.0, 0.0, False),
        (5.0, "ams1", 300.0, 0.02, True),
    ):
        made.told(pop, said(("db", rtt, loss)), now)
        assert made.look(now) == news
    assert costs(made, now=5.0)["fra1"] == 21.0  # a third of the way
    made.told("fra1", said(("db", 60.0)), 6.0)
    assert costs(made, now=6.0)["fra1"] == 60.0  # a step is none of noise


def test_it_is_looked_at_each_second_at_most_and_for_time_alone_each_ten():
    made = Backbone()
    assert not made.look(0.0)
    made.told("fra1", said(("db", 20.0)), 0.0)
    assert made.look(0.0)
    made.told("fra1", said(("db", 40.0)), PACE / 2)
    assert not made.look(PACE / 2)
    assert made.look(PACE)
    assert not made.look(PACE + AGAIN / 2)
    assert made.look(PACE + AGAIN)
    made.look(1000.0)
    assert not made


def test_coming_back_from_fading_is_news():
    made = backbone(fra1=[("db", 20.0)])
    made.look(100.0)
    made.told("fra1", said(("db", 20.0)), 105.0)
    assert made.look(105.0)
    assert costs(made, now=105.0) == {"fra1": 20.0}


@pytest.mark.parametrize(
    "link", [("db", nan), ("db", -1.0), ("db", inf), ("db", 1.0, nan), ("db", 1.0, 2.0), ("fra1", 1)]
)
def test_what_cannot_be_is_passed_over(link):
    assert costs(backbone(fra1=[link, ("ams1", 5.0)], ams1=[("db", 5.0)])) == {"fra1": 10.0, "ams1": 5.0}


@pytest.mark.parametrize("by", [{"interval": 0.0}, {"interval": nan}, {"age": -1.0}, {"age": nan}])
def test_what_is_said_at_an_impossible_time_too(by):
    made = Backbone()
    made.told("fra1", said(("db", 5.0), **by), 0.0)
    assert not made


def test_a_pop_that_makes_up_links_pushes_out_its_own_only():
    made = backbone(ams1=[("db", 5.0)])
    for round_ in range(4):
        made.told("fra1", said(*((f"x{round_}-{n}", 1.0) for n in range(10 * LINKS_MAX))), float(round_))
    made.told("fra1", said(("db", 5.0)), 5.0)
    assert costs(made, now=5.0) == {"ams1": 5.0, "fra1": 5.0}
