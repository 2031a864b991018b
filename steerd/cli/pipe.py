"""Standard output that nobody reads to its end, such as `... | head`."""

import os
import sys


def piped_away() -> int:
    """Be quiet about it, also when the interpreter flushes what is left. Returns the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
