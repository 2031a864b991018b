"""Which programs tests need, and that a program is asked what it can do."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests import needs

NEED = Path(__file__).parents[2] / "tools/need"


def test_only_what_the_chosen_tests_need_is_asked_for() -> None:
    assert needs.needed_by(["parametrize", "skipif"]) == set()
    assert needs.needed_by(["lab", "alone"]) == {"ip", "nsenter"}
    assert needs.needed_by(["broker", "fleet"]) == {"mosquitto", "openssl"}


@pytest.mark.parametrize(
    ("tool", "script", "said"),
    [
        ("mosquitto", "echo mosquitto version 1.6.9", "mosquitto 1.6.9; 2.0 or later is needed"),
        ("ip", "echo BusyBox", "this ip is not iproute2's"),
        ("ip", "echo iproute2-5.1.0", "has no resilient nexthop groups: iproute2 5.13 or later is needed"),
        ("dpkg-deb", "echo --build", "this dpkg-deb has no --root-owner-group"),
        ("man", "echo This system has been minimized", "this man is not man-db's"),
        ("a-tool-of-no-name", None, "a-tool-of-no-name is missing"),
        ("mosquitto", "echo mosquitto version 2.0.11", None),
    ],
)
def test_a_tool_is_checked_for_what_it_can_do(tool: str, script: str | None, said: str | None, tmp_path: Path) -> None:
    """With nothing on its path but what the check itself takes; apt-get is not there."""
    for name in ("bash", "sh", "sed", "grep", "sort", "head", "id"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    if script:
        (tmp_path / tool).write_text(f"#!{shutil.which('sh')}\n{script}\n")
        (tmp_path / tool).chmod(0o755)
    done = subprocess.run(
        [shutil.which("bash") or "bash", NEED, tool],
        env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == (69 if said else 0), done.stderr
    assert (said or "") in done.stderr
