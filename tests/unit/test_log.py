"""Where log lines go, and what becomes of them where nobody reads."""

import fcntl
import logging
import os
import subprocess
import sys

import pytest

from steerd.cli import log
from tests.unit.test_terminal import NASTY


@pytest.mark.parametrize("journal", [False, True])
def test_a_line_of_the_log_is_one_line_and_obeyed_by_no_terminal(monkeypatch, capfd, journal):
    root = logging.getLogger()
    before = root.handlers[:]
    monkeypatch.setattr(root, "handlers", [])
    (monkeypatch.setenv("JOURNAL_STREAM", "1:2") if journal else monkeypatch.delenv("JOURNAL_STREAM", raising=False))
    log.log_to_stderr("info")
    logging.getLogger("steerd").error("%s\n<0>forged", NASTY, exc_info=ValueError(NASTY))
    root.handlers[0].close()
    monkeypatch.setattr(root, "handlers", before)
    lines = capfd.readouterr().err.splitlines()
    assert all(line.isprintable() for line in lines)
    assert r"\n<0>forged" in lines[0]
    assert not any(line.startswith("<0>") for line in lines)


PROGRAM = """
import logging, time
from steerd.cli import log
log.LAST = 0.2
log.log_to_stderr("info")
began = time.monotonic()
for n in range(5000):
    logging.getLogger("steerd").info("line %d %s", n, 80 * "x")
print("done", flush=True)
input()
"""


def test_a_log_that_nobody_reads_holds_up_nobody_and_says_later_what_is_lost():
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stderr=writing, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        os.close(writing)
        assert one.stdout is not None
        assert one.stdout.readline() == "done\n"  # though the pipe was full long before
        seen = b""
        while b" lines of the log are lost: nobody read them in time" not in seen:
            seen += os.read(reading, 65536)
        lost = int(seen.split(b" lines of the log are lost")[0].split()[-1])
        one.communicate("\n", timeout=30)
    os.close(reading)
    assert lost + seen.count(b"line ") == 5000


def test_who_ends_while_nobody_reads_ends():
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], stderr=writing, input="\n", capture_output=False, text=True, timeout=60,
        stdout=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    os.close(writing)
    os.close(reading)
    assert done.returncode == 0


def test_the_last_lines_are_written_before_the_end():
    program = PROGRAM.replace("range(5000)", "range(500)").replace("input()", "")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert [line.split()[4] for line in done.stderr.splitlines()] == [str(n) for n in range(500)]


def test_a_line_that_cannot_be_written_is_not_the_last(monkeypatch, capfd):
    class Unfit(str):
        """As where memory is out for a moment."""

        __slots__ = ()

        def __format__(self, _: str) -> str:
            raise MemoryError

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return Unfit() if record.msg == "unfit" else super().format(record)

    root = logging.getLogger()
    before = root.handlers[:]
    monkeypatch.setattr(root, "handlers", [])
    log.log_to_stderr("info")
    root.handlers[0].setFormatter(Formatter("%(message)s"))
    for line in ("unfit", "the next one"):
        logging.getLogger("steerd").error(line)
    root.handlers[0].close()
    monkeypatch.setattr(root, "handlers", before)
    assert capfd.readouterr().err == "the next one\n"
