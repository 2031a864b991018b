"""`steerd tune` as it is typed: what it finds, what it does not, what it writes, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from bench import shift_trace
from steerd.cli import arguments
from steerd.config.load import load
from steerd.replay.run import run
from steerd.tune.knobs import KEYS
from tests.unit.test_replay import write
from tests.unit.test_replay_command import told

BAD = """# mine
[score]
half_life = "60s"       # long
jitter_weight = 5

[steer]
ignore_below = "50ms"   # much
switch_price = "10ms for 10s"
"""
HEADER = "time_s,path,rtt_ms"


def shifting(file, seed=1, seconds=1200):
    file.write_text("\n".join(shift_trace.rows(seed, seconds)) + "\n")
    return file


def noise(file, seed, seconds=900):
    random = Random(seed)
    rows = [f"{n},{path},{30 + random.gauss(0, 4):.2f}" for n in range(seconds) for path in "abc"]
    return write(file, rows)


def config(tmp_path, text=BAD):
    file = tmp_path / "steerd.toml"
    file.write_text(text)
    return file


def tuned(capsys, *arguments):
    code, out, said = told(capsys, "tune", "--json", *arguments)
    assert (code, said) == (0, [])
    return json.loads(out)


def test_a_plainly_bad_configuration_gets_a_clearly_better_one_that_means_what_was_found(tmp_path, capsys):
    file, traces = config(tmp_path), [shifting(tmp_path / f"{seed}.csv", seed, 900) for seed in range(1, 7)]
    file.chmod(0o640)
    found = tuned(capsys, "-c", file, "--write", "--keep", "rule", *traces)
    assert found["better"]
    assert found["split"]["by"] == "files"
    assert not {one["trace"] for one in found["split"]["seen"]} & {one["trace"] for one in found["split"]["unseen"]}
    old, new = found["unseen"]["present"], found["unseen"]["found"]
    assert new["j"] < old["j"] - 1.0
    assert new["gap_left"] < 0.3 < old["gap_left"]
    assert found["written"]
    assert Path(found["backup"]).read_text() == BAD
    text = file.read_text()
    assert text.startswith("# mine\n[score]\n")
    assert '# much\nswitch_price = "10ms for 10s"\n' in text
    assert file.stat().st_mode & 0o777 == 0o640
    # What is written replays as it was told.
    settings = load(file, require_pops=False).core
    for one in found["traces"]:
        assert run(Path(one["trace"]), settings).report()["summary"]["j"] == pytest.approx(one["j_found"])
    again = tuned(capsys, "-c", file, "--candidates", "1", *traces)
    assert again["unseen"]["present"] == new


def test_of_one_trace_the_first_half_is_searched_and_the_table_says_what_came_of_it(tmp_path, capsys):
    file, trace = config(tmp_path), shifting(tmp_path / "t.csv", seconds=3600)
    code, out, said = told(capsys, "tune", "-c", file, "--keep", "rule", trace)
    assert (code, said) == (0, [])
    for expected in ("the first half of each trace", "GAP LEFT", "1800 s", "better on what was not searched", "# was "):
        assert expected in out
    assert file.read_text() == BAD
    assert sorted(one.name for one in tmp_path.iterdir()) == ["steerd.toml", "t.csv"]


@pytest.mark.parametrize("seed", range(3))
def test_noise_gives_nothing_better(tmp_path, seed, capsys):
    file = config(tmp_path, "")
    traces = [noise(tmp_path / f"{n}.csv", 10 * seed + n) for n in range(4)]
    code, out, _ = told(capsys, "tune", "-c", file, "--write", *traces)
    assert code == 0
    assert "nothing better was found: keep the present configuration" in out
    assert file.read_text() == ""
    assert not (tmp_path / "steerd.toml.before-tune").exists()


def test_what_was_found_is_not_better_than_itself(tmp_path, capsys):
    """One path, or one that is always the best: there is nothing to win."""
    rows = [f"{n},{path},{rtt + n % 3}" for n in range(600) for path, rtt in (("a", 20), ("b", 40))]
    found = tuned(capsys, "-c", config(tmp_path, ""), write(tmp_path / "t.csv", rows))
    assert (found["better"], found["judged"], found["changes"], found["toml"]) == (False, None, [], None)


def test_the_same_gives_the_same_and_the_unseen_part_is_not_seen(tmp_path, capsys):
    """Other rows after the first half change the verdict at most, never what is judged."""
    file, trace = config(tmp_path), shifting(tmp_path / "t.csv")
    first = tuned(capsys, "-c", file, trace)
    assert tuned(capsys, "-c", file, trace) == first
    rows = trace.read_text().splitlines()[1:]
    half = len(rows) // 2
    flat = rows[:half] + [f"{row.rpartition(',')[0]},{40 + n % 7}" for n, row in enumerate(rows[half:])]
    second = tuned(capsys, "-c", file, write(trace, flat))
    assert second["judged"]["knobs"] == first["judged"]["knobs"]
    assert (second["seen"], second["search"]) == (first["seen"], first["search"])
    assert second["unseen"] != first["unseen"]
    assert not second["better"]


def test_the_limits_end_the_search_and_it_says_what_was_not_tried(tmp_path, capsys):
    file, trace = config(tmp_path), shifting(tmp_path / "t.csv")
    found = tuned(capsys, "-c", file, "--candidates", "7", trace)
    assert (found["search"]["tried"], found["search"]["stopped"]) == (7, "candidates")
    assert any("threshold" in what for what in found["search"]["untried"])
    _, out, _ = told(capsys, "tune", "-c", file, "--candidates", "7", trace)
    assert "stopped by --candidates before all was tried" in out
    code, _, said = told(capsys, "tune", "-c", file, "--limit", "1ms", trace)
    assert (code, len(said)) == (1, 1)
    assert "longer --limit" in said[0]


def test_keys_can_be_kept_and_the_price_is_never_touched(tmp_path, capsys):
    file, trace = config(tmp_path), shifting(tmp_path / "t.csv")
    keep = [argument for key in KEYS if key != "ignore_below" for argument in ("--keep", key)]
    found = tuned(capsys, "-c", file, *keep, trace)
    assert {one["key"] for one in found["judged"]["knobs"]} <= {"steer.ignore_below"}
    assert arguments.KNOBS == KEYS
    dear = tuned(capsys, "-c", config(tmp_path, BAD.replace("for 10s", "for 60s")), "--candidates", "1", trace)
    assert dear["price"] == 600.0
    plain = tuned(
        capsys, "-c", config(tmp_path, '[steer]\nrule = "threshold"\nhold = "5s"\n'), "--candidates", "1", trace
    )
    assert plain["price"] == 100.0


def test_a_copy_is_no_unseen_trace(tmp_path, capsys):
    file, trace = config(tmp_path), shifting(tmp_path / "t.csv")
    copy = tmp_path / "copy.csv"
    copy.write_bytes(trace.read_bytes())
    found = tuned(capsys, "-c", file, "--candidates", "1", trace, copy)
    assert [one["trace"] for one in found["split"]["seen"]] == [str(trace)]
    assert found["split"]["left_out"] == [{"trace": str(copy), "reason": f"holds the same as {trace}"}]


def test_what_can_not_be_tuned_on_is_said_in_one_line(tmp_path, capsys):
    file, trace = config(tmp_path, ""), shifting(tmp_path / "t.csv")
    short = shifting(tmp_path / "short.csv", seconds=439)
    (tmp_path / "recording-1.jsonl.gz").write_bytes(b"")
    (tmp_path / "broken.csv").write_text(f"{HEADER}\n1,a,x\n")
    (tmp_path / "none").mkdir()
    pops = '[[pop]]\nname = "x"\npaths = [{ dev = "wg0", target = "192.0.2.1" }]\n'
    (tmp_path / "pops.toml").write_text(f'{pops}[[policy]]\nname = "p"\nprefixes = ["0.0.0.0/0"]\n')
    for code, what, *typed in [
        (1, "one alone must have 440", "-c", file, short),
        (1, "No such file", "-c", file, tmp_path / "missing.csv"),
        (1, "broken.csv:2: not a row", "-c", file, tmp_path / "broken.csv"),
        (1, "no trace in it", "-c", file, tmp_path / "none"),
        (1, "is not in the configuration", "-c", tmp_path / "pops.toml", trace),
        (2, "export-trace", "-c", file, tmp_path / "recording-1.jsonl.gz"),
        (78, "cannot be read", "-c", tmp_path / "none.toml", trace),
    ]:
        got, out, said = told(capsys, "tune", *typed)
        assert (got, out, len(said)) == (code, "", 1), typed
        assert what in said[0]
    (tmp_path / "steerd.toml.before-tune").mkdir()
    got, _, said = told(capsys, "tune", "-c", file, "--write", trace)
    assert (got, len(said)) == (1, 1)
    assert "is a folder" in said[0]
    for wrong in (["--limit", "0s"], ["--candidates", "0"], ["--keep", "switch_price"]):
        assert told(capsys, "tune", "-c", file, *wrong, trace)[0] == 2
    assert told(capsys, "tune", "-c", file)[0] == 2


def test_an_interrupt_ends_it_in_one_line_and_leaves_nothing_behind(tmp_path):
    file, trace = config(tmp_path), shifting(tmp_path / "t.csv", seconds=12_000)
    command = [sys.executable, "-m", "steerd.cli.steerd", "tune", "-c", str(file), "--write", str(trace)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        alone = len(os.sched_getaffinity(0)) == 1
        while not alone and process.poll() is None and not children.read_text():
            pass  # until the search has begun
        os.killpg(process.pid, signal.SIGINT)
        out, said = process.communicate(timeout=20)
    assert out == b""
    assert b"Traceback" not in said or alone
    assert process.returncode in ((130,) if not alone else (130, 1, -signal.SIGINT))
    assert file.read_text() == BAD
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_the_editor_of_toml_is_imported_by_nothing_else():
    code = "import sys, steerd.cli.steerd, steerd.cli.replay, steerd.daemon; sys.exit('tomlkit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
