"""Commands that the documentation shows are commands: their verbs and options are there."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from steerd.cli import steerctl, steerd

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^ *```\w*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^(?:\S*[#$] )?((?:sudo )?(?:steerd|steerctl)(?: .*)?)$", re.MULTILINE)
_END = re.compile(r"\s(?:#|&&|\||>|&$|;).*")


def commands(page: Path) -> list[str]:
    """Each that begins a line of a block, but for those that show what options there are."""
    return [
        _END.sub("", found[1].removeprefix("sudo ")).strip()
        for block in _BLOCK.findall(page.read_text())
        for found in _COMMAND.finditer(block)
        if " [-" not in found[1]
    ]


def parsers() -> dict[str, argparse.ArgumentParser]:
    return {"steerd": steerd.command_line(), "steerctl": steerctl.command_line()}


def refused(command: str) -> bool:
    program, *words = shlex.split(command)
    try:
        parsers()[program].parse_args(words)
    except SystemExit as ended:
        return ended.code != 0
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_commands_of_a_page_are_understood(page):
    assert [command for command in commands(page) if refused(command)] == []


def test_there_are_some():
    assert sum(len(commands(page)) for page in PAGES) > 60
