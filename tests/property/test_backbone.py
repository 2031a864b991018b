"""Ways over links that PoPs publish: the cheapest there is, never by a PoP that may not be crossed, and bounded."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.core.cost.backbone import HOPS, Backbone
from steerd.core.events import BackboneLink, BackboneLinks, PopState
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from tests.property.test_feed import make
from tests.unit.driven import Driven, steady

POPS = ["a", "b", "c", "d", "e"]
links = st.lists(
    st.tuples(
        st.sampled_from(POPS),
        st.sampled_from([*POPS, "db"]),
        st.floats(0.0, 80.0),
        st.sampled_from([0.0, 0.0, 0.1, 1.0]),
    ),
    max_size=25,
    unique_by=lambda one: one[:2],
)
within = st.lists(st.sampled_from(POPS), unique=True).map(tuple)
anything = st.builds(BackboneLink, st.sampled_from([*POPS, "db", "x"]), st.floats(), st.floats())


def heard(links):
    made = Backbone()
    for pop in POPS:
        own = [BackboneLink(to, rtt, loss) for at, to, rtt, loss in links if at == pop]
        made.told(pop, BackboneLinks(tuple(own)), 0.0)
    return made


def policy(through):
    return PolicySettings(PolicyId("one"), service="db", through=through)


def brute(links, through, most):
    """All ways there are, one by one."""
    known = {(at, to): rtt + 200.0 * loss for at, to, rtt, loss in links if at != to}
    found = {}
    for first in through:
        others = [pop for pop in through if pop != first]
        for crossed in range(HOPS):
            for by in permutations(others, crossed):
                legs = list(zip((first, *by), (*by, "db"), strict=True))
                if all(leg in known for leg in legs):
                    cost = min(most, sum(known[leg] for leg in legs))
                    found[first] = min(cost, found.get(first, cost))
    return found


@given(links, within)
def test_it_is_the_cheapest_of_all_ways(links, through):
    common = Settings(backbone_max=100.0)
    ways = heard(links).ways(policy(through), common, 0.0)
    assert {pop: way.cost for pop, way in ways.items()} == pytest.approx(brute(links, through, 100.0))
    assert all({pop, *way.by} <= set(through) for pop, way in ways.items())
    assert all(len(way.by) < HOPS and len({pop, *way.by}) == len(way.by) + 1 for pop, way in ways.items())


@given(links, within, st.floats(0.0, 400.0), st.floats(0.0, 400.0))
def test_what_is_older_is_never_cheaper(links, through, age, more):
    common, made = Settings(backbone_max=100.0), heard(links)
    before, after = (made.ways(policy(through), common, now) for now in (age, age + more))
    assert after.keys() <= before.keys()
    assert all(way.cost >= before[pop].cost - 1e-9 for pop, way in after.items())


@given(st.lists(st.tuples(st.sampled_from(POPS), st.lists(anything, max_size=8), st.floats(), st.floats())), within)
def test_whatever_is_said_every_path_costs_between_nothing_and_the_bound_more(reports, through):
    paths = tuple(PathSettings(PathId(f"{pop}/w"), pop, pop) for pop in POPS)
    engine = make(Settings(paths=paths, policies=(policy(through),), backbone_max=30.0))
    for now, (pop, said, interval, age) in enumerate(reports):
        engine.feed(PopState(pop, accepting=True, backbone=BackboneLinks(tuple(said), interval, age)), 2.0 * now)
        prices = engine.policies[PolicyId("one")].prices
        assert all(0.0 <= price.backbone <= 30.0 for price in prices.values())
        engine.view(2.0 * now)


@given(links, st.lists(st.sampled_from(POPS), min_size=1, max_size=4, unique=True))
def test_no_link_makes_a_policy_use_a_pop_that_it_may_not(links, forbidden):
    """Whatever PoPs, the forbidden ones too, say of their links: the choice is among the others, and so are the PoPs by
    which its traffic would go on."""
    may = tuple(pop for pop in POPS if pop not in forbidden)
    own = PolicySettings(
        PolicyId("one"), tuple((PathId(f"{pop}/w"), "region") for pop in forbidden), service="db", through=may
    )
    driven = Driven({f"{pop}/w": steady(20.0 + at) for at, pop in enumerate(POPS)}, policies=(own,))
    driven.run(3.0)
    for pop in POPS:
        said = tuple(BackboneLink(to, rtt, loss) for at, to, rtt, loss in links if at == pop)
        driven.feed(PopState(pop, accepting=True, backbone=BackboneLinks(said)))
    driven.run(15.0)
    (view,) = driven.engine.view(driven.now).policies
    used = {one.new for one in driven.switches} | {view.choice, view.runner_up}
    assert not {f"{pop}/w" for pop in forbidden} & used
    assert not {pop for one in view.candidates if one.way for pop in one.way.by} & set(forbidden)
