"""Text for a terminal, of any encoding, that obeys nothing of what is printed on it."""

import codecs
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper

from steerd.text.lines import Coloured, printable_lines

_KNOWN = {"…": "..."}


class UnprintedError(OSError):
    """Standard output takes no more: its disk is full, or nobody reads it."""


def prepare() -> None:
    """What the terminal's encoding does not have is printed in other characters. Standard descriptors that are closed
    lead nowhere from now on: a socket that got such a number would be written to."""
    codecs.register_error("steerd", _instead)
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 (it is to stay open)
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="steerd")


def say(text: object, *, error: bool = False, flush: bool = False) -> None:
    """Print lines, to standard output or error. What a terminal would obey is escaped, but for `Coloured` text: others
    choose names. UnprintedError: standard output does not take them; where standard error does not, the exit code has
    to do."""
    lines = text if isinstance(text, Coloured) else printable_lines(str(text))
    if error:
        with suppress(OSError):
            print(lines, file=sys.stderr, flush=True)
    else:
        _out(lambda: print(lines, flush=flush))


def concluded(program: str, work: Callable[[], int]) -> int:
    """The exit code of a command's work, when all that it printed is out: 1 if it cannot be."""
    try:
        code = work()
        _out(sys.stdout.flush)
    except UnprintedError as error:
        say(f"{program}: standard output: {error.strerror}", error=True)
    except BrokenPipeError:
        pass  # `| head` has read enough
    else:
        return code
    piped_away()
    return 1


def piped_away() -> None:
    """Nobody takes what is printed any more: not when the interpreter flushes what is left, either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _out(work: Callable[[], None]) -> None:
    try:
        work()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UnprintedError(error.errno, error.strerror) from error


def _instead(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError) and (text := error.object[error.start : error.end]) in _KNOWN:
        return _KNOWN[text], error.end
    return codecs.backslashreplace_errors(error)
