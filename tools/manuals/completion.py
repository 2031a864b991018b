"""Completion for bash, zsh and fish, by shtab: files, values that are known beforehand, and what the running daemon
knows by name."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import shtab

from steerd.cli import steerctl, steerd
from steerd.control.parts.history import KINDS

PLACES = {
    "bash": "bash-completion/completions/{}",
    "zsh": "zsh/vendor-completions/_{}",
    "fish": "fish/vendor_completions.d/{}.fish",
}
_NAMES = {"pop": "pops", "policy": "policies", "path": "paths"}
"""By the argument that takes such a name: what `steerctl names` is asked for."""


def files() -> dict[str, str]:
    """Each script by where it lies below /usr/share."""
    return {
        place.format(program.prog): shtab.complete(program, shell=shell) + "\n"
        for shell, place in PLACES.items()
        for program in (_prepared(steerd.command_line()), _prepared(steerctl.command_line()))
    }


def _prepared(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The same parser, which says of each argument what completes it."""
    for action in _arguments(parser):
        if parser.prog == "steerctl" and action.dest in _NAMES:
            action.complete = shtab.cmd(f"steerctl names {_NAMES[action.dest]} 2>/dev/null")  # type: ignore[attr-defined]
        elif action.dest == "kind":
            action.choices = KINDS
        elif action.type is Path or action.metavar == "PATH":
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        if isinstance(action.metavar, str):  # zsh takes a colon or a quote for its own
            action.metavar = re.sub(r"[^\w.| -]", " ", action.metavar).strip()
    return parser


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                yield from _arguments(command)
        else:
            yield action
