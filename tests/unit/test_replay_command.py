"""`steerd replay` and `steerd export-trace` as they are typed, right and wrong."""

import gzip
import json
import lzma
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import example_trace
from steerd.cli.steerd import main
from steerd.core.settings import Settings
from steerd.replay.baselines import BASELINES
from steerd.replay.baselines.member import NAMES
from steerd.replay.run import run
from steerd.replay.shown import picture
from tests.unit.test_replay import step, write


@pytest.fixture
def trace(tmp_path):
    return write(tmp_path / "t.csv", step())


def told(capsys, *arguments):
    """The exit code, standard output and the lines of standard error."""
    try:
        code = main([str(one) for one in arguments])
    except SystemExit as error:
        code = error.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err.splitlines()


DOCS = Path(__file__).parents[2] / "docs"
CONTRACT = ["time_s", "from", "to", "reason"]


def test_json_is_as_promised_and_has_no_baselines_unless_asked(trace, capsys):
    _, out, _ = told(capsys, "replay", "--json", trace)
    report = json.loads(out)
    assert list(report) == ["trace", "switches", "summary"]
    assert all(list(one) == CONTRACT for one in report["switches"])
    summary = report["summary"]
    assert "baselines" not in summary
    assert "prices" not in summary
    assert summary["rule"] == "panel"
    _, out, _ = told(capsys, "replay", "--json", "--baselines", trace)
    rules = json.loads(out)["summary"]["baselines"]
    assert [one["rule"] for one in rules] == [*BASELINES, *(f"{name} alone" for name in NAMES)]
    stay = rules[0]
    assert (stay["j"], stay["gap_left"], stay["switches"]) == (summary["j_start"], 1.0, 0)
    assert (stay["rtt_mean_ms"], stay["rtt_p95_ms"], stay["slow_ratio"]) == ((10 * 20 + 30 * 70) / 40, 70.0, 0.75)
    assert stay["rtt_mean_ms"] > summary["rtt_mean_ms"]


def test_the_baselines_can_be_left_out_of_the_table(trace, capsys):
    assert "babeld" in told(capsys, "replay", trace)[1]
    assert "babeld" not in told(capsys, "replay", "--no-baselines", trace)[1]


def test_prices_settle_the_same_choices(trace, capsys):
    _, out, _ = told(
        capsys, "replay", "--json", trace, "--price", "10ms for 10s", "--price", "1ms for 1s", "--price", "5ms for 1m"
    )
    summary = json.loads(out)["summary"]
    assert [one["price"] for one in summary["prices"]] == [100.0, 1.0, 300.0]
    own, cheap, dear = summary["prices"]
    assert {name: summary[name] for name in own} == own
    switches, counted = summary["switches"], summary["samples"]
    assert dear["j"] - own["j"] == pytest.approx(200.0 * switches / counted)
    assert own["j"] - cheap["j"] == pytest.approx(99.0 * switches / counted)
    assert dear["j_start"] == own["j_start"]
    assert cheap["j_optimum"] < own["j_optimum"]
    code, _, said = told(capsys, "replay", trace, "--price", "10ms")
    assert code == 2
    assert "10ms for 10s" in said[-1]


def test_a_folder_means_the_traces_in_it_and_in_its_folders(tmp_path, trace, capsys):
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ("b/2.csv.xz", "b/1.csv.gz", "b/c/deep.csv", "b/README.md", "z.csv"):
        write(tmp_path / name, step())
    _, out, _ = told(capsys, "replay", "--json", tmp_path)
    assert [one["trace"] for one in json.loads(out)] == [
        str(tmp_path / name) for name in ("t.csv", "z.csv", "b/1.csv.gz", "b/2.csv.xz")
    ]
    code, out, _ = told(capsys, "replay", tmp_path / "b", trace)
    assert code == 0
    assert "all 4 traces together" in out
    _, out, _ = told(capsys, "replay", "--json", tmp_path / "b" / "c")
    assert isinstance(json.loads(out), dict)


def test_the_example_of_the_docs_is_what_its_command_makes_and_what_replay_says_of_it(capsys):
    example_trace.main()
    assert capsys.readouterr().out == (DOCS / "example.csv").read_text()
    _, out, _ = told(capsys, "replay", DOCS / "example.csv")
    page = (DOCS / "replay.md").read_text()
    lines = [line for line in out.splitlines()[1:] if line.startswith("  ")]
    assert len(lines) > len(BASELINES) + len(NAMES)
    assert [line for line in lines if line not in page] == []


def test_wrong_things_are_said_in_one_line(tmp_path, trace, capsys):
    (tmp_path / "none").mkdir()
    cut = lzma.compress(trace.read_bytes() * 50)
    (tmp_path / "cut.csv.xz").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(trace.read_bytes())[:-20])
    for wrong, what in [
        ("none", "no trace in it"),
        ("missing.csv", "No such file"),
        ("cut.csv.xz", ": cannot be read: Compressed file ended"),
        ("cut.csv.gz", "cannot be read: Compressed file ended"),
    ]:
        code, _, said = told(capsys, "replay", "--no-baselines", tmp_path / wrong)
        assert (code, len(said)) == (1, 1), wrong
        assert said[0].startswith(f"steerd replay: {tmp_path / wrong}:")
        assert what in said[0]
    assert told(capsys, "replay", "--plot", tmp_path / "p.svg", trace, trace)[::2] == (
        2,
        ["steerd replay: --plot draws one trace, not 2"],
    )
    code, _, said = told(capsys, "replay", "--plot", tmp_path / "no" / "p.svg", trace)
    assert (code, len(said)) == (1, 1)
    assert told(capsys, "replay")[0] == 2


def test_a_picture_shows_paths_choices_losses_and_reasons(tmp_path, capsys):
    rows = [row for row in step() if row != "31,b,30"]
    rows.insert(63, "31,b,")
    name = tmp_path / "<odd> & named.csv"
    assert told(capsys, "replay", write(name, rows), "--plot", tmp_path / "p.svg")[0] == 0
    text = (tmp_path / "p.svg").read_text()
    root = ET.fromstring(text)
    said = "\n".join(element.text or "" for element in root.iter())
    assert "a to b, better" in said
    assert "better: b" in said
    assert "lost" in said
    assert "<odd> & named.csv" in said
    rects = [element for element in root.iter("{http://www.w3.org/2000/svg}rect") if len(element)]
    assert [rect[0].text for rect in rects] == ["a", "b"]
    assert sum(float(rect.get("width")) for rect in rects) == pytest.approx(picture.WIDTH, abs=20)


def test_a_picture_needs_no_style_sheet_and_survives_control_characters(tmp_path, capsys):
    """What converts SVG to other formats knows no variables, and XML holds no ESC."""
    rows = [row.replace("b", "b\x1b[31m") for row in step()]
    assert told(capsys, "replay", write(tmp_path / "t.csv", rows), "--plot", tmp_path / "p.svg")[0] == 0
    text = (tmp_path / "p.svg").read_text()
    root = ET.fromstring(text)
    assert "var(" not in text
    assert "<style" not in text
    assert not [one for one in root.iter() if "class" in one.keys() or "style" in one.keys()]  # noqa: SIM118
    for one in root.iter("{http://www.w3.org/2000/svg}text"):
        assert one.get("fill", "").startswith("#")
    assert "b\\x1b[31m" in "".join(root.itertext())


def test_a_picture_is_svg_or_nothing(tmp_path, trace, capsys):
    for name in ("p.png", "p", "p.svgz"):
        code, out, said = told(capsys, "replay", trace, "--plot", tmp_path / name)
        assert (code, out, len(said)) == (2, "", 1)
        assert said[0] == f"steerd replay: --plot draws SVG: {tmp_path / name} must end in .svg"
        assert not (tmp_path / name).exists()
    assert told(capsys, "replay", trace, "--plot", tmp_path / "P.SVG")[0] == 0


def test_what_a_terminal_would_obey_is_printed_escaped(tmp_path, capsys):
    header = write(tmp_path / "h.csv", [], header="time_s,\x1b[2Jpath,rtt_ms")
    rows = [row.replace("b", "b\x1b]0;x\x07") for row in step()]
    paths = write(tmp_path / "\x1b[7mt.csv", rows)
    configured = write(tmp_path / "c.csv", ["0,\x1b[5m,20"])
    config = tmp_path / "steerd.toml"
    config.write_text('[[pop]]\nname = "fra1"\npaths = [{ dev = "wg0", target = "10.0.0.1" }]\n')
    for arguments in ([header], [paths], [tmp_path / "\x1b[7mnone.csv"], ["-c", config, configured]):
        _, out, said = told(capsys, "replay", *arguments)
        assert "\x1b" not in out + "".join(said)
        assert "\\x1b[" in out + "".join(said)


def test_switches_are_told_by_the_time_since_the_start_and_by_the_clock_where_there_is_one(tmp_path, capsys):
    unix = [f"{1_795_980_000 + n / 4:.2f},{p},{20 if n < 130 or p == 'b' else 90}" for n in range(240) for p in "ab"]
    _, out, _ = told(capsys, "replay", write(tmp_path / "t.csv", unix))
    first, second = out.splitlines()[-2:]
    assert first == "           0 s  2026-11-29 19:20:00Z  first a  (start)"
    assert second.split()[1:4] == ["s", "2026-11-29", "19:20:33Z"] or second.split()[1:4] == [
        *("s", "2026-11-29", "19:20:34Z")
    ]
    assert 32.5 <= float(second.split()[0]) < 36.0
    long = [f"{5000 + n},{p},{20 if n < 4000 or p == 'b' else 90}" for n in range(4100) for p in "ab"]
    _, out, _ = told(capsys, "replay", write(tmp_path / "u.csv", long))
    assert out.splitlines()[-2] == "       0:00:00  first a  (start)"
    assert out.splitlines()[-1].startswith("       1:06:4")


@pytest.mark.parametrize("rows", [[], ["5,a,20"], ["5,a,"], [f"{n},a," for n in range(40)], ["1e9,a,0", "1e9,b,0"]])
def test_a_picture_of_next_to_nothing_is_one_too(tmp_path, rows, capsys):
    assert told(capsys, "replay", write(tmp_path / "t.csv", rows), "--plot", tmp_path / "p.svg")[0] == 0
    ET.parse(tmp_path / "p.svg")


def test_a_picture_of_a_long_trace_is_small_and_hides_no_spike(tmp_path, capsys):
    rows = [f"{n},p{p},{'' if n % 97 == p else 30 + 10 * p + n % 13}" for n in range(20_000) for p in range(10)]
    rows[100_004] = "10000,p4,9000"
    assert (
        told(capsys, "replay", "--no-baselines", write(tmp_path / "t.csv", rows), "--plot", tmp_path / "p.svg")[0] == 0
    )
    text = (tmp_path / "p.svg").read_text()
    assert len(text) < 1_000_000
    assert "the highest is 9000 ms" in text
    assert f"{picture.LEFT + picture.WIDTH // 2} {picture.TOP:.1f}" in text


def test_replaying_with_somebody_looking_on_changes_nothing(tmp_path, trace):
    seen = []

    class Watcher:
        def sample(self, trace, swept):
            seen.append(swept.sent_at)

    assert run(trace, Settings(), watchers=[Watcher()]).report() == run(trace, Settings()).report()
    assert seen == [float(n) for n in range(60)]
