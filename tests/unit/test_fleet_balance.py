"""Where the load of a fleet would rest: by hand, and by trying every possibility."""

from itertools import product

import pytest

from steerd.sim.fleet.balance import equilibrium, latency, loads, optimum, utilisation
from steerd.sim.fleet.world import SERVICE, UNSERVED, World, queue, world


def small(seed=1, gateways=6, pops=3, share=0.7):
    return world(gateways, pops, share, seed)


def test_an_idle_pop_takes_its_service_time_and_a_full_one_grows_without_bound():
    assert queue(0.0) == SERVICE
    assert queue(0.5) == 2 * SERVICE
    assert queue(1.5) - queue(1.25) == pytest.approx(625.0)


def test_two_equal_gateways_part_where_one_pop_would_be_too_full():
    """Each a fourth of a PoP, 4 ms farther from the other one: together 2 / (1 - .5) = 4, apart 2 / (1 - .25) + 4."""
    near = World([[10.0, 14.0], [10.0, 14.0]], [1, 1], [4.0, 4.0])
    assert equilibrium(near, near.capacity) == [0, 0]
    near = World([[10.0, 11.0], [10.0, 11.0]], [1, 1], [4.0, 4.0])
    assert sorted(equilibrium(near, near.capacity)) == [0, 1]


def test_the_optimum_sends_one_away_whom_the_equilibrium_lets_stay():
    """Alone it pays 13.33 there and 14.5 away; but with it at home the other one waits 1.33 ms longer, too."""
    pair = World([[10.0, 30.0], [10.0, 11.2]], [1, 1], [4.0, 4.0])
    stays, sent = equilibrium(pair, pair.capacity), optimum(pair, pair.capacity, [0, 0])
    apart = World([[10.0, 30.0], [10.0, 11.4]], [1, 1], [4.0, 4.0])
    assert (stays, sent) == ([0, 1], [0, 1])
    assert (equilibrium(apart, apart.capacity), optimum(apart, apart.capacity, [0, 0])) == ([0, 0], [0, 1])


@pytest.mark.parametrize("seed", range(8))
def test_in_equilibrium_nobody_gains_by_moving(seed):
    made = small(seed, gateways=30)
    at = equilibrium(made, made.capacity)
    carried = loads(made, at)
    for gateway, here in enumerate(at):
        sent = made.demand[gateway]
        costs = [
            made.base[gateway][pop] + queue((carried[pop] + (0 if pop == here else sent)) / made.capacity[pop])
            for pop in range(made.pops)
        ]
        assert costs[here] <= min(costs) + 0.0101


@pytest.mark.parametrize("seed", range(8))
def test_the_optimum_is_that_of_all_possibilities(seed):
    """A local search: so it may miss the best by a little, where gateways are this large."""
    made = small(seed, share=0.4)
    best = min(latency(made, at, made.capacity) for at in product(range(made.pops), repeat=made.gateways))
    start = equilibrium(made, made.capacity)
    found = latency(made, optimum(made, made.capacity, start), made.capacity)
    assert best - 1e-9 <= found <= 1.03 * best
    assert found <= latency(made, start, made.capacity) + 1e-9


def test_nobody_is_sent_to_a_dead_pop_and_who_is_there_waits():
    made = small()
    dead = [0.0, *made.capacity[1:]]
    assert 0 not in equilibrium(made, dead, [0] * made.gateways)
    assert latency(made, [0] * made.gateways, dead) == UNSERVED
    assert utilisation(loads(made, [0] * made.gateways), dead)[0] == 0.0
