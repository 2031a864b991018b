"""Text for a terminal, of any encoding, that obeys nothing of what is printed on it."""

import codecs
import sys
from io import TextIOWrapper

from steerd.text.lines import printable_lines

_KNOWN = {"…": "..."}


def prepare() -> None:
    """What the terminal's encoding does not have is printed in other characters."""
    codecs.register_error("steerd", _instead)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="steerd")


def say(text: object, *, error: bool = False, flush: bool = False) -> None:
    """Print lines, to standard output or error. What a terminal would obey is escaped: others choose names."""
    print(printable_lines(str(text)), file=sys.stderr if error else sys.stdout, flush=flush)


def _instead(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError) and (text := error.object[error.start : error.end]) in _KNOWN:
        return _KNOWN[text], error.end
    return codecs.backslashreplace_errors(error)
