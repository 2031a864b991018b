"""Which rule decides, and how many paths it is shown: from the file to the engine, and through a reload."""

import pytest

from steerd.config.file.problem import ConfigError
from steerd.config.gateway.load import load
from steerd.config.settings import Config
from steerd.core.events import Configured
from steerd.core.settings import PanelSettings, RegretSettings, Settings, ThresholdSettings
from tests.unit.driven import Driven, steady

POPS = "".join(
    f'[[pop]]\nname = "p{number}"\npaths = [{{ dev = "wg{number}", target = "10.64.0.{number + 1}" }}]\n'
    for number in range(8)
)
POLICY = '[[policy]]\nname = "all"\nprefixes = ["0.0.0.0/0"]\n'


@pytest.fixture
def loaded(tmp_path):
    def loaded(text: str = "") -> Config:
        file = tmp_path / "steerd.toml"
        file.write_text(text + POPS + POLICY)
        return load(file)

    return loaded


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("", PanelSettings(100.0)),
        ('rule = "panel"\nswitch_price = "5ms for 10s"', PanelSettings(50.0)),
        ('rule = "regret"\nswitch_price = "5ms for 10s"', RegretSettings(50.0)),
        ('rule = "threshold"\nhold = "5s"', ThresholdSettings(0.1, 3.0, 5.0)),
    ],
)
def test_each_rule_by_its_name(loaded, written, rule):
    config = loaded(f"[steer]\n{written}\n")
    assert config.core.rule == rule
    assert config.switch_price == getattr(rule, "price", None)
    assert not config.warnings


def test_candidates_and_scouts_by_default_and_as_asked(loaded):
    core = loaded().core
    assert (core.max_active, core.scout_interval) == (12, 30.0) == (Settings().max_active, Settings().scout_interval)
    core = loaded('[probe]\nmax_active = 40\nscout_interval = "1m"\n').core
    assert (core.max_active, core.scout_interval) == (40, 60.0)


@pytest.mark.parametrize(
    ("written", "gate", "within"),
    [
        ("", 0.0, 0.0),  # a gateway that has its PoPs for itself
        ("[fleet]", 0.0, 0.0),
        ("[fleet]\ngate = 5", 5.0, 20.0),
        ('[fleet]\ngate = 2.5\nspread_within = "0ms"', 2.5, 0.0),
        ('[fleet]\nspread_within = "30ms"', 0.0, 30.0),
    ],
)
def test_a_gateway_moves_as_one_of_many_where_it_is_asked_to(loaded, written, gate, within):
    core = loaded(f"{written}\n").core
    assert (core.gate, core.failover_within) == (gate, within)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[fleet]\ngate = -1\n", "fleet.gate: must be a number from 0 to 1000"),
        ('[fleet]\ngate = "wide"\n', "fleet.gate: must be a number from 0 to 1000"),
        ('[fleet]\nspread_within = "20 min"\n', "fleet.spread_within: must be a duration from 0s to 10s: "),
        ("[fleet]\nspread_with = 1\n", 'fleet.spread_with: is not a known key; did you mean "spread_within"'),
        ('[steer]\nrule = "pannel"\n', 'steer.rule: must be "panel", "regret" or "threshold"'),
        ("[steer]\nrule = 1\n", 'steer.rule: must be "panel", "regret" or "threshold"'),
        ("[probe]\nmax_active = 1\n", "probe.max_active: must be a whole number from 2 to 1000"),
        ("[probe]\nmax_active = 1001\n", "probe.max_active: must be a whole number from 2 to 1000"),
        ('[probe]\nmax_active = "12"\n', "probe.max_active: must be a whole number from 2 to 1000"),
        ("[probe]\nmax_active = true\n", "probe.max_active: must be a whole number from 2 to 1000"),
        ('[probe]\nscout_interval = "0s"\n', "probe.scout_interval: must be a duration from 1s to 1h: "),
        ('[probe]\nscout_interval = "2h"\n', "probe.scout_interval: must be a duration from 1s to 1h: "),
        ('[probe]\nscout_intervall = "2s"\n', 'probe.scout_intervall: is not a known key; did you mean "scout_inter'),
        ("[steer]\nmax_active = 3\n", "steer.max_active: is not a known key; "),
    ],
)
def test_what_is_wrong_is_said_with_what_is_allowed(loaded, text, said):
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    (problem,) = caught.value.problems
    assert f"{problem.key}: {problem.allowed}".startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_active = 2", "probe.max_active: 2 is room for the choice and its runner-up alone: "),
        (
            'interval = "5s"\nscout_interval = "2s"',
            "probe.scout_interval: 2s is shorter than interval: scouts are probed every 5s like others",
        ),
        (
            'standby_interval = "1m"\nscout_interval = "2s"',
            "2s is shorter than standby_interval: scouts are probed every",
        ),
        ("max_active = 3", None),
        ('interval = "1m"', None),  # nobody asked for scouts to be probed faster
        ('standby_interval = "10s"\nscout_interval = "10s"', None),
    ],
)
def test_what_does_not_do_what_it_seems_to_is_warned_of(loaded, text, said):
    warnings = loaded(f"[probe]\n{text}\n").warnings
    assert [said in warning for warning in warnings] == ([True] if said else [])


def scouts(driven):
    return sum(one.scout for one in driven.policy().candidates)


def test_a_reload_changes_who_is_a_scout_and_the_rule(loaded):
    """The files' own paths and policies, in a network where all answer."""
    config = loaded('[probe]\nmax_active = 4\nscout_interval = "5s"\n').core
    delays = {path.path: steady(30.0 + 3.0 * number) for number, path in enumerate(config.paths)}
    driven = Driven(delays, policies=config.policies, settings=config).run(30.0)
    assert scouts(driven) == 4
    assert {path.every for path in driven.view().paths if path.scout} == {5.0}
    choice = driven.policy().choice

    other = loaded('[probe]\nmax_active = 6\nscout_interval = "20s"\n[steer]\nrule = "regret"\n').core
    driven.feed(Configured(other))
    driven.run(40.0)
    assert scouts(driven) == 2
    assert {path.every for path in driven.view().paths if path.scout} == {20.0}
    assert list(driven.policy().rule.costs) == ["work-function"]

    driven.feed(Configured(loaded('[steer]\nrule = "threshold"\n').core))
    driven.run(50.0)
    assert (scouts(driven), driven.policy().rule) == (0, None)
    assert driven.policy().choice == choice
