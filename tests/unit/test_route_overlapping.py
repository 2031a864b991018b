"""Prefixes that have addresses in common, however many there are on either side."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.route.model import prefixes

NETWORKS = st.lists(
    st.builds(
        lambda address, length: ip_network((address << 24, length), strict=False),
        st.integers(0, 31),
        st.integers(3, 9),
    ),
    max_size=8,
)


@pytest.mark.parametrize("dear", [0, 1, 1000])
@given(packed=NETWORKS, others=NETWORKS)
def test_those_are_found_that_hold_or_lie_within_another(dear, packed, others):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefixes, "COVER_COSTS", dear)
        found = prefixes.overlapping(4, *(prefixes.pack(4, map(str, one)) for one in (packed, others)))
    wanted = [str(one) for one in packed if any(one.overlaps(other) for other in others)]
    assert found == prefixes.pack(4, wanted)
