"""Recordings and traces in which anything may be written: one line, and an exit code."""

import gzip
import json
import lzma
import tracemalloc
from math import inf, nan
from pathlib import Path
from random import Random

import pytest

from steerd.cli.steerd import main
from steerd.cli.verbs import replay
from steerd.store.recording import Recording
from tests.unit.test_replay_recorded import HEADER, driven

ZEROS = 64 << 20
ODD = [2**64, -(2**63), inf, -inf, nan, 1e300, 1e-300, 10**400, 2**40, 2**53, 0, -1, "x", None, [], {}, True]
TRACE = "time_s,path,rtt_ms\n0,a,1\n0,b,2\n1,a,1\n1,b,\n"
EXAMPLE = (Path(__file__).parents[2] / "docs" / "example.csv").read_bytes()[:4000]


@pytest.fixture
def replayed(tmp_path, capsys):
    """What is said of a file with this in it; nothing if it can be replayed."""

    def replayed(name: str, content: bytes) -> str:
        file = tmp_path / name
        file.write_bytes(content)
        code = main(["replay", "--json", str(file)])
        said = capsys.readouterr()
        assert code in (0, 1)
        assert (code == 1) == (not said.out)
        if code == 1:
            (line,) = said.err.splitlines()
            assert line.isprintable()
            assert str(file) in line
        return said.err

    return replayed


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The lines of a recording."""
    folder = tmp_path_factory.mktemp("recorded")
    recording = Recording(folder, HEADER)
    recording.append(driven()[0][:60])
    recording.close()
    (file,) = folder.iterdir()
    return gzip.decompress(file.read_bytes()).decode().splitlines()


def places(at, path=()):
    """Every place in some JSON."""
    if path:
        yield path
    inner = at.items() if isinstance(at, dict) else enumerate(at) if isinstance(at, list) else ()
    for step, value in inner:
        yield from places(value, (*path, step))


def changed(line: str, place, value) -> str:
    whole = json.loads(line)
    at = whole
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    return json.dumps(whole)


def test_a_recording_in_which_one_thing_is_odd_is_replayed_or_refused_in_a_line(replayed, recorded):
    draw, refused = Random(1), 0
    for n in range(150):
        lines = list(recorded)
        line = 0 if n % 2 else draw.randrange(1, len(lines))
        place = draw.choice(list(places(json.loads(lines[line]))))
        lines[line] = changed(lines[line], place, draw.choice(ODD))
        content = gzip.compress("\n".join([*lines, ""]).encode(), 1)
        refused += bool(replayed("recording-7.jsonl.gz", content))
    assert refused > 50


@pytest.mark.parametrize("time", ODD[:11], ids=str)
def test_a_recording_whose_clock_is_odd_comes_to_an_end(replayed, recorded, time):
    for line, place in ((0, ("now",)), (20, (0,)), (0, ("settings", "round"))):
        lines = list(recorded)
        lines[line] = changed(lines[line], place, time)
        replayed("recording-7.jsonl.gz", gzip.compress("\n".join([*lines, ""]).encode(), 1))


@pytest.mark.parametrize("odd", ["18446744073709551616", "nan", "inf", "1e999", 5000 * "9", "\x1b[2J", "\0", '"', "-1"])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_trace_with_an_odd_row_is_replayed_or_refused_in_a_line(replayed, odd, column):
    row = ["2", "a", "3"]
    row[column] = odd
    content = f"{TRACE}{','.join(row)}\n".encode()
    for name, packed in (
        ("a.csv", content),
        ("a.csv.gz", gzip.compress(content)),
        ("a.csv.xz", lzma.compress(content)),
    ):
        replayed(name, packed)
        replayed(name, packed[:-3] + b"\xff\xfe")


def test_bytes_that_changed_in_a_trace_are_replayed_or_refused_in_a_line(replayed):
    draw = Random(2)
    for _ in range(100):
        content = bytearray(EXAMPLE)
        for _ in range(draw.choice((1, 3, 30))):
            content[draw.randrange(len(content))] = draw.randrange(256)
        replayed("a.csv", bytes(content))


def test_whatever_a_trace_makes_of_us_it_is_a_line(replayed, monkeypatch):
    monkeypatch.setattr(replay, "run", lambda *_, **__: {}["nobody expected this"])
    assert replayed("a.csv", TRACE.encode()).endswith("a.csv: cannot be replayed: 'nobody expected this'\n")


@pytest.mark.parametrize(
    ("name", "begins", "most"),
    [
        ("a.csv.gz", b"time_s,path,rtt_ms\n0,a,", 4 << 20),
        ("a.csv.gz", b"", 4 << 20),
        ("recording-7.jsonl.gz", b"", 40 << 20),
        ("a.json.gz", b"[{", 4 << 20),
    ],
)
def test_a_line_without_end_is_read_as_far_as_a_line_may_go(replayed, name, begins, most):
    content = gzip.compress(begins + b"0" * ZEROS, 1)
    tracemalloc.start()
    said = replayed(name, content)
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert said
    assert highest < most
