"""`steerd export-trace`: what the daemon recorded, as a trace that anything can read."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from steerd.cli.terminal import say
from steerd.cli.verbs.configuration import read
from steerd.replay.export import Row, opened, rows, write
from steerd.store.recording import read as read_recording
from steerd.store.recording import recordings
from steerd.store.records import RecordError
from steerd.text.lines import printable


def export_trace(config: Path, *, since: float, output: Path | None, leg: int) -> int:
    """Write the last ``since`` seconds of all recordings that the configuration's store has, to ``output`` or to
    standard output. Returns 0, 1 if nothing was recorded or it cannot be read or written. ConfigError: as
    `read`."""
    loaded = read(config, complete=False)
    begin = time.time() - since
    try:
        found = _since(loaded.store_path, begin)
        with nullcontext(sys.stdout) if output is None else opened(output) as stream:
            count = write(stream, _all(found, begin, leg))
    except RecordError as error:
        say(f"steerd export-trace: {printable(str(error))}", error=True)
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"steerd export-trace: {where}{error.strerror or error}", error=True)
        return 1
    except Exception as error:  # noqa: BLE001 (whatever a recording holds)
        say(f"steerd export-trace: cannot be exported: {printable(str(error) or type(error).__name__)}", error=True)
        return 1
    if output is not None:
        say(f"{output}: {count} rows of {len(found)} recording{'s' * (len(found) != 1)}", error=True)
    return 0


def _since(folder: Path, begin: float) -> Sequence[Path]:
    found = [file for file in recordings(folder) if file.stat().st_mtime >= begin]
    if not found:
        raise RecordError(f"{folder}: no recording of that time in it; [store] record = true makes the daemon record")
    return found


def _all(files: Sequence[Path], begin: float, leg: int) -> Iterator[Row]:
    """The rows of all runs in the order of time, which is wall time: seconds since 1970."""
    last = 0.0
    for file in files:
        header, events = read_recording(file)
        # The engine's clock is monotonic: each run is set to the wall clock of its beginning, and one that a clock
        # was set back for begins where the one before it ended.
        shift = header.wall_ms / 1000.0 - header.now
        for now, path, rtt in rows(events, leg=leg):
            at = max(last, now + shift)
            if at >= begin:
                last = at
                yield at, path, rtt
