"""What is run once more, and what is not."""

import sys
import time
from pathlib import Path

import pytest

from tests import again


class Machine:
    """Stands still now, or never does."""

    stands = False

    def since(self, when: float) -> bool:
        assert when <= time.monotonic()
        return self.stands

    def close(self) -> None:
        pass


class Busy(Machine):
    stands = True


@pytest.mark.parametrize(
    ("machine", "codes", "code"),
    [(Machine, [0], 0), (Machine, [3], 3), (Busy, [0], 0), (Busy, [3, 0], 0), (Busy, [3, 4], 4)],
)
def test_a_failure_is_looked_into_once_more_only_if_the_machine_stood_still(
    machine: type[Machine], codes: list[int], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    monkeypatch.setattr(again, "Stalls", machine)
    assert again.main([sys.executable, "-c", script]) == code
    assert len(runs.read_text()) == len(codes)
