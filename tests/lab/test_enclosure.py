"""A lab hides its mounts from everybody outside, wherever it is started."""

import subprocess
import sys
from pathlib import Path

import pytest

from steerd.lab.enclosure import RUN, run

pytestmark = [pytest.mark.lab]


def mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def inside() -> list[str]:
    """Where the lab's own /run is mounted, as it sees it, and what marks it as shared with others, if it is."""
    return [part for line in mounts() if line.split()[4] == "/run" for part in line.split()[6:] if "shared" in part]


def in_a_chroot() -> dict[str, object]:
    """A lab started in a directory that is the root there, but no mount, below a mount that is shared."""
    root = RUN / "root"
    root.mkdir()
    for entry in Path("/").iterdir():
        if entry.is_symlink():
            (root / entry.name).symlink_to(entry.readlink())
        elif entry.is_dir() and entry.name not in {"run", "proc"}:
            (root / entry.name).mkdir()
            subprocess.run(["mount", "--rbind", entry, root / entry.name], check=True)
    for own in ("run", "proc"):
        (root / own).mkdir()
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    subprocess.run(["mount", "--make-rshared", "/"], check=True)
    before = mounts()
    lab = [sys.executable, "-m", "steerd.lab.enclosure", f"{__name__}:inside", "[]"]
    there = ["chroot", root, "env", "-C", Path.cwd(), *lab]
    done = subprocess.run(there, capture_output=True, text=True, check=False)
    return {"shared": done.stdout, "errors": done.stderr, "left": [one for one in mounts() if one not in before]}


def test_in_a_chroot_whose_root_is_no_mount_a_lab_is_as_hidden_as_elsewhere():
    assert run(f"{__name__}:inside") == []
    found = run(f"{__name__}:in_a_chroot")
    assert found == {"shared": "[]\n", "errors": "", "left": []}
