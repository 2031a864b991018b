"""A trace of which the engine sees the samples that it asks for."""

import json
from types import SimpleNamespace

import pytest

from steerd.core.effects import Cadence
from steerd.core.settings import PathId, PathSettings, Settings
from steerd.replay.probed import AsProbed
from steerd.replay.run import run
from steerd.replay.subject import Chosen
from tests.unit.test_replay import step, write
from tests.unit.test_replay_command import told

A, B = PathId("a"), PathId("b")


def settings(interval=1.0, standby=5.0):
    return Settings(
        paths=tuple(PathSettings(path, path, path, interval=interval, standby_interval=standby) for path in (A, B))
    )


def both(tmp_path, rows, config):
    file = write(tmp_path / "t.csv", rows)
    return run(file, config), run(file, config, as_probed=True)


def test_where_every_sample_is_asked_for_all_are_fed_and_a_step_is_followed(tmp_path):
    full, probed = both(tmp_path, step(), settings(standby=1.0))
    assert probed.more["probed"] == {"count": 120, "ratio": 1.0}
    assert [one["to"] for one in probed.switches] == ["a", "b"]
    assert probed.switches[0]["time_s"] == 0.0
    assert abs(probed.switches[1]["time_s"] - full.switches[1]["time_s"]) <= 2.0


def test_a_standby_path_is_fed_at_its_own_pace_and_all_is_judged(tmp_path):
    rows = [f"{n},{p},{rtt}" for n in range(300) for p, rtt in (("a", 20), ("b", 30))]
    full, probed = both(tmp_path, rows, settings())
    count = probed.more["probed"]["count"]
    assert count == pytest.approx(300 + 60, abs=5)
    assert probed.more["probed"]["ratio"] == count / 600
    assert probed.rows == full.rows == 600
    assert probed.account.columns == full.account.columns
    assert probed.report()["summary"]["j"] == full.report()["summary"]["j"]


def test_a_shorter_interval_than_the_steps_takes_its_share_of_them(tmp_path):
    rows = [f"{n / 5},{p},{rtt}" for n in range(1000) for p, rtt in (("a", 20), ("b", 30))]
    _, probed = both(tmp_path, rows, settings(interval=0.5, standby=1.0))
    assert probed.more["probed"]["count"] == pytest.approx(200 / 0.5 + 200 / 1.0, rel=0.03)


def test_a_path_that_dies_is_asked_for_more_often_and_left(tmp_path):
    rows = [
        f"{n / 5},{p},{'' if p == 'a' and n >= 500 else rtt}" for n in range(750) for p, rtt in (("a", 20), ("b", 30))
    ]
    _, probed = both(tmp_path, rows, settings())
    first, second = probed.switches
    assert (first["to"], second["to"]) == ("a", "b")
    assert 100.0 < second["time_s"] < 104.0


def test_what_comes_a_little_early_is_due_and_a_faster_cadence_counts_from_the_next_time_on():
    one = AsProbed(SimpleNamespace(paths={}), settings(), Chosen(), 1.0)
    one.obey([Cadence(A, 5.0, 1.0)], None, 0.0, 0.0)
    taken = []
    for n in range(20):
        now = float(n) - 0.1 * (n % 2)
        if one.takes(A, now):
            taken.append(n)
        if n == 11:
            one.obey([Cadence(A, 2.0, 1.0)], None, now, now)
            assert not one.takes(A, now)
    assert taken == [0, 5, 10, 12, 14, 16, 18]
    one.obey([Cadence(A, None, 1.0)], None, 20.0, 20.0)
    assert not one.takes(A, 30.0)
    assert not one.takes(B, 30.0)
    one.obey([Cadence(A, 2.0, 1.0)], None, 30.0, 30.0)
    assert not one.takes(A, 30.0)
    assert one.takes(A, 31.0)


@pytest.mark.parametrize("rows", [[], ["5,a,20"], ["5,a,"], ["0,a,20", "9e15,a,20", "9.0000000000001e15,a,20"]])
def test_next_to_nothing_and_clocks_that_jump_come_to_an_end(tmp_path, rows):
    assert run(write(tmp_path / "t.csv", rows), Settings(), as_probed=True).rows == len(rows)


def test_paths_at_moments_of_their_own_are_fed_in_rounds_of_their_period(tmp_path):
    rows = [row for n in range(200) for row in (f"{n},a,{20 if n < 100 else 80}", f"{n + 0.5},b,30")]
    _, probed = both(tmp_path, rows, settings(standby=1.0))
    assert probed.more["probed"]["ratio"] == 1.0
    assert [one["to"] for one in probed.switches] == ["a", "b"]
    assert 100.0 < probed.switches[1]["time_s"] < 110.0


def test_the_command_tells_how_much_was_fed_and_refuses_recordings(tmp_path, capsys):
    file = write(tmp_path / "t.csv", step())
    _, out, _ = told(capsys, "replay", "--as-probed", "--json", file)
    assert json.loads(out)["summary"]["probed"] == {"count": 120, "ratio": 1.0}
    _, out, _ = told(capsys, "replay", "--as-probed", file)
    assert "as probed: 120 of these probes (100.0 %) were fed" in out
    _, out, _ = told(capsys, "replay", "--json", file)
    assert "probed" not in json.loads(out)["summary"]
    (tmp_path / "recording-1.jsonl.gz").write_bytes(b"")
    code, out, said = told(capsys, "replay", "--as-probed", tmp_path / "recording-1.jsonl.gz")
    assert (code, out, len(said)) == (2, "", 1)
