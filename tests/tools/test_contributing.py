"""The worked examples of CONTRIBUTING.md: each is made in a copy of the project, does what it says, and is clean."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "CONTRIBUTING.md").read_text().partition("## Worked examples")[2]
STEP = re.compile(
    r"^(?:New file `(?P<new>[^`\n]+)`|(?P<seen>Seen with)"
    r"|In `(?P<file>[^`\n]+)`, (?P<how>after|replacing) `(?P<line>[^\n]*)`):\n"
    r"\n```python\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
MOST = {"A key of the configuration": 4}
"""Files of steerd/ that an example may touch; three unless said here."""


class Example(NamedTuple):
    title: str
    steps: tuple[re.Match, ...]

    @property
    def files(self):
        return {step["new"] or step["file"] for step in self.steps if not step["seen"]}


EXAMPLES = [
    Example(title, tuple(STEP.finditer(text)))
    for title, _, text in (part.partition("\n") for part in PAGE.split("\n### ")[1:])
]


def made(example, root):
    for step in example.steps:
        if step["new"]:
            (root / step["new"]).write_text(step["code"])
        elif step["file"]:
            file = root / step["file"]
            text, line = file.read_text(), step["line"] + "\n"
            assert text.count(line) == 1, f"{step['file']} has this line {text.count(line)} times: {line}"
            file.write_text(text.replace(line, (line if step["how"] == "after" else "") + step["code"]))


def test_there_is_one_for_each_kind_of_change():
    assert [example.title for example in EXAMPLES] == [
        "A verb of steerctl",
        "A metric",
        "A listener to facts",
        "A method of probing",
        "A key of the configuration",
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.title for example in EXAMPLES])
def test_an_example_works_and_touches_few_files(example, tmp_path):
    assert all(name.startswith("steerd/") for name in example.files)
    assert 1 <= len(example.files) <= MOST.get(example.title, 3)
    shutil.copytree(PROJECT / "steerd", tmp_path / "steerd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PROJECT / "config", tmp_path / "config")
    made(example, tmp_path)
    (check,) = (step["code"] for step in example.steps if step["seen"])
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    lint = [sys.executable, "-m", "ruff", "check", "--no-cache", *sorted(example.files)]
    done = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout
