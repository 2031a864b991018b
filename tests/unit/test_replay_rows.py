"""Traces that are kept in memory."""

from steerd.core.settings import Settings
from steerd.replay.run import choices, run
from steerd.replay.trace.rows import read
from tests.unit.test_replay import step, write


def test_a_trace_kept_in_memory_gives_the_choices_and_prices_of_its_file(tmp_path):
    rows = [row for row in step() if row not in ("7,b,30", "20,a,20")]
    rows.insert(rows.index("41,a,70"), "41,c,")
    kept = read(write(tmp_path / "t.csv", rows), {})
    outcome = run(tmp_path / "t.csv", Settings())
    assert list(kept.times) == [float(n) for n in range(60)]
    for _ in range(2):
        assert choices(kept.replayed(), Settings()) == outcome.choices
    assert kept.account().columns == outcome.account.columns
