"""A small fleet: steerd comes to rest, others run to and fro; and what the command says of it."""

import json
from xml.etree import ElementTree as ET

import pytest

from steerd.cli.steerd import main
from steerd.core.settings import Settings
from steerd.sim.fleet import story
from steerd.sim.fleet.contest import Conditions, Contest
from steerd.sim.fleet.figures import figures
from steerd.sim.fleet.world import world

SMALL = ["--gateways", "100", "--pops", "4", "--utilisation", "0.7", "--for", "6m", "--seed", "5"]


@pytest.fixture
def cut(tmp_path):
    file = tmp_path / "cut.toml"
    file.write_text('[[event]]\nat = "2m"\npop = "busiest"\ncapacity = 0.5\n')
    return file


def contest(jobs=1, **rest):
    conditions = Conditions(seconds=240, seed=3, jobs=jobs, settings=Settings(gate=5.0, failover_within=20.0), **rest)
    return Contest(world(24, 4, 0.6, 3), story.USUAL, conditions, {})


def test_steerd_comes_to_rest_where_argmin_runs_to_and_fro(capsys, cut):
    assert (
        main(["simulate-fleet", *SMALL, "--script", str(cut), "--rules", "steerd,argmin,central", "--json", "-j", "1"])
        == 0
    )
    windows = json.loads(capsys.readouterr().out)
    assert [window["since_s"] for window in windows] == [0, 120]
    for window in windows:
        steerd = window["rules"]["steerd"]
        assert steerd["over_equilibrium"] < 0.1  # in a fleet of 1,000 it is less: here each is 1 % of the load
        assert steerd["amplitude"] < 0.4
        assert steerd["switches_per_hour"] < 15.0
        assert window["rules"]["central"]["over_optimum"] == pytest.approx(0.0, abs=1e-9)
    argmin = windows[1]["rules"]["argmin"]
    assert argmin["over_equilibrium"] > 1.0
    assert argmin["settled_s"] is None
    assert argmin["amplitude"] > 1.0


@pytest.mark.parametrize("seed", ["3", "5"])
def test_few_large_gateways_come_to_rest_too(capsys, cut, seed):
    """Each fills a third of a PoP: what decides is what they learn of their own load."""
    argv = ["simulate-fleet", "--gateways", "30", "--utilisation", "0.75", "--for", "12m", "--rules", "steerd"]
    assert main([*argv, "--seed", seed, "--script", str(cut), "--json", "-j", "1"]) == 0
    after = json.loads(capsys.readouterr().out)[-1]["rules"]["steerd"]
    assert after["over_equilibrium"] < 0.5  # without: twice to six times the equilibrium, 20 to 60 switches
    assert after["amplitude"] < 0.5
    assert after["switches_per_hour"] < 10.0


def test_a_table_for_each_window_and_a_picture(capsys, tmp_path, cut):
    drawn = tmp_path / "fleet.svg"
    argv = ["simulate-fleet", *SMALL, "--script", str(cut), "--rules", "hysteresis,orca,hot-cold,two-choices"]
    assert main([*argv, "--plot", str(drawn)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("100 gateways, 4 PoPs, utilisation 70%, seed 5, 360 s, probes every 1 s.\n")
    assert said.count("  rule ") == 2
    assert said.count("  hot-cold ") == 2
    assert "120 to 360 s: PoP" in said
    assert len(ET.parse(drawn).findall(".//{*}polyline")) == 4


def test_any_number_of_processes_makes_the_same():
    one, two = contest(1).course("steerd"), contest(2).course("steerd")
    assert one.moves == two.moves
    assert one.mean == two.mean


def test_all_rules_go_their_course_in_a_world_that_swings():
    made = Contest(
        world(12, 3, 0.5, 1),
        story.Script.model_validate({"swing": {"period": "10m", "depth": 0.3}}),
        Conditions(seconds=300, seed=1, interval=5, settings=Settings(gate=5.0, max_active=2)),
        {},
    )
    for name in made.names:
        (found,) = figures(made.course(name), made.rests, made.story.begins(300), made.world.demand, swings=True)
        assert found.p99 > 0.0
        assert found.peak > 0.0


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--rules", "steerd,best"], "--rules: 'best' is none of steerd, work-function, argmin"),
        (["--plot", "fleet.png"], "--plot draws SVG: fleet.png must end in .svg"),
    ],
)
def test_what_cannot_be_meant(capsys, argv, said):
    assert main(["simulate-fleet", "--gateways", "2", "--pops", "2", *argv]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv", [["--gateways", "0"], ["--utilisation", "1.2"], ["--for", "1s"], ["--interval", "1.5s"]]
)
def test_arguments_out_of_bounds(argv):
    with pytest.raises(SystemExit):
        main(["simulate-fleet", *argv])


def test_a_wrong_script_is_refused_with_its_place(capsys, tmp_path):
    file = tmp_path / "wrong.toml"
    file.write_text('[[event]]\nat = "10m"\npop = 11\ncapacity = 0\n')
    assert main(["simulate-fleet", "--script", str(file)]) == 78
    assert f'{file}: event[0].pop: found 11; must be "busiest" or a PoP from 1 to 10' in capsys.readouterr().err
