"""Recordings: replayed exactly, settled like traces, and made traces of."""

import csv
import gzip
import json
import os
import time
from dataclasses import replace
from random import Random

import pytest

from steerd.core.effects import Steer, Switched
from steerd.core.engine import Engine
from steerd.core.events import Configured, Installed, Link, Outcome, PathMtu, Probed, Tunnel, UplinkPrice
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.daemon.driver import Driver
from steerd.replay.baselines import BASELINES
from steerd.replay.baselines.member import NAMES
from steerd.replay.export import rows
from steerd.replay.recorded import effects, replay
from steerd.store.recording import AGE_MAX, Header, Recording, read, recordings
from steerd.store.records import RecordError
from tests.unit.test_replay_command import told

P, Q = PathId("fra1/wg0"), PathId("ams1/wg0")
USERS, OTHERS = PolicyId("users"), PolicyId("others")
SETTINGS = Settings(
    paths=tuple(
        PathSettings(path, path.partition("/")[0], path, interval=0.5, standby_interval=0.5) for path in (P, Q)
    ),
    policies=(PolicySettings(USERS), PolicySettings(OTHERS, ((Q, "not this one"),))),
    round=0.5,
)
HEADER = Header(SETTINGS, Memory(), seed=42, epoch=7, now=1000.0, wall_ms=1_700_000_000_000)


def driven(silence=0.0, *, hole=False, capped=False):
    """A gateway's day in two minutes: what its engine was fed, with every wake-up, and all that it wanted."""
    engine = Engine(SETTINGS, Memory(), now=1000.0, epoch=7, draw=Random(42).random)
    draw, fed, wanted = Random(1), [], []

    def feed(event, now):
        fed.append((now, event))
        wanted.extend(engine.feed(event, now))
        for effect in wanted[-8:]:
            if isinstance(effect, Steer) and effect not in answered:
                answered.append(effect)
                feed(Installed(effect.policy, effect.best, effect.runner_up), now + 0.001)

    answered = []
    for n in range(1, 480):
        now = 1000.0 + n / 4 + (silence if n > 300 else 0.0)
        while engine.next_deadline() < now:
            feed(None, engine.next_deadline())
        path = P if n % 2 else Q
        bad = path == Q and 200 < n < 260
        rtt = 0.08 if path == P and 60 < n < 160 else 0.04 + draw.random() / 200
        feed(Probed(path, Outcome.OVERDUE if bad else Outcome.REPLY, now - rtt, rtt), now)
        if bad:
            feed(Probed(path, Outcome.LOST, now - rtt), now + 0.01)
        if n == 400 and hole:
            feed(PathMtu(P, 1380, 1420), now + 0.02)
        if n == 400 and capped:
            feed(UplinkPrice(P, 5.0, 0.95), now + 0.02)
        if n == 440:
            feed(Tunnel(P, "no handshake"), now + 0.02)
        if n == 460:
            feed(Tunnel(P, ""), now + 0.02)
    feed(Link(P, up=False), 1000.0 + 121.0 + silence)
    feed(Configured(replace(SETTINGS, round=1.0)), 1000.0 + 121.5 + silence)
    return fed, wanted


def write(folder, fed, header=HEADER):
    recording = Recording(folder, header)
    for begin in range(0, len(fed), 50):
        recording.append(fed[begin : begin + 50])
    recording.close()
    return folder / f"recording-{header.epoch}.jsonl.gz"


def test_every_effect_comes_again_in_order(tmp_path):
    fed, wanted = driven()
    events = [(now, event) for now, event in fed if event is not None]  # the daemon's timer is not recorded
    header, kept = read(write(tmp_path, events))
    assert [effect for _, effect in effects(header, kept)] == wanted
    assert sum(isinstance(effect, Switched) for effect in wanted) > 4


def test_a_black_hole_and_what_it_cost_come_again(tmp_path):
    fed, wanted = driven(hole=True)
    header, kept = read(write(tmp_path, fed))
    assert [effect for _, effect in effects(header, kept)] == wanted
    moved = [one for one in wanted if isinstance(one, Switched) and one.evidence.get(P, {}).get("mtu")]
    assert [(one.policy, one.old, one.new) for one in moved][:1] == [(USERS, P, Q)]
    assert 1100.0 < moved[0].at < 1104.0


def test_what_an_uplink_cost_comes_again(tmp_path):
    fed, wanted = driven(capped=True)
    header, kept = read(write(tmp_path, fed))
    assert [effect for _, effect in effects(header, kept)] == wanted
    moved = [one for one in wanted if isinstance(one, Switched) and one.evidence.get(P, {}).get("uplink")]
    assert [(one.policy, one.old, one.new) for one in moved][:1] == [(USERS, P, Q)]
    assert 1100.0 < moved[0].at < 1104.0


def test_a_long_quiet_time_replays_as_long_as_some_wake_up_in_it_was_kept(tmp_path):
    fed, wanted = driven(silence=300.0)
    sparse, last = [], -1e9
    for now, event in fed:  # as the driver does it
        if event is not None or now - last > 30.0:
            sparse.append((now, event))
            last = now
    header, kept = read(write(tmp_path, sparse))
    assert len(sparse) < len(fed)
    assert any(event is None for _, event in sparse)
    assert [effect for _, effect in effects(header, kept)] == wanted


def test_the_driver_tells_a_long_silence_from_a_short_one(monkeypatch):
    monkeypatch.setattr("steerd.daemon.driver.SILENCE", 0.05)
    engine = Engine(replace(SETTINGS, round=0.0), Memory(), now=time.monotonic(), epoch=1, draw=Random(1).random)
    kept = []
    driver = Driver(engine, record=lambda event, now: kept.append(event))
    driver.feed(Link(P, up=True))
    driver.feed(None)
    assert kept == [Link(P, True)]
    time.sleep(0.06)
    driver.feed(None)
    driver.feed(None)
    assert kept == [Link(P, True), None]


def test_a_recording_is_settled_by_rounds_for_one_policy(tmp_path, capsys):
    fed, wanted = driven()
    file = write(tmp_path, [(now, event) for now, event in fed if event is not None])
    code, out, _ = told(capsys, "replay", "--json", "--baselines", file)
    assert code == 0
    report = json.loads(out)
    made = [effect for effect in wanted if isinstance(effect, Switched)]
    assert [one["event_id"] for one in report["switches"]] == [one.event_id for one in made]
    first = report["switches"][0]
    assert first["at"] == 1000.0 + first["time_s"]
    assert first["wall_ms"] == 1_700_000_000_000 + round(first["time_s"] * 1000)
    summary = report["summary"]
    assert (summary["policy"], summary["round_s"], summary["price"]) == ("users", 0.5, 200.0)  # ms a sample of 0.5 s
    assert 230 <= summary["samples"] + 20 <= 243
    assert 0.0 <= summary["gap_left"] < 1.0
    assert len(summary["baselines"]) == len(BASELINES) + len(NAMES)
    _, out, _ = told(capsys, "replay", "--json", "--policy", "others", file)
    other = json.loads(out)["summary"]
    assert other["policy"] == "others"
    assert other["lost_ratio"] == 0.0 < summary["lost_ratio"]  # it may use the other path alone
    code, _, said = told(capsys, "replay", "--policy", "none", file)
    assert code == 1
    assert said == [f"steerd replay: {file}: no policy 'none' in it, but users, others"]
    code, out, _ = told(capsys, "replay", file, "--plot", tmp_path / "p.svg")
    assert code == 0
    assert "users: fra1/wg0 -> ams1/wg0" in out
    assert "absent (forced)" in (tmp_path / "p.svg").read_text()


def test_an_adopted_choice_is_a_choice(tmp_path, capsys):
    """After a restart the kernel's routes are what is in use: no sample counts as one without a choice."""
    fed = [(1000.0, Installed(USERS, Q))]
    for n in range(1, 240):
        fed += [
            (1000.0 + n / 2, Probed(path, Outcome.REPLY, 1000.0 + n / 2 - rtt, rtt))
            for path, rtt in ((P, 0.041), (Q, 0.04))
        ]
    file = write(tmp_path, fed)
    report = json.loads(told(capsys, "replay", "--json", file)[1])
    assert [one for one in report["switches"] if one["policy"] == "users"] == []
    summary = report["summary"]
    assert summary["adopted"] == Q
    assert summary["rtt_mean_ms"] == pytest.approx(40.0)
    assert summary["j"] == summary["j_start"] == summary["j_optimum"] == pytest.approx(40.0)
    assert "at start  on ams1/wg0" in told(capsys, "replay", file)[1]
    moved = [(now + 0.1, event) for now, event in driven()[0]]
    begun = json.loads(told(capsys, "replay", "--json", write(tmp_path, [(1000.0, Installed(USERS, P)), *moved]))[1])
    assert next(one["from"] for one in begun["switches"] if one["policy"] == "users") == P
    assert begun["summary"]["adopted"] == P


def test_what_no_daemon_recorded_is_said_in_one_line_and_comes_to_an_end(tmp_path, capsys):
    fed, _ = driven()
    head, *lines = gzip.decompress(write(tmp_path, fed).read_bytes()).decode().splitlines()
    at, rest = lines[30].split(",", 1)
    leg = lines[30].replace('"leg":0', '"leg":true')
    for line, what in [
        (f"[1.8446744073709552e19,{rest}", ":32: cannot be replayed: no clock shows the time 1.84467e+19"),
        (f"[NaN,{rest}", ":32: cannot be replayed: no clock shows the time nan"),
        (leg, ":32: "),
        ("[" * 5000, ":32: "),
        (f"{at},{{}}]", ":32: not a record"),
        (f"{at}, {json.dumps(json.loads(head)['settings'])}]", ":32: cannot be replayed: "),
        (lines[30].replace('"rtt":', '"rtt":1e400,"x":'), ":32: cannot be replayed: "),
    ]:
        file = tmp_path / "recording-9.jsonl.gz"
        file.write_bytes(gzip.compress("\n".join([head, *lines[:30], line, *lines[31:]]).encode()))
        code, _, said = told(capsys, "replay", file)
        assert (code, len(said)) == (1, 1), line
        assert f"{file}{what}" in said[0]
    for old, new in [
        ('"round": 0.5', '"round": 1e-9'),
        ('"legs": 1', '"legs": 100000000000'),
        ('"half_life": 2.0', '"half_life": 0.0'),
    ]:
        assert old in head
        file.write_bytes(gzip.compress("\n".join([head.replace(old, new), *lines]).encode()))
        code, _, said = told(capsys, "replay", file)
        assert (code, len(said)) == (1, 1), new
        assert said[0].startswith(f"steerd replay: {file}:")


def test_a_recording_whose_clock_goes_back_is_drawn_and_has_no_numbers_that_json_does_not_know(tmp_path, capsys):
    fed, _ = driven()
    odd = [*fed[:200], (0.0, fed[200][1]), *fed[201:]]
    settings = replace(SETTINGS, rule=replace(SETTINGS.rule, price=float("inf")))
    file = write(tmp_path, odd, replace(HEADER, settings=settings))
    code, out, _ = told(capsys, "replay", "--json", file, "--plot", tmp_path / "p.svg")
    assert code == 0
    assert "Infinity" not in out
    assert json.loads(out)["summary"]["price"] is None


def test_a_recording_with_bytes_changed_replays_or_is_refused_in_one_line(tmp_path, capsys):
    fed, _ = driven()
    text = gzip.decompress(write(tmp_path, fed[:200]).read_bytes())
    file, random = tmp_path / "recording-9.jsonl.gz", Random(3)
    refused = 0
    for n in range(150):
        changed = bytearray(text)
        until = len(text) if n % 2 else text.index(b"\n")
        for _ in range(random.choice((1, 1, 4))):
            place = random.randrange(until)
            changed[place] = random.choice(b'0123456789eE.-{}[]",:nN \x00\xff')
        file.write_bytes(gzip.compress(bytes(changed), compresslevel=1))
        code, _, said = told(capsys, "replay", "--json", file)
        assert code in (0, 1)
        assert len(said) == code
        refused += code
    assert 20 < refused < 150


def probed(path, outcome, sent_at, rtt=0.0, leg=0):
    return sent_at + (rtt or 1.0), Probed(path, outcome, sent_at, rtt, leg)


def test_the_worst_leg_counts_and_a_late_answer_undoes_the_loss_of_its_round():
    settings = replace(SETTINGS, round=2.0)
    began = replace(HEADER, settings=settings, now=0.0)
    events = [
        probed(P, Outcome.REPLY, 0.1, 0.02),
        probed(P, Outcome.REPLY, 0.1, 0.03, leg=1),
        probed(P, Outcome.LOST, 2.0),
        (3.2, Probed(P, Outcome.LATE, 2.0, 1.2)),
        probed(P, Outcome.REPLY, 4.1, 0.02),
        probed(P, Outcome.LOST, 4.1, leg=1),
        (6.5, Probed(P, Outcome.LOCAL, 6.5)),
    ]
    found = replay("x", began, events)
    assert found.account.columns[P] == [30.0, 1200.0, None]
    assert found.rows == 6


def test_a_trace_has_a_row_for_each_probe_and_a_late_answer_takes_the_place_of_its_loss():
    events = [
        (0.5, Link(P, up=True)),
        probed(P, Outcome.REPLY, 1.0, 0.02),
        (1.05, Probed(P, Outcome.DUPLICATE, 1.0, 0.05)),
        (1.1, Probed(Q, Outcome.OVERDUE, 1.0)),
        (2.0, Probed(Q, Outcome.LOST, 1.0)),
        (2.5, Probed(P, Outcome.LOST, 1.5)),
        (3.0, Probed(Q, Outcome.LATE, 1.0, 2.0)),
        (3.1, Probed(P, Outcome.LOCAL, 3.1)),
        (3.2, Probed(P, Outcome.REPLY, 3.1, 0.1, leg=1)),
        (40.0, None),
        (41.0, Probed(P, Outcome.LATE, 1.5, 39.5)),
    ]
    assert list(rows(events)) == [
        (1.02, P, 20.0),
        (2.5, P, None),
        (3.0, Q, 2000.0),
        (41.0, P, 39_500.0),  # too late: its loss was told
    ]
    assert list(rows(events, leg=1)) == [(3.2, P, 100.0)]


def config(tmp_path):
    file = tmp_path / "steerd.toml"
    file.write_text(f'[store]\npath = "{tmp_path}"\n')
    return file


def test_an_exported_trace_is_in_wall_time_and_replays(tmp_path, capsys):
    fed, _ = driven()
    now_ms = round(time.time() * 1000)
    write(tmp_path, fed, replace(HEADER, epoch=8, wall_ms=now_ms - 60_000))
    first = write(tmp_path, fed, replace(HEADER, epoch=7, wall_ms=now_ms - 300_000))
    os.utime(first, (time.time() - 200.0,) * 2)
    out = tmp_path / "out.csv.xz"
    code, _, said = told(capsys, "export-trace", "-c", config(tmp_path), "-o", out)
    assert code == 0
    assert said == [f"{out}: 958 rows of 2 recordings"]
    assert not list(tmp_path.glob("*.part"))
    code, told_rows, _ = told(capsys, "export-trace", "-c", config(tmp_path), "--since", "100")
    listed = list(csv.reader(told_rows.splitlines()))
    assert len(listed) == 1 + 479
    assert float(listed[1][0]) == pytest.approx(now_ms / 1000 - 60, abs=1)
    code, report, _ = told(capsys, "replay", "--json", out)
    assert code == 0
    assert sorted(json.loads(report)["summary"]["paths"]) == sorted([P, Q])


def test_what_can_not_be_exported_is_said(tmp_path, capsys):
    code, _, said = told(capsys, "export-trace", "-c", config(tmp_path))
    assert (code, len(said)) == (1, 1)
    assert "record = true" in said[0]
    (tmp_path / "recording-1.jsonl.gz").write_bytes(gzip.compress(b'{"version": 3}\n'))
    out = tmp_path / "out.csv"
    code, _, said = told(capsys, "export-trace", "-c", config(tmp_path), "-o", out)
    assert (code, len(said)) == (1, 1)
    assert "recording-1.jsonl.gz:1: a recording of version 3" in said[0]
    assert not out.exists()
    assert told(capsys, "export-trace", "-c", tmp_path / "none.toml")[0] == 1


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ([], ":1: not the beginning"),
        (["{}"], ":1: not the beginning"),
        (["[1]"], ":1: not the beginning"),
        (['{"version": 7}'], ":1: a recording of version 7; this steerd reads versions 1 to 2"),
        ([None, '[1.0, {"kind": "Nothing"}]'], ":2: not a record of a known kind"),
        ([None, "[1.0, null]", "[1.0"], ":3: "),
    ],
)
def test_what_is_no_recording_names_the_line(tmp_path, lines, what, capsys):
    whole = write(tmp_path, [])
    header = gzip.decompress(whole.read_bytes()).decode().strip()
    whole.write_bytes(gzip.compress("".join(f"{line or header}\n" for line in lines).encode()))
    code, _, said = told(capsys, "replay", whole)
    assert (code, len(said)) == (1, 1)
    assert f"{whole}{what}" in said[0]


def test_a_recording_cut_off_anywhere_replays_up_to_the_cut(tmp_path):
    fed, _ = driven()
    file = write(tmp_path, fed)
    data = file.read_bytes()
    whole = list(effects(*read(file)))
    lengths = set()
    for keep in range(len(data) - 1, 600, -len(data) // 20):
        file.write_bytes(data[:keep])
        some = list(effects(*read(file)))
        assert some == whole[: len(some)]
        lengths.add(len(some))
    assert len(lengths) > 5


def test_recordings_go_when_they_are_old_and_a_run_ends_at_that_age(tmp_path):
    now = time.time()
    for epoch, days in ((1, 15), (2, 13), (3, 0)):
        os.utime(write(tmp_path, [], replace(HEADER, epoch=epoch)), (now - days * 86_400,) * 2)
    recording = Recording(tmp_path, replace(HEADER, epoch=4))
    assert [file.name for file in recordings(tmp_path)] == [f"recording-{epoch}.jsonl.gz" for epoch in (2, 3, 4)]
    recording.append([(1000.0 + AGE_MAX, None)])
    with pytest.raises(OSError, match="greatest age"):
        recording.append([(1000.1 + AGE_MAX, None)])
    recording.close()
    assert len(list(read(tmp_path / "recording-4.jsonl.gz")[1])) == 1
    with pytest.raises(RecordError):
        read(write(tmp_path, [], replace(HEADER, settings=replace(SETTINGS, round="soon"))))
