"""What happens to the PoPs of a simulated fleet: scripts, and what is wrong with them."""

import pytest

from steerd.config.file.problem import ConfigError
from steerd.sim.fleet import story
from steerd.sim.fleet.story import Script, Story


def told(script, **rest):
    return Story(Script.model_validate(script), [10.0, 20.0, 30.0], **({"busiest": 1} | rest))


def test_a_pop_loses_half_and_dies_and_returns():
    usual = Story(story.USUAL, [10.0, 20.0], 1)
    assert usual.begins(2400) == [0, 600, 1200, 1800]
    assert [usual.at(second)[1] for second in (0, 599, 600, 1199, 1200, 1800)] == [20.0, 20.0, 10.0, 10.0, 20.0, 0.0]
    assert {usual.at(second)[0] for second in (0, 700, 2000)} == {10.0}
    said = [usual.words(at) for at in usual.begins(2400)]
    assert said == ["start", "PoP 2 loses half", "PoP 2 is whole again", "PoP 2 dies"]
    assert [second for second in range(2400) if usual.changes(second)] == [0, 600, 1200, 1800]


def test_events_after_the_end_make_no_window():
    assert told({"event": [{"at": 90, "pop": 1, "capacity": 0.3}]}).begins(90) == [0]


def test_capacity_swings_by_its_depth_each_pop_at_its_own_time():
    swings = told({"swing": {"period": "1h", "depth": 0.4}})
    seen = list(zip(*(swings.at(second) for second in range(0, 3600, 60)), strict=True))
    for capacity, over_time in zip([10.0, 20.0, 30.0], seen, strict=True):
        assert max(over_time) == pytest.approx(capacity, rel=0.01)
        assert min(over_time) == pytest.approx(0.6 * capacity, rel=0.01)
    assert len({over_time.index(min(over_time)) for over_time in seen}) == 3


def test_a_script_is_read(tmp_path):
    file = tmp_path / "story.toml"
    file.write_text(
        '[[event]]\nat = "5m"\npop = "busiest"\ncapacity = 0.25\n[[event]]\nat = "5m"\npop = 3\ncapacity = 0\n'
    )
    read = Story(story.read(file, 3), [1.0, 1.0, 1.0], 0)
    assert read.at(300) == [0.25, 1.0, 0.0]
    assert read.words(300) == "PoP 1 has 25%, PoP 3 dies"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[event]]\nat = 1\npop = 4\ncapacity = 1", 'event[0].pop: found 4; must be "busiest" or a PoP from 1 to 3'),
        ("[[event]]\nat = 9\npop = 1\ncapacity = 1\n[[event]]\nat = 8\npop = 1\ncapacity = 1", "event[1].at: found "),
        ("[[event]]\nat = 1\npop = 1", "event[0].capacity: is missing, and must be given"),
        ("[[event]]\nat = 1\npop = 1\ncapacity = -1", "event[0].capacity: found -1; must be a number from 0 to 10"),
        ("[[event]]\nat = 1\npop = 1\ncapactiy = 1", "event[0].capactiy: found 1; is not a known key; "),
        ('[swing]\nperiod = "1s"\ndepth = 0.1', 'swing.period: found "1s"; must be a duration from 1m to 7d'),
        ("[swing]\nperiod = 3600\ndepth = 1", "swing.depth: found 1; must be a number from 0 to 0.9"),
        ("[[event", "line 1, "),
    ],
)
def test_a_wrong_script_is_told_the_place(tmp_path, text, said):
    file = tmp_path / "story.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        story.read(file, 3)
    assert any(line.startswith(f"{file}: {said}") for line in str(caught.value).splitlines()), str(caught.value)
