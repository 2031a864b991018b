"""The manual pages, as man shows them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.manuals.__main__ import PAGES

pytestmark = pytest.mark.manuals
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def share(tmp_path_factory):
    """What the package has below /usr/share."""
    folder = tmp_path_factory.mktemp("share")
    subprocess.run([sys.executable, "-m", "tools.manuals", folder], cwd=PROJECT, check=True)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_man_shows_it_without_a_warning(share, page):
    words = ["man", "--warnings", "-E", "UTF-8", "-l", share / f"man/man{page[-1]}/{page}"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANPAGER": "cat"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    sections = [line for line in done.stdout.splitlines() if line.isupper() and line == line.lstrip()]
    assert {"NAME", "DESCRIPTION", "FILES", "EXAMPLES", "SEE ALSO"} <= set(sections)
    assert page == "steerd.toml.5" or "EXIT STATUS" in sections
    assert "@" not in done.stdout.replace("@.service", "")
    assert max(map(len, done.stdout.splitlines())) <= 80
