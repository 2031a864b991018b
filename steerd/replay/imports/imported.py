"""Files of other tools as one trace."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from steerd.core.events import Swept
from steerd.core.settings import PathId
from steerd.replay.imports.align import period, swept
from steerd.replay.imports.formats import Format
from steerd.replay.imports.sample import Malformed, brief
from steerd.replay.imports.series import Series, gather
from steerd.replay.imports.text import head, opened
from steerd.replay.trace.reading import Trace, TraceError
from steerd.text.lines import printable

COMPRESSED: Final = (".gz", ".xz")


@dataclass(slots=True)
class Import:
    """Files that are one trace: each with its format. ``targets`` are the paths by what they probe, where that tells
    one from the others. ``step`` is that of the grid, in seconds, once the trace was read."""

    files: Sequence[tuple[Path, Format]]
    targets: Mapping[str, PathId] = field(default_factory=dict)
    step: float = 0.0

    def __str__(self) -> str:
        return " + ".join(printable(str(file)) for file, _ in self.files)

    def told(self) -> str:
        """How the files were read, in a line for people; after the trace was read."""
        formats = " and ".join(dict.fromkeys(form.name for _, form in self.files))
        many = f"{len(self.files)} files of {formats} as one trace" if len(self.files) > 1 else f"read as {formats}"
        return f"{many}, on a grid of {self.step:.4g} s"

    def trace(self, known: Mapping[str, PathId]) -> "ImportedTrace":
        """The trace, not read yet; for ``known`` see `Trace`."""
        return ImportedTrace(self, known)


class ImportedTrace(Trace):
    """A trace that is made of an `Import` when its groups are asked for."""

    def __init__(self, source: Import, known: Mapping[str, PathId]) -> None:
        super().__init__(source.files[0][0], known)
        self._source = source
        self._read = 0

    @property
    def bytes_read(self) -> int:
        """How far the files have been read."""
        return self._read

    def groups(self) -> Iterator[Swept]:
        """The samples of all files, on one grid. Raises `TraceError`: unreadable, of another format, or empty."""
        found: dict[str, Series] = {}
        for file, form in self._source.files:
            self._take(file, form, found)
        step = self._source.step = period(found)
        series: dict[PathId, Series] = {}
        for name, one in found.items():
            path = self._path(name)
            if path in series:
                called = next(other for other, id_ in self.paths.items() if id_ == path)
                raise TraceError(f"{self._source}: {called} and {name} are both path {path}")
            self.paths[name] = path
            series[path] = one
        yield from swept(series, step)

    def _take(self, file: Path, form: Format, found: dict[str, Series]) -> None:
        shown = printable(str(file))
        try:
            with opened(file) as text:
                count = gather(form.parse(text, self._name(file, form)), found, file)
            with suppress(OSError):
                self._read += file.stat().st_size
        except Malformed as error:
            where = f":{error.line}" if error.line else ""
            raise TraceError(f"{shown}{where}: {error.what}") from None
        except OSError as error:
            raise TraceError(f"{shown}: cannot be read: {error.strerror or error}") from None
        if not count:
            raise TraceError(f"{shown}:1: has no probe in it that {form.name} would have printed")

    def _name(self, file: Path, form: Format) -> str:
        """What a file's only path is called: as the file; as its target if the configuration knows only that."""
        name = stem(file)
        if self._known and self._find(name) is None:
            target = form.target(head(file))
            if target is not None and self._find(target) is not None:
                return printable(target)
        return printable(name)

    def _path(self, name: str) -> PathId:
        if not self._known:
            return PathId(name)
        path = self._find(name)
        if path is None:
            known = ", ".join(sorted(self._known)[:8])
            raise TraceError(
                f"{self._source}: path {brief(name)} is not in the configuration, which knows {known}, nor what one of "
                "its paths probes"
            )
        return path

    def _find(self, name: str) -> PathId | None:
        if name in self._known:
            return self._known[name]
        # A file cannot be called fra1/fibre.
        spelled = {
            path for full, path in self._known.items() if name in (full.replace("/", "-"), full.replace("/", "_"))
        }
        if len(spelled) == 1:
            return spelled.pop()
        return self._source.targets.get(name)


def stem(file: Path) -> str:
    """The file's name without what tells its format: `fra1.log.gz` is `fra1`, `10.0.0.1` stays."""
    name = file.name
    for compressed in COMPRESSED:
        name = name.removesuffix(compressed)
    bare, dot, suffix = name.rpartition(".")
    return bare if dot and bare and suffix[:1].isalpha() and suffix.isalnum() else name
