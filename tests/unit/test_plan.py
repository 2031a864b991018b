"""Which choices a plan assumes, and what it says beside the operations. Configurations are read for real."""

from dataclasses import replace

import pytest

from steerd.config.gateway.load import load
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import PolicyState
from steerd.core.views import PolicyView, View
from steerd.daemon.answers.planning import choices, notes
from steerd.route.wanted.choice import Choice

FRA, AMS = PathId("fra1/wg0"), PathId("ams1/wg1")
FILE = """\
[[pop]]
name = "fra1"
region = "de"
paths = [{ dev = "wg0", target = "10.64.1.1" }]
[[pop]]
name = "ams1"
region = "nl"
paths = [{ dev = "wg1", target = "10.64.2.1" }]
[[policy]]
name = "p"
prefixes = ["10.0.0.0/8"]
"""
STEERING = PolicyView(
    policy=PolicyId("p"), state=PolicyState.STEERING, choice=FRA, runner_up=AMS, wanted=FRA, error=None, since=1.0,
    pin=None, pin_hard=False, pin_for=None, candidates=(), last=None, outlook="",
)  # fmt: skip


def seen(**changes):
    return View(now=1.0, epoch=1, paths=(), policies=(replace(STEERING, **changes),), drains=(), declined={})


@pytest.fixture
def configured(tmp_path):
    def configured(text):
        file = tmp_path / "steerd.toml"
        file.write_text(text)
        return load(file)

    return configured


def asked(configured, text, **changes):
    running, given, view = configured(FILE), configured(text), seen(**changes)
    return choices(running.route, given.route, view), list(notes(running, given, view))


RENAMED = FILE.replace('name = "fra1"', 'name = "fra2"')
WITHOUT_FRA = FILE[FILE.index('[[pop]]\nname = "ams1"') :]
WITHOUT_AMS = FILE[: FILE.index('[[pop]]\nname = "ams1"')] + FILE[FILE.index("[[policy]]") :]


@pytest.mark.parametrize(
    ("text", "changes", "carried", "said"),
    [
        (FILE, {}, {"p": Choice(FRA, AMS)}, []),
        (FILE, {"choice": None, "runner_up": None, "state": PolicyState.BLOCKED}, {"p": Choice(None, None)}, []),
        (
            FILE,
            {"choice": None, "runner_up": None, "state": PolicyState.NONE},
            {},
            ["policy p: its rules and routes come with its first choice"],
        ),
        (RENAMED, {}, {"p": Choice("fra2/wg0", AMS)}, []),
        (WITHOUT_AMS, {}, {"p": Choice(FRA, None)}, []),
        (WITHOUT_FRA, {}, {}, ["policy p: the file does not name its path fra1/wg0: a switch follows"]),
        (
            FILE + 'regions = ["nl"]\n',
            {},
            {"p": Choice(FRA, AMS)},
            ["policy p: the file rules out its path fra1/wg0: region de is not among nl: a switch follows"],
        ),
        (FILE.replace('"p"', '"q"'), {}, {}, ["policy q: its rules and routes come with its first choice"]),
        (
            FILE + "[route]\ntable = 5000\n",
            {},
            {"p": Choice(FRA, AMS)},
            ["[route] numbers change: what lies within the former ones is removed after that"],
        ),
    ],
)
def test_what_a_reload_carries_over_and_leaves_open(configured, text, changes, carried, said):
    assert asked(configured, text, **changes) == (carried, said)
