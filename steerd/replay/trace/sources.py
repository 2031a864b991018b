"""Which files an argument of ``steerd replay`` means."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from steerd.core.settings import PathId
from steerd.replay.imports.formats import FORMATS, NAMES, Format, recognise
from steerd.replay.imports.imported import Import
from steerd.replay.imports.text import head
from steerd.replay.trace.reading import HEADER, TraceError

TRACES: Final = (".csv", ".csv.gz", ".csv.xz")
RECORDING: Final = ".jsonl.gz"
KNOWN: Final = (*TRACES, RECORDING)


def is_recording(file: Path) -> bool:
    """Whether the file is a daemon's recording, and no CSV."""
    return file.name.endswith(RECORDING)


def files(arguments: Sequence[Path], *, any_name: bool = False) -> list[Path]:
    """The traces and recordings that are meant: a folder means those in it and in its folders, sorted; with
    ``any_name`` all files there but hidden ones. Raises `TraceError`: there are none in a folder, or it cannot be
    read."""
    found: list[Path] = []
    for argument in arguments:
        try:
            inside = _inside(argument, any_name=any_name) if argument.is_dir() else [argument]
        except OSError as error:
            raise TraceError(f"{argument}: cannot be read: {error.strerror or error}") from None
        if not inside:
            missing = "file in it" if any_name else f"trace in it: none ends in {', '.join(KNOWN)}"
            raise TraceError(f"{argument}: no {missing}")
        found += inside
    return found


def traces(found: Sequence[Path], form: str | None, targets: Mapping[str, PathId]) -> list[Path | Import]:
    """What is replayed as one: each CSV and each recording, and all files of other tools together, in the place of the
    first. ``form`` is one of `NAMES`, for all of them; None: as their contents say. For ``targets`` see `Import`.
    Raises `TraceError`: a file is in no format that is known."""
    whole: list[Path | Import] = []
    imported: list[tuple[Path, Format]] = []
    for file in found:
        tool = _tool(file) if form is None else FORMATS.get(form)
        if tool is None:
            whole.append(file)
            continue
        if not imported:
            whole.append(Import(imported, targets))
        imported.append((file, tool))
    return whole


def _tool(file: Path) -> Format | None:
    """Whose output a file is; None: a CSV trace or a recording, or nothing, which their readers report."""
    begin = head(file)
    tool = recognise(begin)
    if tool is None and begin.strip() and not begin.startswith(HEADER[0]) and not file.name.endswith(KNOWN):
        raise TraceError(
            f"{file}:1: not recognised as any of {', '.join(NAMES)}: a CSV trace begins with {','.join(HEADER)}; "
            "--from names another format"
        )
    return tool


def _inside(folder: Path, *, any_name: bool) -> list[Path]:
    entries = sorted(folder.iterdir())
    nested = [file for entry in entries if entry.is_dir() for file in sorted(entry.iterdir())]
    regular = [file for file in [*entries, *nested] if file.is_file()]
    return [file for file in regular if (not file.name.startswith(".") if any_name else file.name.endswith(KNOWN))]
