"""What the daemon says of twelve situations, in plain words, as golden files: `why`, history, journal and metrics."""

import difflib
import os
from pathlib import Path

import pytest

from steerd.lab.enclosure import run
from tests.lab.situations import SITUATIONS

FOLDER = Path(__file__).parents[1] / "golden/situations"

pytestmark = [pytest.mark.lab, pytest.mark.broker, pytest.mark.nft]


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_true_cause_is_named(name: str) -> None:
    """What happens in the same second may stand in any order."""
    found, file = run("tests.lab.situations:told", name, timeout=180.0), FOLDER / f"{name}.txt"
    if os.environ.get("STEERD_GOLDEN") == "write":
        file.write_text(found)
    expected = file.read_text()
    diff = "\n".join(difflib.unified_diff(expected.splitlines(), found.splitlines(), "golden", "found", lineterm=""))
    assert sorted(found.splitlines()) == sorted(expected.splitlines()), diff
