"""`steerd replay`: the rule over recorded samples, beside others."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steerd.cli.progress import Progress
from steerd.cli.terminal import say
from steerd.cli.verbs.configuration import read
from steerd.config.probe_settings import ProbePath
from steerd.core.settings import PathId, PolicyId, Settings
from steerd.replay import recorded
from steerd.replay.account.outcome import Outcome
from steerd.replay.imports.formats import NAMES
from steerd.replay.imports.imported import Import
from steerd.replay.run import Watcher, run
from steerd.replay.shown import table
from steerd.replay.trace import sources
from steerd.replay.trace.reading import TraceError
from steerd.store.recording import read as read_recording
from steerd.store.records import RecordError
from steerd.text.lines import printable

EX_USAGE = 2


@dataclass(frozen=True, slots=True)
class Options:
    """``prices`` in ms per switch, beside the rule's own; ``plot``: where to draw the picture of the one trace;
    ``policy``: whose figures a recording's are, by default those of the first; ``form``: the format of all files, one
    of `NAMES`; None: as their contents say; ``as_probed``: the engine sees only the samples that it asks for."""

    as_json: bool = False
    baselines: bool = False
    prices: Sequence[float] = ()
    plot: Path | None = None
    policy: str | None = None
    form: str | None = None
    as_probed: bool = False


def replay(config: Path | None, traces: Sequence[Path], options: Options) -> int:
    """Replay each trace. Returns 0, 1 for a trace that cannot be replayed, 2 for arguments that do not go together.
    ConfigError: as `read`."""
    if options.plot is not None and options.plot.suffix.lower() != ".svg":
        say(f"steerd replay: --plot draws SVG: {printable(str(options.plot))} must end in .svg", error=True)
        return EX_USAGE
    if options.form is not None and options.form not in NAMES:
        known = ", ".join(NAMES)
        say(f"steerd replay: --from {printable(options.form)}: the formats are {known}", error=True)
        return EX_USAGE
    settings, targets = Settings(), {}
    if config is not None:
        loaded = read(config, complete=False)
        settings, targets = loaded.core, probed(loaded.probe.paths)
    try:
        files = sources.traces(sources.files(traces, any_name=options.form is not None), options.form, targets)
        if options.plot is not None and len(files) != 1:
            say(f"steerd replay: --plot draws one trace, not {len(files)}", error=True)
            return EX_USAGE
        if options.as_probed and any(_is_recording(file) for file in files):
            only = "a recording has no other probes than the daemon's own"
            say(f"steerd replay: --as-probed is for traces; {only}", error=True)
            return EX_USAGE
        if config is not None and any(_is_recording(file) for file in files):
            other = "`steerd export-trace` makes a trace of it for other settings"
            say(f"note: a recording replays with the settings that it was made with; {other}", error=True)
        return _replay(files, settings, options)
    except (TraceError, RecordError) as error:
        say(f"steerd replay: {printable(str(error))}", error=True)
        return 1


def probed(paths: Sequence[ProbePath]) -> dict[str, PathId]:
    """Paths by what they probe, an address or a name, where that is of one path only."""
    found: dict[str, set[PathId]] = {}
    for path in paths:
        for target in path.targets:
            for called in {target.address, target.name or ""} - {""}:
                found.setdefault(called, set()).add(path.path)
    return {called: next(iter(ids)) for called, ids in found.items() if len(ids) == 1}


def _is_recording(file: Path | Import) -> bool:
    return isinstance(file, Path) and sources.is_recording(file)


def _replay(files: Sequence[Path | Import], settings: Settings, options: Options) -> int:
    progress = Progress([one for file in files for one in _files(file)])
    total = table.Total()
    reports = []
    try:
        for file in files:
            outcome = _outcome(file, settings, options, progress)
            for one in _files(file):
                progress.finished(one)
            if isinstance(file, Import):
                say(f"note: {file.told()}", error=True)
            if options.plot is not None:
                _draw(outcome, options.plot)
            if options.as_json:
                reports.append(outcome.report())
                continue
            say(table.one(outcome))
            if len(files) == 1:
                say(table.switches(outcome))
            else:
                total.add(outcome)
    finally:
        progress.clear()
    if options.as_json:
        say(json.dumps(reports[0] if len(reports) == 1 else reports))
    elif len(files) > 1:
        say(total)
    return 0


def _files(file: Path | Import) -> list[Path]:
    return [file] if isinstance(file, Path) else [one for one, _ in file.files]


def _outcome(file: Path | Import, settings: Settings, options: Options, progress: Progress) -> Outcome:
    try:
        if isinstance(file, Path) and sources.is_recording(file):
            return _recording(file, options)
        return _trace(file, settings, options, progress)
    except (TraceError, RecordError):
        raise
    except Exception as error:  # whatever is written there
        said = f"{str(error) or type(error).__name__:.200}"
        raise TraceError(f"{_files(file)[0]}: cannot be replayed: {said}") from error


def _trace(file: Path | Import, settings: Settings, options: Options, progress: Progress) -> Outcome:
    watchers: list[Watcher] = []
    if progress.shown:
        progress.draw(_files(file)[0])
        watchers.append(progress)
    return run(
        file,
        settings,
        prices=options.prices,
        baselines=options.baselines,
        as_probed=options.as_probed,
        watchers=watchers,
    )


def _recording(file: Path, options: Options) -> Outcome:
    try:
        header, events = read_recording(file)
        policy = None if options.policy is None else _policy(file, header.settings, options.policy)
        outcome = recorded.replay(
            str(file),
            header,
            events,
            policy=policy,
            prices=options.prices,
            baselines=options.baselines,
        )
    except OSError as error:
        raise TraceError(f"{file}: cannot be read: {error.strerror or error}") from None
    if not header.exact:
        gone = "whose rule is gone: its decisions may differ from those that were made then"
        say(f"note: {printable(str(file))} was recorded by steerd 0.1, {gone}", error=True)
    return outcome


def _policy(file: Path, settings: Settings, name: str) -> PolicyId:
    known = [policy.policy for policy in settings.policies]
    if name not in known:
        raise TraceError(f"{file}: no policy {name!r} in it, but {', '.join(known)}")
    return PolicyId(name)


def _draw(outcome: Outcome, file: Path) -> None:
    from steerd.replay.shown.picture import picture

    try:
        file.write_text(picture(outcome), encoding="utf-8")
    except OSError as error:
        raise TraceError(f"{file}: cannot be written: {error.strerror or error}") from None
