"""What `check --live` says, as it is printed: `tests/golden/check/findings.txt`, for each case of `test_machine_looks`.

When a change is meant::

    STEERD_GOLDEN=write make test TESTS=tests/unit/test_check_golden.py

writes it anew; read it aloud before it is committed: is it plain, and does it say what to do?
"""

import os
import re
from pathlib import Path

from steerd.cli.verbs.live import text
from steerd.config.gateway.load import load
from steerd.machine.answers import Answers
from steerd.machine.check import findings
from tests.unit.test_machine_looks import ANSWERS, CASES, FILE, HEALTHY

GOLDEN = Path(__file__).parents[1] / "golden" / "check" / "findings.txt"
SILENT = {"nothing answers": (FILE, HEALTHY, Answers()), "no raw sockets": (FILE, HEALTHY, Answers(refused="none"))}


def said(folder):
    file = folder / "steerd.toml"
    for name, (written, machine, *rest) in {**CASES, **SILENT}.items():
        file.write_text(written)
        answers = rest[0] if isinstance(rest[0], Answers) else ANSWERS
        lines = text("/etc/steerd/steerd.toml", findings(load(file), machine, answers))
        yield "\n".join([f"## {name}", *lines, ""])


def test_every_finding_reads_as_it_was_meant(tmp_path):
    found = "\n".join(said(tmp_path))
    if os.environ.get("STEERD_GOLDEN") == "write":
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


def test_every_kind_of_finding_is_in_the_docs_and_no_other():
    looks = Path(__file__).parents[2] / "steerd" / "machine" / "looks"
    kinds = re.compile(r'(?:error|warning|make|_lacking|\))\(\s*"([a-z0-9]+(?:-[a-z0-9]+)+)",')
    written = {kind for file in looks.glob("*.py") for kind in kinds.findall(file.read_text())}
    page = (Path(__file__).parents[2] / "docs" / "check.md").read_text().partition("## Findings")[2]
    told = {
        kind
        for line in page.splitlines()
        if line.startswith("| `")
        for kind in re.findall(r"`([a-z0-9-]+)`", line.split("|")[1])
    }
    assert told == written
