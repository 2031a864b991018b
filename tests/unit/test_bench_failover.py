"""`bench.failover`: bursts that heal and deaths in a trace that is made up, to the sample."""

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from bench.failover import Rows, burst, deaths, main, measure, mixed, moves, rows
from steerd.core.settings import RegretSettings, Settings
from steerd.core.states import Reason

RATE = 0.2
DEAR = Settings(rule=RegretSettings(price=1e6))
"""At this price nothing but health moves anything."""


def made(*silences, seconds=120):
    """Two paths, at 20 and 30 ms; the first says nothing from one time to another, in seconds."""
    times = tuple(n * RATE for n in range(int(seconds / RATE)))
    quiet = [(round(begin / RATE), round(end / RATE)) for begin, end in silences]
    rtts = tuple(
        (None if any(begin <= n < end for begin, end in quiet) else 20.0 + n % 3, 30.0 + n % 2)
        for n in range(len(times))
    )
    return Rows(("a", "b"), times, rtts)


@pytest.mark.parametrize(("down_after", "left"), [(0.0, 60.4), (0.5, 60.6), (1.0, 61.0), (1.5, 61.6), (2.1, None)])
def test_a_burst_is_left_when_it_is_longer_than_patience(down_after, left):
    trace = made((60.0, 62.0))
    found = [(trace.times[one.place], one.reason) for one in moves(trace, DEAR, down_after)]
    assert found == ([] if left is None else [(pytest.approx(left), Reason.DOWN)])


def test_a_burst_lasts_from_its_first_lost_probe_to_the_first_answer():
    trace = made((60.0, 61.2), (80.0, 90.0))
    first, *_ = moves(trace, DEAR, 0.0)
    assert burst(trace, first) == pytest.approx(1.2)
    for place, length in ((305, 1.2), (306, 1.2), (307, None), (440, 10.0), (299, None)):
        found = burst(trace, replace(first, place=place))
        assert found == (None if length is None else pytest.approx(length))


def test_figures_are_an_hour_and_tell_what_healed():
    one = measure([made((60.0, 61.2), (90.0, 95.0))], DEAR, 0.0, 3)
    hour = 3600.0 / (120.0 - RATE)
    assert one["down_per_hour"] == pytest.approx(hour)  # the second burst finds it on the other path
    assert one["healed_down_per_hour"] == pytest.approx(hour)
    assert one["better_per_hour"] == one["healed_better_per_hour"] == 0.0
    assert (one["deaths"], one["left_by_health"], one["not_left"]) == (3, 3, 0)
    assert one["left_worst_s"] == pytest.approx(0.4)


def test_deaths_are_seeded_and_leave_a_rival():
    trace = made((60.0, 61.2))
    chosen = deaths(trace, 20, "x")
    assert chosen == deaths(trace, 20, "x") != deaths(trace, 20, "y")
    assert all(trace.times[place] >= 30.0 for place in chosen)
    # With two paths, both answer for 10 s after it: no death within 10 s before the burst, nor in it.
    assert not [place for place in chosen if 50.0 < trace.times[place] <= 61.2]


def test_paths_are_paired_anew():
    one, other = made(), made((60.0, 70.0), seconds=100)
    found = mixed([one, other], 8)
    assert {len(trace.times) for trace in found} <= {500, 600}
    assert {None in column for trace in found for column in zip(*trace.rtts, strict=True)} == {False, True}


def test_the_command_draws_and_tells(tmp_path, capsys):
    trace = made((60.0, 61.2))
    file, picture = tmp_path / "trace.csv", tmp_path / "curve.svg"
    lines = ["time_s,path,rtt_ms"]
    for n, row in enumerate(trace.rtts):
        lines += [f"{n},{path},{'' if rtt is None else rtt}" for path, rtt in zip(trace.paths, row, strict=True)]
    file.write_text("\n".join(lines) + "\n")
    assert rows(file, RATE).rtts == trace.rtts
    arguments = ["--interval", "0.2", "--deaths", "2", "--plot", str(picture), str(file)]
    assert main(arguments) == 0
    assert "down_after" in capsys.readouterr().out
    assert main(["--json", *arguments]) == 0
    assert [one["down_after_s"] for one in json.loads(capsys.readouterr().out)["results"]] == [0, 0.5, 1, 1.5, 2, 3, 5]
    assert ET.parse(picture).getroot().tag.endswith("svg")
    assert main([str(tmp_path / "none.csv")]) == 1
