"""`include`: more files of one configuration, read as if their entries stood at the end of the first."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from steerd.config.file.problem import ConfigError, Problem, Report
from steerd.config.file.toml import Layout, toml

KEY: Final = "include"
MOST: Final = 1000
"""So many files may be included."""
VANISHING: Final = ("pop", "uplink", "hook")
"""What a file may hold that a pattern finds: none of it guards anything, and no setting is in it. Such a file may
vanish without a word, and a policy that vanished with it would take its fence away."""

_MARKS: Final = "*?["


def included(raw: dict[str, Any], layout: Layout[Any], report: Report) -> dict[str, Any]:
    """The tables of the first file, which are ``raw``, with those of all that it includes; ``report`` learns which are
    from where. ConfigError: one of the files cannot be taken; what is wrong with all of them. If ``report`` is
    tolerant, what such files hold is ``missed``."""
    patterns = raw.pop(KEY, [])
    if not isinstance(patterns, list) or not all(isinstance(one, str) and one for one in patterns):
        raise ConfigError([_problem(report, KEY, patterns, "must be a list of file names, in quotes: [...]")])
    problems: list[Problem] = []  # of the list of files
    unread: list[Problem] = []  # of the files
    files: dict[Path, bool] = {}
    for at, pattern in enumerate(patterns):
        try:
            for file, found in _files(report.file.parent, pattern):
                files[file] = found and files.get(file, True)
        except OSError as error:
            words = f"its folder cannot be read: {error.strerror}"
            unread.append(Problem(report.file, f"{KEY}[{at}]", f'"{pattern}"', words, late=True))
        except ValueError as error:
            problems.append(_problem(report, f"{KEY}[{at}]", pattern, str(error)))
    if len(files) > MOST:
        problems.append(_problem(report, KEY, len(files), f"must be at most {MOST} files"))
        files.clear()
    whole = dict(raw)
    for file, found in files.items():
        try:
            tables = toml(file)
        except ConfigError as error:
            unread += error.problems
            continue
        unread += _joined(whole, file, tables, layout, report, found=found)
    if problems or (unread and not report.tolerant):
        raise ConfigError([*problems, *unread])
    report.missed += unread
    return whole


def _files(folder: Path, pattern: str) -> Iterator[tuple[Path, bool]]:
    """The files, and whether a pattern found them. OSError, ValueError: there cannot be any."""
    place = folder / pattern
    if any(mark in str(Path(pattern).parent) for mark in _MARKS):
        raise ValueError("must have its *, ? and [...] in the file's name, not in the folder's")
    if not any(mark in place.name for mark in _MARKS):
        yield place, False
        return
    for file in sorted(place.parent.iterdir()):
        if fnmatchcase(file.name, place.name) and not file.name.startswith("."):
            yield file, True


def _joined(
    whole: dict[str, Any], file: Path, tables: dict[str, Any], layout: Layout[Any], report: Report, *, found: bool
) -> Iterator[Problem]:
    """Adds one file's tables to the ``whole``; what is wrong with them as they stand in it."""
    if not tables:
        yield Problem(file, "", None, "is empty: it may have been cut short; to include nothing, take the file away")
    for name, table in tables.items():
        listed = layout.header(name).startswith("[[")
        if name == KEY:
            yield Problem(file, KEY, None, f"must be in {report.file} alone")
        elif listed and not isinstance(table, list):
            yield Problem(file, name, None, f"must be a list of tables: {layout.header(name)}")
        elif found and name in layout.keys("") and name not in VANISHING:
            allowed = "must be in the first file, or in one that is included by its name, as such a file can vanish"
            yield Problem(file, name, None, f"stands in a file that a pattern found: {allowed}")
        elif listed:
            former = whole.get(name, [])
            if isinstance(former, list):  # what else it is, is said when the first file is checked
                report.origins.setdefault(name, [(report.file, at) for at in range(len(former))])
                report.origins[name] += ((file, at) for at in range(len(table)))
                whole[name] = former + table
        elif name in whole:
            yield Problem(file, name, None, f"must be in one file only: {report.origin(name)[0]} has it too")
        else:
            report.origins[name] = [(file, 0)]
            whole[name] = table


def _problem(report: Report, key: str, found: object, allowed: str) -> Problem:
    report.error(key, found, allowed)
    return report.problems.pop()
