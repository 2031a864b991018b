"""How often a command that fails is run again."""

import sys
from pathlib import Path

import pytest

from tests import again


@pytest.mark.parametrize(
    ("times", "codes", "code"),
    [(0, [3], 3), (1, [0], 0), (1, [3, 0], 0), (1, [3, 4], 4), (2, [3, 4, 0], 0), (2, [3, 4, 5], 5)],
)
def test_what_fails_is_run_again_so_many_times_and_it_is_said(
    times: int, codes: list[int], code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    runs.touch()
    script = f"""\
import sys
with open({str(runs)!r}, "r+") as file:
    run = len(file.read())
    file.write("x")
sys.exit({codes}[run])
"""
    assert again.main(times, [sys.executable, "-c", script]) == code
    assert len(runs.read_text()) == len(codes)
    said = capfd.readouterr().err
    assert said.count("FAILED") == len(codes) - 1
    assert ("and passed" in said) == (len(codes) > 1 and code == 0)
