"""What is wrong with a configuration, all of it at once, for whoever wrote it."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from steerd.text.lines import printable

EX_CONFIG = 78  # the exit code for a configuration that cannot be used, as in sysexits.h
HIDDEN: Final = "a value that is not shown"
"""In the place of a secret, or of what may be one: a secret key where a public one belongs."""

_SHOWN = 60
_ENTRY = re.compile(r"(pop|policy|uplink|link)\[(\d+)\]")
_TOP = re.compile(r"(\w[\w-]*)(?:\[(\d+)\])?")
_SECRET = re.compile(r"(pass|pwd|secret|token|credential|private|psk|key|peer|auth)(?!.*_file$)", re.IGNORECASE)
_SECRET_FILE = re.compile(r"(pass|pwd|secret|token|credential|private|psk|key|auth)\w*_file$", re.IGNORECASE)
_FILE_NAME = re.compile(r"[\w-]+\.[a-z]{2,12}")
_USER = re.compile(r"(?<=://).*@", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Problem:
    """`key` is the path to the key (`pop[2].paths[0].via`, counted from 0), or a line of the file; `found` the
    value there, None when there is none; `allowed` says what is. ``late``: something could not be read, which may be
    there later; nothing that was read is wrong. ``entry`` names the entry of a list that it is in, for who does not
    count from 0."""

    file: Path
    key: str
    found: str | None
    allowed: str
    late: bool = False
    entry: str = ""
    place: str | None = None
    """The path to the key in all files of the configuration together, where that is another."""

    def __str__(self) -> str:
        found = f"found {self.found}; " if self.found is not None else ""
        return printable(f"{self.file}: {self.key + ': ' if self.key else ''}{found}{self.allowed}{self.entry}")


class ConfigError(Exception):
    """The configuration cannot be used. `problems` is the whole list, one line each in `str()`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def exit_code(self) -> int:
        """Of a command that cannot go on: 78, which no later try can mend, or 1 if all of it is merely late."""
        return 1 if all(problem.late for problem in self.problems) else EX_CONFIG


@dataclass(slots=True)
class Report:
    """Collects what the checks of one file find. If ``tolerant``, included files and lists of prefixes that cannot be
    read, or not to their end, are no problem, but ``missed``: for who can do something useful without them."""

    file: Path
    tolerant: bool = False
    problems: list[Problem] = field(default_factory=list)
    missed: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tables: Mapping[str, Any] = field(default_factory=dict)
    """The file's, as they were written: for the names of what is wrong."""
    origins: dict[str, list[tuple[Path, int]]] = field(default_factory=dict)
    """Of what other files add to the first: by its name at the top, where each entry stands, or the table."""

    def origin(self, key: str) -> tuple[Path, str]:
        """The file that a key of the whole configuration is in, and its path there."""
        at = _TOP.match(key)
        origins = self.origins.get(at[1]) if at else None
        if at is None or not origins:
            return self.file, key
        if at[2] is None:
            return (origins[0][0] if len(origins) == 1 else self.file), key
        file, number = origins[int(at[2])]
        return file, f"{at[1]}[{number}]{key[at.end() :]}"

    def told(self, key: str) -> str:
        """A key within a sentence: with the file that it is in, where that is not the first."""
        file, own = self.origin(key)
        return own if file == self.file and not self.origins else f"{file}: {own}"

    def error(self, key: str, found: object, allowed: str, file: Path | None = None) -> None:
        """What is wrong at `key`, as for `Problem`; in another ``file`` than the report's if given."""
        value = None if found is None else shown(found, key)
        origin, own = (file, key) if file else self.origin(key)
        self.problems.append(Problem(origin, own, value, allowed, entry=self._entry(key, own), place=key))

    def _entry(self, key: str, own: str) -> str:
        """The `[[...]]` that a key is in: by its place, counted from 1, and by its name."""
        if (at := _ENTRY.match(key)) is None:
            return ""
        table, number = at[1], int(at[2])
        entries = self.tables.get(table)
        entry = entries[number] if isinstance(entries, list) and number < len(entries) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        called = f', "{name}"' if isinstance(name, str) and at[0] + ".name" != key else ""
        there = _ENTRY.match(own)
        return f" (in [[{table}]] number {int(there[2]) + 1 if there else number + 1}{called})"

    def unique(self, table: str, names: Iterable[str | None], key: str = "name") -> None:
        """No two of a table's entries may have one name, under this key. None: an entry that had to be refused."""
        first: dict[str, int] = {}
        for place, name in enumerate(names):
            if name is not None and first.setdefault(name, place) != place:
                first_place = self.told(f"{table}[{first[name]}]")
                self.error(f"{table}[{place}].{key}", name, f"must be unique: {first_place} has this name")

    def late(self, key: str, file: Path, error: OSError) -> None:
        """The ``file`` that is named at `key` cannot be read now."""
        words = f"must be a file that can be read: {error.strerror}"
        origin, own = self.origin(key)
        self.problems.append(Problem(origin, own, f'"{file}"', words, late=True, place=key))

    def miss(self, since: int) -> bool:
        """If tolerant, take what was reported after the first so many problems as missed. Returns whether any was."""
        missed = self.problems[since:] if self.tolerant else []
        self.missed += missed
        del self.problems[len(self.problems) - len(missed) :]
        return bool(missed)

    def absent(self, key: str, written: str, file: Path) -> None:
        """The ``file`` that is ``written`` at `key` is not there now."""
        secret = _SECRET_FILE.search(key) and not told(written, self.file.parent)
        place = "the file (what is written may be the secret itself, and is not shown)" if secret else file
        self.warn(key, f"{place} cannot be read now")

    def warn(self, key: str, text: str) -> None:
        """What is allowed at `key`, but hardly meant."""
        origin, own = self.origin(key)
        self.warnings.append(f"{origin}: {own}: {text}")

    def touched(self, key: str) -> bool:
        """Whether something at `key` or below it was reported: what is missing there may have been refused."""
        places = (problem.key if problem.place is None else problem.place for problem in self.problems)
        return any(place == key or place.startswith((f"{key}.", f"{key}[")) for place in places)


def shown(value: object, key: str = "") -> str:
    """A value as TOML would write it, cut when long, without secrets."""
    public = _public(value, key)
    if public is HIDDEN:
        return HIDDEN
    date = not isinstance(public, str | dict | list | int | float)
    text = str(public) if date else json.dumps(public, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def told(written: str, folder: Path) -> bool:
    """Whether what names the file of a secret may be shown: it is the place of one, and not the secret itself."""
    place = folder / written
    plain = _FILE_NAME.fullmatch(written) or written.startswith("${CREDENTIALS_DIRECTORY}/")
    return bool(plain) or ("/" in written and place.parent.is_dir()) or place.is_file()


def _public(value: Any, key: str) -> Any:
    if _SECRET.search(key):
        return HIDDEN
    if _SECRET_FILE.search(key) and isinstance(value, str) and not told(value, Path("/")):
        return HIDDEN
    if isinstance(value, dict):
        return {name: _public(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_public(inner, "") for inner in value]
    return _USER.sub("...@", value) if isinstance(value, str) else value


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?`, or what there is to choose from."""
    names = sorted(set(known))
    if close := difflib.get_close_matches(name, names, n=1, cutoff=0.55):
        return f'did you mean "{close[0]}"?'
    return f"known: {', '.join(names)}" if names else "there is none"
