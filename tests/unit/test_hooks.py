"""Hooks by real programs: whatever these do, whoever tells them never waits."""

import json
import logging
import os
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from steerd.config.hook import HookSettings
from steerd.hooks.command import run
from steerd.hooks.hooks import WAITING, Hooks
from steerd.hooks.notice import HookError, Notice, Topic

BODY = b'{"event": "switch"}\n'
US = "" if os.geteuid() else "root"


def notice(topic=Topic.SWITCH, text="a moved to b"):
    return Notice(topic, "gw", "2026-11-30T12:00:00.000Z", text, {"policy": "default"})


def command(script, timeout=10.0):
    run(("/bin/sh", "-c", script), BODY, user=US, timeout=timeout)


def test_a_program_gets_the_notice_on_its_standard_input(tmp_path):
    command(f"cat > {tmp_path}/told")
    assert (tmp_path / "told").read_bytes() == BODY


def test_one_that_reads_nothing_is_as_good():
    command("exit 0")
    command("exec < /dev/null")


def test_its_environment_is_not_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "of ours")
    command(f"env > {tmp_path}/told; pwd >> {tmp_path}/told")
    told = (tmp_path / "told").read_text()
    assert "SECRET" not in told
    assert "PATH=" in told
    assert told.splitlines()[-1] == "/"


def test_one_that_fails_is_told_by_its_last_line():
    with pytest.raises(HookError, match=r"^exit code 3: no mail today$"):
        command("echo it begins >&2; echo no mail today >&2; exit 3")
    with pytest.raises(HookError, match=r"^signal 9$"):
        command("kill -9 $$")


def test_control_characters_are_escaped():
    with pytest.raises(HookError) as raised:
        command(r"printf '\033[31mred' >&2; exit 1")
    assert "\x1b" not in str(raised.value)


def test_one_that_is_not_there_is_told():
    with pytest.raises(HookError, match=r"cannot be run: .*No such file"):
        run(("/nowhere/at/all",), BODY, user=US, timeout=1.0)
    with pytest.raises(HookError, match="there is no user nobody-here"):
        run(("/bin/true",), BODY, user="nobody-here", timeout=1.0)


def test_one_that_prints_ten_megabytes_is_heard_to_its_end():
    with pytest.raises(HookError, match=r"^exit code 1: the end$") as raised:
        command("head -c 10000000 /dev/zero >&2; head -c 10000000 /dev/zero; echo >&2; echo the end >&2; exit 1")
    assert len(str(raised.value)) < 100


def test_one_that_hangs_is_killed_with_all_it_started(tmp_path):
    with pytest.raises(HookError, match=r"^was killed after 0.3 s$"):
        command(f"sleep 60 & echo $! > {tmp_path}/child; wait", timeout=0.3)
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        try:
            state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.02)
    raise AssertionError("its child lives")


def test_one_that_succeeds_does_not_fail_by_what_it_leaves_behind():
    # Each of them holds its standard error open.
    for left in ("sleep 60", "setsid sleep 5", "sh -c 'while :; do echo noise; done' >&2"):
        command(f"{left} & exit 0", timeout=30.0)
    with pytest.raises(HookError, match=r"^exit code 4: too bad$"):
        command("setsid sleep 5 & echo too bad >&2; exit 4", timeout=30.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")
def test_roots_programs_run_as_somebody_else_without_rights():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to others
        Path(folder).chmod(0o777)
        told = Path(folder) / "told"
        script = f"id -un > {told}; grep CapEff /proc/self/status >> {told}"
        try:
            run(("/bin/sh", "-c", script), BODY, user="nobody", timeout=9)
        except HookError as error:
            if "cannot be run" in str(error):
                pytest.skip("this user namespace has no other user")
            raise
        name, rights = told.read_text().splitlines()
    assert name == "nobody"
    assert int(rights.split()[1], 16) == 0


@contextmanager
def hooks(*settings):
    counts, lock = Counter(), threading.Lock()

    def counted(name, result):
        with lock:
            counts[name, result] += 1

    them = Hooks(counted)
    them.configure(settings)
    try:
        yield them, counts
    finally:
        them.stop()


def until(true):
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("in vain")


def teeing(name, file, on=("switch",), **more):
    return HookSettings(name, frozenset(on), run=("/usr/bin/tee", "-a", str(file)), user=US, **more)


def test_each_hook_hears_what_it_asked_for_in_order(tmp_path):
    with hooks(teeing("a", tmp_path / "a"), teeing("b", tmp_path / "b", on=("path", "outage"))) as (them, counts):
        for number in range(5):
            them.tell(notice(text=f"switch {number}"))
        them.tell(notice(Topic.OUTAGE, "out"))
        until(lambda: counts["a", "done"] == 5 and counts["b", "done"] == 1)
    lines = [json.loads(line) for line in (tmp_path / "a").read_text().splitlines()]
    assert [one["text"] for one in lines] == [f"switch {number}" for number in range(5)]
    assert lines[0] == {
        "event": "switch",
        "gateway": "gw",
        "at": "2026-11-30T12:00:00.000Z",
        "text": "switch 0",
        "policy": "default",
    }
    assert json.loads((tmp_path / "b").read_text())["text"] == "out"


def test_one_that_hangs_keeps_nobody_waiting_and_nothing_is_lost_unsaid(tmp_path, caplog):
    hanging = HookSettings("slow", frozenset({"switch"}), run=("/bin/sleep", "60"), timeout=0.5, retries=0, user=US)
    with hooks(hanging, teeing("quick", tmp_path / "told")) as (them, counts):
        began = time.monotonic()
        for _ in range(2 * WAITING):
            them.tell(notice())
        assert time.monotonic() - began < 5.0  # two thousand, none of which takes half a second
        until(lambda: counts["slow", "failed"] >= 1 and counts["quick", "done"] >= 1)
    for name in ("slow", "quick"):
        told = sum(counts[name, result] for result in ("done", "failed", "dropped"))
        assert 2 * WAITING - 1 <= told <= 2 * WAITING  # one may be in the making
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("hook slow dropped" in one for one in said)
    assert any("was killed after 0.5 s" in one for one in said)
    assert len(said) < 20


def test_what_failed_is_tried_again(tmp_path):
    flag = tmp_path / "flag"
    script = f"test -e {flag} || {{ touch {flag}; exit 1; }}"
    failing = HookSettings("flaky", frozenset({"switch"}), run=("/bin/sh", "-c", script), retries=2, user=US)
    with hooks(failing) as (them, counts):
        them.tell(notice())
        until(lambda: counts["flaky", "done"] == 1)
    assert counts["flaky", "failed"] == 0


def test_a_notice_that_nobody_can_write_down_ends_no_hook(tmp_path):
    with hooks(teeing("one", tmp_path / "told")) as (them, counts):
        them.tell(notice()._replace(details={"policy": object()}))
        them.tell(notice())
        until(lambda: counts["one", "done"] == 1)
    assert counts["one", "failed"] == 1


def test_a_reload_keeps_what_waits_for_hooks_that_stay(tmp_path):
    one = HookSettings("one", frozenset({"switch"}), run=("/bin/sleep", "0.2"), user=US)
    with hooks(one) as (them, counts):
        for _ in range(3):
            them.tell(notice())
        them.configure([one, teeing("two", tmp_path / "told")])
        them.tell(notice())
        until(lambda: counts["one", "done"] == 4 and counts["two", "done"] == 1)
        them.configure([])
        them.tell(notice())
    assert counts["one", "dropped"] == 0


def hanging(name):
    return HookSettings(name, frozenset({"switch"}), run=("/bin/sleep", "15"), timeout=20.0, retries=0, user=US)


def test_what_happens_while_a_hook_is_exchanged_is_told_to_the_new_one(tmp_path):
    with hooks(hanging("one")) as (them, counts):
        them.tell(notice())
        time.sleep(0.2)
        other = threading.Thread(target=them.configure, args=([teeing("one", tmp_path / "told")],))
        other.start()
        time.sleep(0.2)  # the old one hangs for as long as it is waited for
        them.tell(notice())
        other.join()
        until(lambda: counts["one", "done"] == 1)


def test_many_that_hang_are_ended_together():
    with hooks(*(hanging(f"hook {number}") for number in range(16))) as (them, _):
        them.tell(notice())
        time.sleep(0.5)
        began = time.monotonic()
        them.stop()
        assert time.monotonic() - began < 10.0  # of a second each
