"""`steerd tune`: better knobs for the network of these traces, if there are any."""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from steerd.cli.configuration import read
from steerd.cli.pipe import piped_away
from steerd.cli.progress import EVERY, Progress, bar
from steerd.config.problem import EX_CONFIG, Report
from steerd.config.read import document, toml
from steerd.config.settings import Config
from steerd.core.settings import Objective
from steerd.replay import sources
from steerd.replay.run import names
from steerd.replay.trace import TraceError
from steerd.tune import report
from steerd.tune.knobs import Knobs
from steerd.tune.rewrite import RewriteError, check_writable, rewrite
from steerd.tune.rows import Kept
from steerd.tune.rows import read as read_trace
from steerd.tune.run import Present, Tuning, tune
from steerd.tune.search import Limits
from steerd.tune.split import TooShortError, split

EX_USAGE = 2
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Options:
    """``keep``: keys that stay as they are; ``write``: put what was found into the file."""

    limits: Limits
    keep: Sequence[str] = ()
    as_json: bool = False
    write: bool = False


def tune_command(config: Path, traces: Sequence[Path], options: Options) -> int:
    """Search, judge, tell, and write if asked to. Returns 0 whether or not something better was found; 1 for a trace
    that can not be read, traces that are too short, or a file that can not be written; 2 for recordings; 78 for a
    bad configuration; 130 when interrupted."""
    try:
        return _tune(config, traces, options)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # this process ends now: a second one has nothing to add
        print("steerd tune: interrupted; nothing was written", file=sys.stderr)
        sys.stderr.flush()
        for worker in multiprocessing.active_children():
            worker.kill()
            worker.join(1.0)
        os._exit(INTERRUPTED)  # the workers' pool, whose workers were interrupted too, complains while Python ends
    except BrokenPipeError:
        return piped_away()
    except TooShortError as error:
        print(f"steerd tune: the traces are {error}", file=sys.stderr)
        return 1
    except (TraceError, RewriteError) as error:
        print(f"steerd tune: {error}", file=sys.stderr)
        return 1


def _tune(config: Path, traces: Sequence[Path], options: Options) -> int:
    loaded = read(config, require_pops=False)
    if loaded is None:
        return EX_CONFIG
    files = sources.files(traces)
    recordings = [file for file in files if sources.is_recording(file)]
    if recordings:
        print(
            f"steerd tune: {recordings[0]}: is a recording, which replays with its own settings; "
            "make a trace of it with `steerd export-trace`",
            file=sys.stderr,
        )
        return EX_USAGE
    if options.write:
        check_writable(config)
    text = config.read_bytes()
    present = _present(loaded)
    _warn(loaded)
    parts = split(_read(files, present))
    with _watching(options.limits) as watch:
        tuning = tune(present, parts, options.limits, keep=options.keep, watch=watch)
    if tuning is None:
        raise TraceError("the limit left no time to try even the present configuration: give a longer --limit")
    return _tell(config, text, tuning, options)


def _present(loaded: Config) -> Present:
    tables = document(toml(loaded.source), Report(loaded.source))
    return Present(loaded.core, Knobs.of(tables), tables.steer.switch_price)


def _warn(loaded: Config) -> None:
    policies = loaded.core.policies
    if policies and policies[0].objective is not Objective.COST:
        print(
            f"warning: policy {policies[0].policy} goes by how a call sounds; J, which is judged by here, is a delay",
            file=sys.stderr,
        )
    if len(policies) > 1:
        print(f"note: the choices are those of the first policy, {policies[0].policy}", file=sys.stderr)


def _read(files: Sequence[Path], present: Present) -> list[Kept]:
    progress = Progress(list(files))
    known = names(present.settings)
    kept = []
    try:
        for file in files:
            kept.append(
                read_trace(file, known, lambda trace: progress.draw(trace.file, trace.bytes_read))
                if progress.shown
                else read_trace(file, known)
            )
            progress.finished(file)
    finally:
        progress.clear()
    return kept


class _Watch:
    """How far the search is towards its limits: it mostly ends before."""

    def __init__(self, limits: Limits) -> None:
        self.shown = sys.stderr.isatty()
        self._limits = limits
        self._began = monotonic()
        self._next = self._began + EVERY

    def __call__(self, tried: int) -> None:
        now = monotonic()
        if self.shown and now >= self._next:
            self._next = now + EVERY
            spent = max((now - self._began) / self._limits.seconds, tried / self._limits.candidates)
            bar(min(1.0, spent), f"of the limit, {tried} candidates tried")

    def clear(self) -> None:
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def _watching(limits: Limits) -> Iterator[_Watch]:
    watch = _Watch(limits)
    try:
        yield watch
    finally:
        watch.clear()


def _tell(config: Path, text: bytes, tuning: Tuning, options: Options) -> int:
    changes = tuning.changes
    wanted = tuning.judged.knobs if tuning.judged is not None else tuning.present.knobs
    kept = rewrite(config, text, changes, wanted) if options.write and changes else None
    if options.as_json:
        told = {"config": str(config), **report.report(tuning), "written": kept is not None}
        print(json.dumps({**told, "backup": None if kept is None else str(kept)}))
        return 0
    print(report.text(tuning))
    if kept is not None:
        print(f"\nwritten to {config}; the old file is {kept}. `steerctl reload` makes a running daemon take it up")
    elif options.write:
        print(f"{config} is left as it is")
    return 0
