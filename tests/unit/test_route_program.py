"""Programs that are run for what they print: bounded in time and in bytes, and never left running."""

import os
import subprocess
import sys

import pytest

from steerd.route.nft import program
from steerd.route.nft.program import EndlessError, output


def run(text: str, given: bytes = b"", within: float = 30.0) -> tuple[int, bytes, bytes]:
    return output([sys.executable, "-c", text], given, within)


def test_what_it_prints_and_how_it_ends():
    text = "import sys; print(sys.stdin.read().upper()); sys.stderr.write('no'); sys.exit(3)"
    assert run(text, b"yes") == (3, b"YES\n", b"no")


def test_much_on_both_sides_goes_through():
    text = "import sys; got = sys.stdin.buffer.read(); sys.stderr.buffer.write(got); sys.stdout.buffer.write(got)"
    much = os.urandom(3 << 20)
    assert run(text, much) == (0, much, much)


@pytest.mark.parametrize("number", [1, 2])
def test_one_that_prints_without_end_is_ended_at_the_limit(monkeypatch, number):
    monkeypatch.setattr(program, "MOST", 1 << 20)
    with pytest.raises(EndlessError):
        run(f"import os\nwhile True: os.write({number}, bytes(4096))")


@pytest.mark.parametrize(
    "text", ["import time; time.sleep(60)", "import os, time; os.close(1); os.close(2); time.sleep(60)"]
)
def test_one_that_does_not_end_is_ended_in_time(text):
    with pytest.raises(subprocess.TimeoutExpired):
        run(text, within=0.5)


def test_what_is_not_read_holds_up_nobody():
    assert run("", bytes(8 << 20))[0] == 0
