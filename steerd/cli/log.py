"""Where a command's log goes: standard error, which under systemd is the journal."""

import logging
import os
import sys

from steerd.text.lines import printable

_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Formatter(logging.Formatter):
    """Plain lines; under systemd with ``<N>`` priorities (sd-daemon(3)) and without a time of their own."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)s %(levelname)-8s %(message)s")
        self._journal = journal

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (as logging calls it)
        """One line, whatever others had a say in it."""
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITY.get(record.levelno, 6)}>" if self._journal else ""
        return "\n".join(prefix + printable(line) for line in super().format(record).splitlines())


def log_to_stderr(level: str) -> None:
    """Log from ``level`` on: ``debug``, ``info``, ``warning`` or ``error``."""
    # What cannot be logged, as where memory is out, is not logged either, with a traceback each time.
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=level.upper(), handlers=[handler])
