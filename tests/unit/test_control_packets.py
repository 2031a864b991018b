"""Where a policy's packets went, as people and programs read it."""

import pytest

from steerd.control.parts.packets import figures, sentence, shortly
from steerd.status.snapshot import Packets, Went

GOOD = Packets(10.0, (Went(4, "choice", "wg0", 60), Went(6, "choice", "wg0", 37), Went(4, "path", "wg1", 3)))
ASTRAY = Packets(10.0, (Went(4, "choice", "wg0", 62), Went(4, "astray", "wan", 38)), wrong=True)


def test_as_json_it_has_every_figure_and_null_where_nothing_was_counted():
    assert figures(None) is None
    found = figures(Packets(10.0, (Went(4, "astray", "wan", 38), Went(6, "nowhere", "", 2)), wrong=True))
    assert found == {
        "seconds": 10.0,
        "wrong": True,
        "went": [
            {"family": "ipv4", "where": "astray", "device": "wan", "packets": 38},
            {"family": "ipv6", "where": "nowhere", "device": None, "packets": 2},
        ],
    }


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (GOOD, "97 % by wg0, 3 % still by wg1"),
        (ASTRAY, "! 38 % astray by wan, 62 % by wg0"),
        (Packets(5.0, (Went(4, "nowhere", "", 50),), wrong=True), "! 100 % nowhere"),
        (Packets(5.0, (Went(4, "guard", "", 50),), wrong=True), "! 100 % dropped by the guard"),
        (Packets(5.0, (Went(4, "choice", "wg0", 9_999), Went(4, "nowhere", "", 1))), "99.9 % by wg0, 0.1 % nowhere"),
    ],
)
def test_a_column_has_the_greatest_shares_and_first_what_is_wrong(seen, said):
    assert shortly(figures(seen)) == said
    assert shortly(None) == "-"


def test_a_sentence_has_all_of_it():
    assert sentence(GOOD) == "Of its 100 packets in the last 10s: 97 % by wg0, 3 % still by wg1."
    assert sentence(None) == ""
