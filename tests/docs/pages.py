"""What a page of the documentation has its reader do: files to write and commands to run, in their order.

A prompt names the machine, `gw# steerd check`; the first line of a file says where it lies,
`# gw: /etc/steerd/steerd.toml`.
What stands between a command and the next prompt is what it prints.
"""

import re
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+): (/\S+)\n")
_PROMPT = re.compile(r"(\w+)[#$] (.*)")


class Write(NamedTuple):
    machine: str
    file: str
    text: str


class Run(NamedTuple):
    machine: str
    command: str


class PageError(Exception):
    """A block that says neither what to run nor where it lies."""


def steps(page: Path) -> list[Write | Run]:
    """PageError: nobody could do what a block says."""
    found: list[Write | Run] = []
    for kind, text in _BLOCK.findall(page.read_text()):
        if kind == "console":
            commands = [Run(*prompt.groups()) for line in text.splitlines() if (prompt := _PROMPT.fullmatch(line))]
            if not commands:
                raise PageError(f"{page}: a block without a prompt:\n{text}")
            found += commands
        elif place := _FILE.match(text):
            found.append(Write(place[1], place[2], text))
        else:
            raise PageError(f"{page}: a block of {kind} that says no place:\n{text}")
    return found
