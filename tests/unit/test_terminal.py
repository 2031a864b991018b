"""What is printed, on terminals of any kind, of what others say."""

import os
import subprocess
import sys

import pytest

from steerd.cli.steerd import main as steerd
from steerd.text.lines import aligned, printable_lines
from tests.unit.test_steerctl import STATUS

NASTY = "fra1/\x1b[2J\x1b]0;mine\x07\x9b31m\u202e"


def nasty(**more):
    path = {**STATUS["paths"][0], "path": NASTY, "reason": f"lost: {NASTY} " + "long " * 40 + "…"}
    return {**STATUS, "paths": [path], **more}


@pytest.fixture
def asked():
    """steerctl, of a daemon that answers just this."""

    def asked(answer, *words, encoding):
        program = (
            "import sys; from steerd.cli import steerctl; "
            f"steerctl.ask = lambda *_: {answer!r}; sys.exit(steerctl.main({list(words)!r}))"
        )
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "LANG": "C", "PYTHONUTF8": "0"}
        return subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=False, timeout=30
        )

    return asked


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp437", "utf-8"])
@pytest.mark.parametrize("words", [("status",), ("status", "--json"), ("watch", "--count", "1"), ("why", "-v")])
def test_every_terminal_can_show_what_is_said(asked, encoding, words):
    text = [f"… {NASTY} »é«"]
    done = asked(
        nasty(ok=True, policies=[] if words[0] != "why" else [{"text": text, "details": text}]),
        *words,
        encoding=encoding,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    printed = done.stdout.decode(encoding)
    assert len(printed) > 10
    assert all(one.isprintable() or one == "\n" for one in printed)
    if words[0] == "why":
        assert printed.startswith("… " if encoding == "utf-8" else "... ")


def test_what_a_daemon_refuses_is_escaped_too(asked):
    done = asked({"ok": False, "error": NASTY, "problems": [NASTY]}, "reload", encoding="utf-8")
    assert done.returncode == 1
    assert all(one.isprintable() or one == "\n" for one in done.stderr.decode())


def test_an_answer_that_is_not_understood_gives_no_traceback(asked):
    done = asked({"ok": True, "gateway": "gw1"}, "status", encoding="utf-8")
    assert done.stderr == b""
    assert done.stdout.startswith(b"the answer cannot be shown (KeyError: ")


def test_names_in_traces_are_escaped(tmp_path, capsys):
    for name, content in (
        ("header.csv", "time_s,\x1b[31mpath,rtt_ms\n"),
        ("path.csv", f"time_s,path,rtt_ms\n0,{NASTY},1\n1,{NASTY},\n"),
        ("row.csv", "time_s,path,rtt_ms\n0,a,\x1b[2J\n"),
    ):
        (tmp_path / name).write_text(content)
        steerd(["replay", str(tmp_path / name)])
        said = "".join(capsys.readouterr())
        assert said
        assert all(one.isprintable() or one == "\n" for one in said)


def test_tables_without_rows_have_no_lines():
    assert aligned([]) == aligned([], right=True) == []


def test_lines_and_tabs_stay():
    assert printable_lines("a\n\tb\x1b") == "a\n\tb\\x1b"


@pytest.fixture
def printed(tmp_path):
    """How a command of the daemon's own ends whose output goes where ``redirections`` of a shell say."""
    good = tmp_path / "good.toml"
    good.write_text("[gateway]\nprobe_only = true\n")

    def printed(file, redirections):
        command = f'"{sys.executable}" -m steerd.cli.steerd check {file or good} {redirections}'
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=30)

    return printed


@pytest.mark.parametrize(
    ("redirections", "code", "said"),
    [
        (">/dev/full", 1, ["steerd: standard output: No space left on device"]),
        ("| true; exit ${PIPESTATUS[0]}", 1, []),
        (">&-", 0, []),
        ("2>&-", 0, []),
    ],
)
def test_output_that_cannot_be_printed_is_told_in_a_line_and_by_the_exit_code(printed, redirections, code, said):
    done = printed(None, redirections)
    assert done.returncode == code
    assert [line for line in done.stderr.splitlines() if not line.startswith("warning: ")] == said


@pytest.mark.parametrize("redirections", ["2>/dev/full", "2>&-", ">&- 2>&- <&-"])
def test_what_is_wrong_is_told_by_the_exit_code_where_nothing_can_be_printed(printed, redirections):
    done = printed("/nowhere", redirections)
    assert (done.returncode, done.stdout, done.stderr) == (78, "", "")


def test_no_socket_gets_the_number_of_a_closed_standard_descriptor():
    program = (
        "import socket, sys; from steerd.cli.terminal import prepare; prepare(); sys.exit(socket.socket().fileno())"
    )
    command = f'"{sys.executable}" -c "{program}" <&- >&- 2>&-'
    assert subprocess.run(["bash", "-c", command], check=False, timeout=30).returncode > 2
