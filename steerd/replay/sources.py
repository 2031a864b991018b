"""Which files an argument of ``steerd replay`` means."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from steerd.replay.trace import TraceError

TRACES: Final = (".csv", ".csv.gz", ".csv.xz")
RECORDING: Final = ".jsonl.gz"


def is_recording(file: Path) -> bool:
    """Whether the file is a daemon's recording, and no CSV."""
    return file.name.endswith(RECORDING)


def files(arguments: Sequence[Path]) -> list[Path]:
    """The traces and recordings that are meant: a folder means those in it and in its folders, sorted.

    Raises:
        TraceError: there are none in a folder, or it can not be read.
    """
    found: list[Path] = []
    for argument in arguments:
        try:
            inside = _inside(argument) if argument.is_dir() else [argument]
        except OSError as error:
            raise TraceError(f"{argument}: can not be read: {error.strerror or error}") from None
        if not inside:
            raise TraceError(f"{argument}: no trace in it: none ends in {', '.join((*TRACES, RECORDING))}")
        found += inside
    return found


def _inside(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir())
    nested = [file for entry in entries if entry.is_dir() for file in sorted(entry.iterdir())]
    return [file for file in [*entries, *nested] if file.is_file() and file.name.endswith((*TRACES, RECORDING))]
