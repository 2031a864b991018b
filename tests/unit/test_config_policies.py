"""What makes policies differ, as it is written: weights, preferences, objective, dwell; regions and bias."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from steerd.config.file.problem import ConfigError
from steerd.config.gateway.load import load
from steerd.core.effects import Steer
from steerd.core.engine import Engine
from steerd.core.events import Installed, Swept
from steerd.core.memory import Memory
from steerd.core.settings import Codec, Objective, PathId, PolicySettings
from steerd.replay.run import run
from steerd.store.records import from_json, to_json

POPS = """
[[pop]]
name = "fra1"
region = "de"
tags = ["backbone", "ixp"]
paths = [{ dev = "wg0", target = "10.64.1.1" }, { dev = "wg1", target = "10.64.1.2" }]
[[pop]]
name = "ams1"
region = "nl"
tags = ["ixp"]
bias = "3ms"
paths = [{ dev = "wg2", target = "10.64.2.1" }]
[[pop]]
name = "nyc1"
region = "us"
tags = ["far"]
paths = [{ dev = "wg3", target = "10.64.3.1" }]
"""
POLICY = '[[policy]]\nname = "p"\nprefixes = ["0.0.0.0/0"]\n'


@pytest.fixture
def loaded(tmp_path: Path):
    def loaded(text: str):
        file = tmp_path / "steerd.toml"
        file.write_text(text)
        return load(file, complete=False)

    return loaded


def policy(config) -> PolicySettings:
    (one,) = config.core.policies
    return one


def test_a_policy_that_says_nothing_asks_for_nothing_special(loaded):
    one = policy(loaded(POPS + POLICY))
    assert one == PolicySettings(one.policy)
    assert policy(loaded(POPS + POLICY + "weights = {}\nprefer = {}\nmin_dwell = 0")) == one


def test_all_that_a_policy_may_ask_for(loaded):
    one = policy(
        loaded(
            POPS
            + POLICY
            + 'weights = { rtt = 0.5, jitter = 2, loss = 3.0, bias = 0 }\nprefer = { backbone = "5ms", ixp = 0.001 }\n'
            + 'objective = "cost"\nmin_dwell = "5m"\n'
        )
    )
    assert (one.rtt_weight, one.jitter_weight, one.loss_weight, one.bias_weight) == (0.5, 2.0, 3.0, 0.0)
    assert one.min_dwell == 300.0
    assert one.objective is Objective.COST
    assert dict(one.preferred) == {"fra1/wg0": 6.0, "fra1/wg1": 6.0, "ams1/wg2": 1.0}  # tags add up


def test_a_call_with_its_codec(loaded):
    one = policy(loaded(POPS + POLICY + 'objective = "mos"\nweights = { bias = 2.0 }'))
    assert (one.objective, one.codec, one.bias_weight) == (Objective.MOS, Codec.G711_PLC, 2.0)
    for codec in Codec:
        assert policy(loaded(POPS + POLICY + f'objective = "mos"\ncodec = "{codec}"')).codec is codec


def test_regions_are_a_filter_and_a_bias_is_a_cost(loaded):
    """A path in another region is never used, however cheap; a bias is made good by the RTT."""
    config = loaded(POPS + POLICY + 'regions = ["de", "nl"]\nprefer = { far = "500ms", ixp = "1ms" }')
    assert config.warnings[0].endswith("policy[0].prefer.far: no PoP that policy p may use has this tag")
    assert [path.bias for path in config.core.paths] == [0.0, 0.0, 3.0, 0.0]
    assert "nyc1/wg3" not in dict(policy(config).preferred)
    engine = Engine(config.core, Memory(), now=0.0, epoch=1, draw=Random(0).random)
    assert engine.policies[policy(config).policy].forbidden == {"nyc1/wg3": "region us is not among de, nl"}


def steered(config, rtts):
    """Where the first policy goes after ten seconds of these RTTs, in ms."""
    engine = Engine(replace(config.core, round=0.0), Memory(), now=0.0, epoch=1, draw=Random(0).random)
    paths = [PathId(path) for path in rtts]
    for second in range(10):
        for effect in engine.sweep(Swept(float(second), paths, list(rtts.values())), float(second)):
            if isinstance(effect, Steer):
                engine.feed(Installed(effect.policy, effect.best, effect.runner_up), float(second))
    return engine.view(10.0).policies[0].choice


@pytest.mark.parametrize(
    ("written", "to"),
    [
        ("", "ams1/wg2"),  # 20 + 3 against 24
        ("weights = { bias = 2 }", "fra1/wg0"),  # 20 + 6 against 24
        ('prefer = { backbone = "2ms" }', "fra1/wg0"),  # 23 against 24 - 2
        ('prefer = { far = "200ms" }', "nyc1/wg3"),
        ('regions = ["de", "nl"]\nprefer = { far = "200ms" }', "ams1/wg2"),
        ('pops = ["fra*"]', "fra1/wg0"),
    ],
)
def test_from_the_file_to_the_choice(loaded, written, to):
    rtts = {"fra1/wg0": 24.0, "fra1/wg1": 90.0, "ams1/wg2": 20.0, "nyc1/wg3": 120.0}
    assert steered(loaded(POPS + POLICY + written), rtts) == to


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("weights = { jiter = 2 }", 'policy[0].weights.jiter: is not a known key; did you mean "jitter"?'),
        ("weights = { jitter = 101 }", "policy[0].weights.jitter: must be a number from 0 to 100"),
        ("weights = { jitter = -1 }", "policy[0].weights.jitter: must be a number from 0 to 100"),
        ("weights = 2", "policy[0].weights: must be a table: { ... }"),
        ("jitter = 2", "policy[0].jitter: is not a known key; it belongs in a policy's weights"),
        ('prefer = "backbone"', "policy[0].prefer: must be a table: { ... }"),
        ('prefer = { backbone = "11s" }', "policy[0].prefer.backbone: must be a duration from 0s to 10s"),
        ('objective = "moss"', 'policy[0].objective: must be "cost" or "mos"'),
        ('objective = "mos"\ncodec = "opus"', 'policy[0].codec: must be "g711-plc", "g711", "g729a", "g723.1" or'),
        ('codec = "g711"', 'policy[0].codec: does nothing with objective = "cost": must be left out'),
        (
            'objective = "mos"\nweights = { rtt = 2 }',
            'policy[0].weights.rtt: does nothing with objective = "mos": must be left out',
        ),
        ('flows = "clients"', 'policy[0].flows: must be "auto", "pin", "client" or "move"'),
        ('client_idle = "5m"', 'policy[0].client_idle: does nothing with flows = "auto": must be left out'),
        ('flows = "client"\nclient_idle = "1s"', "policy[0].client_idle: must be a duration from 10s to 1d"),
        ('min_dwell = "25h"', "policy[0].min_dwell: must be a duration from 0s to 1d"),
    ],
)
def test_what_is_wrong_is_said_once(loaded, written, said):
    with pytest.raises(ConfigError) as caught:
        loaded(POPS + POLICY + written)
    (problem,) = caught.value.problems
    assert f"{problem.key}: {problem.allowed}".startswith(said)


def test_a_tag_that_nobody_has_is_warned_of(loaded):
    (warning,) = loaded(POPS + POLICY + 'prefer = { bakbone = "5ms" }').warnings
    assert warning.endswith('policy[0].prefer.bakbone: no PoP has this tag; did you mean "backbone"?')
    (warning,) = loaded(POPS.replace("tags", "# tags") + POLICY + 'prefer = { ixp = "5ms" }').warnings
    assert warning.endswith("no PoP has this tag; there is none")


def test_recordings_keep_what_policies_ask_for(loaded):
    settings = loaded(
        POPS + POLICY + 'objective = "mos"\ncodec = "g729a"\nprefer = { ixp = "1ms" }\nmin_dwell = "1m"'
    ).core
    assert from_json(to_json(settings)) == settings


def test_replay_goes_by_the_policys_weights(loaded, tmp_path):
    """One policy and no PoP in the file: a trace's paths as this policy weighs them."""
    trace = tmp_path / "trace.csv"
    rows = [
        f"{time},{name},{rtt}" for time in range(60) for name, rtt in (("calm", 40), ("wild", 20 + 15 * (time % 2)))
    ]
    trace.write_text("time_s,path,rtt_ms\n" + "\n".join(rows) + "\n")
    ends = {
        written: run(trace, loaded(POLICY + written).core).report()["switches"][-1]["to"]
        for written in ("", "weights = { jitter = 0 }", "weights = { jitter = 5 }", 'objective = "mos"')
    }
    assert ends["weights = { jitter = 0 }"] == "wild"
    assert ends["weights = { jitter = 5 }"] == ends['objective = "mos"'] == "calm"


MQTT = '[mqtt]\nurl = "mqtt://127.0.0.1"\ntenant = "acme"\n'


def test_a_policys_traffic_crosses_pops_of_its_regions_only(loaded):
    config = loaded(MQTT + '[fleet]\nbackbone_max = "30ms"\n' + POPS + POLICY + 'service = "db"\npops = ["fra1"]')
    assert config.core.backbone_max == 30.0
    one = policy(config)
    assert (one.service, one.through) == ("db", ("fra1", "ams1", "nyc1"))
    assert policy(loaded(MQTT + POPS + POLICY + 'service = "db"\nregions = ["de", "nl"]')).through == ("fra1", "ams1")
    assert config.warnings == ()


def test_a_service_needs_a_name_of_its_own_and_a_broker(loaded):
    with pytest.raises(ConfigError) as caught:
        loaded(MQTT + POPS + POLICY + 'service = "ams1"')
    assert 'policy[0].service: found "ams1"; is the name of a PoP: must be another name' in str(caught.value)
    (warning,) = loaded(POPS + POLICY + 'service = "db"').warnings
    assert warning.endswith("policy[0].service: there is no [mqtt]: no PoP can say how far it is from there")
