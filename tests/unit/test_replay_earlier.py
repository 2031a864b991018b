"""A recording that steerd 0.1 made, two minutes with a brown-out and a death, with its own hands."""

import json
from pathlib import Path

from steerd.core.effects import Switched
from steerd.core.settings import RegretSettings
from steerd.replay.recorded import effects
from steerd.store.recording import VERSION, read
from tests.unit.test_replay_command import told
from tests.unit.test_replay_recorded import driven, write

FILE = Path(__file__).parent / "data" / "recording-0.1.jsonl.gz"
THEN = [("start", "fra1/wg0"), ("better", "ams1/wg0"), ("better", "fra1/wg0")]
"""What was decided, and why."""


def test_it_loads_with_the_settings_that_are_still_there():
    header, events = read(FILE)
    assert (header.version, header.exact) == (1, False)
    assert header.settings.rule == RegretSettings(price=100.0)
    assert header.settings.max_active == 12
    assert len(list(events)) > 200


def test_it_replays_and_moves_where_it_did():
    switches = [one for _, one in effects(*read(FILE)) if isinstance(one, Switched)]
    assert [one.new for one in switches] == [to for _, to in THEN]
    # What the kernel was made to have then is in the recording too, and belief follows the kernel.
    assert {one.rule for one in switches} <= {"first", "work-function", "forced", "kernel"}


def test_the_command_notes_that_decisions_may_differ(capsys):
    code, out, said = told(capsys, "replay", "--json", FILE)
    assert code == 0
    assert [one["to"] for one in json.loads(out)["switches"]] == [to for _, to in THEN]
    (note,) = said
    assert note.startswith(f"note: {FILE} was recorded by steerd 0.1, whose rule is gone: ")
    assert note.endswith("its decisions may differ from those that were made then")


def test_a_recording_of_this_version_is_not_noted(tmp_path, capsys):
    file = write(tmp_path, driven()[0])
    assert read(file)[0].version == VERSION
    code, _, said = told(capsys, "replay", "--json", file)
    assert (code, said) == (0, [])
