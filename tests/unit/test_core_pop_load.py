"""What PoPs say of their own load, and how long that counts."""

import pytest

from steerd.core.cost.pop_load import FREE, FRESH, GONE, Loads


@pytest.mark.parametrize(
    ("load", "age", "share"),
    [
        (0.0, 0.0, 0.0), (FREE, 0.0, 0.0), (0.75, 0.0, 0.5), (1.0, 0.0, 1.0), (7.0, 0.0, 1.0),
        (1.0, FRESH, 1.0), (1.0, (FRESH + GONE) / 2, 0.5), (0.75, (FRESH + GONE) / 2, 0.25), (1.0, GONE, 0.0),
        (1.0, 1e9, 0.0), (1.0, -5.0, 1.0),
    ],
)  # fmt: skip
def test_what_is_said_of_load_fades_and_then_goes(load, age, share):
    loads = Loads()
    loads.told("fra1", load, 1000.0)
    assert loads.shares(1000.0 + age) == {"fra1": pytest.approx(share)}
    assert bool(loads) == (age < GONE)


def test_a_pop_that_no_longer_speaks_of_load_has_none():
    loads = Loads()
    loads.told("fra1", 1.0, 0.0)
    loads.told("fra1", None, 1.0)
    assert not loads
    assert loads.shares(1.0) == {}
