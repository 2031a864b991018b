"""Options that stand anywhere, files with and without -c, versions, and helps that say something."""

import re
from pathlib import Path

import pytest

from steerd import __version__
from steerd.cli import steerctl, steerd
from steerd.control.verbs import VERBS
from tests.unit.test_steerctl import daemon

assert daemon

READS_ONE = ("run", "check", "guard", "cleanup", "export-trace")
STEERD = (*READS_ONE, "init", "replay", "demo", "reflect")


@pytest.mark.parametrize("verb", READS_ONE)
def test_the_configuration_is_named_before_the_verb_behind_it_or_without_c(verb, tmp_path, capsys):
    named = str(tmp_path / "named.toml")
    for words in (["-c", named, verb], [verb, "-c", named], [verb, named], [verb, f"--config={named}"]):
        assert steerd.main(words) == (78 if verb == "check" else 1)
        assert named in capsys.readouterr().err, words


def test_a_configuration_that_is_named_twice_is_a_mistake(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        steerd.main(["check", "-c", "a.toml", "b.toml"])
    assert stopped.value.code == 2
    assert "named twice: -c a.toml and b.toml" in capsys.readouterr().err
    assert steerd.main(["-c", str(tmp_path / "a"), "check", "-c", str(tmp_path / "b")]) == 78
    assert str(tmp_path / "b") in capsys.readouterr().err  # what is said last counts


def test_findings_as_json_are_there_with_live_only(capsys):
    with pytest.raises(SystemExit) as stopped:
        steerd.main(["check", "--json", "a.toml"])
    assert stopped.value.code == 2
    assert "--json" in capsys.readouterr().err


def test_what_is_to_be_written_is_named_once_and_is_not_there_yet(tmp_path, capsys):
    there = tmp_path / "steerd.toml"
    there.write_text("mine")
    for words in (["init", "-o", str(there)], ["init", "-c", str(there)], ["-c", str(there), "init"]):
        assert steerd.main(words) == 1
        assert f"{there} exists and is not overwritten" in capsys.readouterr().err
    assert there.read_text() == "mine"
    notice = (Path(__file__).parents[2] / "packaging/deb/steerd.toml").read_text()
    for text in (f'{notice}[gateway]\nname = "mine"\n', notice.partition("\n")[2], ""):
        there.write_text(text)
        assert steerd.main(["init", "-o", str(there)]) == 1
        assert f"{there} exists and is not overwritten" in capsys.readouterr().err
        assert there.read_text() == text
    with pytest.raises(SystemExit) as stopped:
        steerd.main(["-c", str(there), "init", "-o", "-"])
    assert stopped.value.code == 2


def test_what_has_no_configuration_by_default_has_none_still(tmp_path, capsys):
    trace = tmp_path / "trace.csv"
    trace.write_text("time_s,path,rtt_ms\n1,a,10\n2,a,10\n")
    assert steerd.main(["replay", str(trace), "--json"]) == 0
    assert steerd.main(["-c", str(tmp_path / "missing"), "replay", str(trace)]) == 1
    assert "missing" in capsys.readouterr().err


@pytest.mark.parametrize("main", [steerd.main, steerctl.main])
def test_both_commands_say_their_version(main, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.split()[1] == __version__


def test_steerctls_options_stand_before_and_behind_the_verb(daemon, tmp_path, capsys):
    path, asked = daemon
    file = tmp_path / "steerd.toml"
    file.write_text(f'[gateway]\nprobe_only = true\n[control]\nsocket = "{path}"\n')
    for words in (
        ["--socket", path, "--json", "status"],
        ["status", "--socket", path, "--json"],
        ["--json", "status", "--socket", path],
        ["-c", str(file), "status", "--json"],
        ["status", "-c", str(file), "--json"],
    ):
        assert steerctl.main(words) == 0, words
        assert capsys.readouterr().out.startswith("{"), words
    assert asked == [{"verb": "status"}] * 5
    file.write_text("nonsense")
    assert steerctl.main(["-c", str(file), "status"]) == 78
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (steerd.main, []),
        *((steerd.main, [verb]) for verb in STEERD),
        (steerctl.main, []),
        *((steerctl.main, [verb]) for verb in VERBS),
        (steerctl.main, ["send", "drain"]),
    ],
)
def test_every_option_says_what_it_is_for(main, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    for place, line in enumerate(lines):
        if re.match(r"  -", line):
            same, following = line.strip(), lines[place + 1] if place + 1 < len(lines) else ""
            assert re.search(r"\S  +\S", same) or following.startswith(" " * 20), (words, line)
    assert not words or re.search(r"\n\n[A-Z].*?\.\n\n", shown, re.DOTALL), words
