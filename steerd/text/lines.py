"""Lines of text for people: at most 100 columns, wrapped, cut, or aligned."""

from collections.abc import Sequence
from typing import Final

WIDTH: Final = 100


def wrapped(text: str, first: str = "") -> list[str]:
    """Lines of at most 100 columns; those after the first are indented. ``first``: what the first begins with."""
    done: list[str] = []
    for word in text.split():
        if done and len(done[-1]) + 1 + len(word) <= WIDTH:
            done[-1] += f" {word}"
        else:
            done.append(f"{first if not done else '  ' + ' ' * len(first)}{word}")
    return [cut(line) for line in done]


def cut(line: str) -> str:
    """A line, as much of it as there is room for."""
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def aligned(rows: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    """An indented table. ``right``: all columns but the first are figures, and none of them is cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            text.rjust(width) if right and at else text.ljust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = f"  {'  '.join(cells)}".rstrip()
        lines.append(line if right else cut(line))
    return lines
