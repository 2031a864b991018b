"""`steerd replay`: the rule over recorded samples, beside others."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from steerd.cli.configuration import read
from steerd.cli.pipe import piped_away
from steerd.cli.progress import Progress
from steerd.config.problem import EX_CONFIG
from steerd.core.settings import PolicyId, Settings
from steerd.replay import recorded, sources, table
from steerd.replay.compare import Comparison, Times
from steerd.replay.outcome import Outcome
from steerd.replay.run import Watcher, run
from steerd.replay.trace import TraceError
from steerd.store.recording import read as read_recording
from steerd.store.records import RecordError

EX_USAGE = 2


@dataclass(frozen=True, slots=True)
class Options:
    """``prices`` in ms per switch, beside the rule's own; ``plot``: where to draw the picture of the one trace;
    ``policy``: whose figures a recording's are, by default those of the first."""

    as_json: bool = False
    baselines: bool = False
    prices: Sequence[float] = ()
    plot: Path | None = None
    policy: str | None = None


def replay(config: Path | None, traces: Sequence[Path], options: Options) -> int:
    """Replay each trace. Returns 0, 1 for a trace that can not be replayed, 2 for arguments that do not go together,
    78 for a bad configuration."""
    settings = Settings()
    if config is not None:
        loaded = read(config, require_pops=False)
        if loaded is None:
            return EX_CONFIG
        settings = loaded.core
    try:
        files = sources.files(traces)
        if options.plot is not None and len(files) != 1:
            print(f"steerd replay: --plot draws one trace, not {len(files)}", file=sys.stderr)
            return EX_USAGE
        if config is not None and any(sources.is_recording(file) for file in files):
            print("note: a recording replays with the settings that it was made with; "
                  "`steerd export-trace` makes a trace of it for other settings", file=sys.stderr)  # fmt: skip
        return _replay(files, settings, options)
    except BrokenPipeError:
        return piped_away()
    except (TraceError, RecordError) as error:
        print(f"steerd replay: {error}", file=sys.stderr)
        return 1


def _replay(files: Sequence[Path], settings: Settings, options: Options) -> int:
    progress = Progress(list(files))
    total = table.Total()
    reports = []
    try:
        for file in files:
            outcome = (
                _recording(file, options) if sources.is_recording(file) else _trace(file, settings, options, progress)
            )
            progress.finished(file)
            if options.plot is not None:
                _draw(outcome, options.plot)
            if options.as_json:
                reports.append(outcome.report())
                continue
            print(table.one(outcome))
            if len(files) == 1:
                print(table.switches(outcome))
            else:
                total.add(outcome)
    finally:
        progress.clear()
    if options.as_json:
        print(json.dumps(reports[0] if len(reports) == 1 else reports))
    elif len(files) > 1:
        print(total)
    return 0


def _trace(file: Path, settings: Settings, options: Options, progress: Progress) -> Outcome:
    comparison, times = Comparison(), Times()
    watchers: list[Watcher] = []
    if options.baselines:
        watchers.append(comparison)
    if options.plot is not None:
        watchers.append(times)
    if progress.shown:
        progress.draw(file)
        watchers.append(progress)
    outcome = run(file, settings, prices=options.prices, watchers=watchers)
    if options.baselines:
        outcome = replace(outcome, baselines=comparison.choices())
    return replace(outcome, times=times.times)


def _recording(file: Path, options: Options) -> Outcome:
    try:
        header, events = read_recording(file)
        known = [policy.policy for policy in header.settings.policies]
        if options.policy is not None and options.policy not in known:
            raise TraceError(f"{file}: no policy {options.policy!r} in it, but {', '.join(known)}")
        return recorded.replay(
            str(file),
            header,
            events,
            policy=PolicyId(options.policy) if options.policy else None,
            prices=options.prices,
            baselines=options.baselines,
        )
    except OSError as error:
        raise TraceError(f"{file}: can not be read: {error.strerror or error}") from None


def _draw(outcome: Outcome, file: Path) -> None:
    from steerd.replay.picture import picture

    try:
        file.write_text(picture(outcome), encoding="utf-8")
    except OSError as error:
        raise TraceError(f"{file}: can not be written: {error.strerror or error}") from None
