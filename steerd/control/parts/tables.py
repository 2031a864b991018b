"""Tables of what has a state: as wide as the terminal, and in its colours."""

from collections.abc import Sequence
from typing import Final

from steerd.text.lines import fitting, printable, table

SPARE: Final = ("NOTE", "RULE", "HEARD", "JITTER", "RUNNER-UP", "PACKETS", "BACKBONE", "USED BY")
"""Columns that a narrow terminal has no room for, those that are missed least first; notes then stand below."""
GOOD: Final = {"up", "steering", "observing", "open"}
BAD: Final = {"down", "captive", "absent", "blocked", "local-outage", "reached"}
_RED, _YELLOW, _GREEN, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"


def coloured_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, colour: bool = False, width: int | None = None
) -> str:
    """As many columns as fit into ``width``; None: all. In ``colour``, by the state in the second column."""
    if not rows:
        return ""
    rows = [list(map(printable, row)) for row in rows]
    if width is not None:
        header, rows = fitting(header, rows, width, SPARE)
    lines = table(header, rows, width)
    if colour:
        lines = [_coloured(line, row) for line, row in zip(lines, [header, *rows], strict=True)]
    return "\n".join(lines)


def _coloured(line: str, row: Sequence[str]) -> str:
    state = row[1][2:]
    if state not in GOOD and not row[1].startswith("!"):
        return line
    if any(cell.startswith("! ") for cell in row[2:]):
        return f"{_RED}{line}{_PLAIN}"
    return f"{_GREEN if state in GOOD else _RED if state in BAD else _YELLOW}{line}{_PLAIN}"
