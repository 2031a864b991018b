"""TOML to checked tables, whichever program they are for, every mistake in them reported at once."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from steerd.config.file import files
from steerd.config.file.problem import ConfigError, Problem, Report, nearest

_ROUNDS = 8
_DEEPEST = 16
_BITS = 63
_HUGE = "must be a number of at most 64 bits"
_DEEP = f"must be nested at most {_DEEPEST} deep"
_UNREADABLE = "is not TOML that can be read"
_DIGITS = re.compile(rb"[0-9_]{4300}")  # more than Python makes a number of
_KEYS = re.compile(r"\('.*\)")  # keys as tomllib has them
_KEY = re.compile(r"'((?:[^'\\]|\\.)*)'")
_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_WORDS = {
    "string_type": 'must be text, in quotes: "..."',
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "bool_type": "must be true or false",
    "list_type": "must be a list: [...]",
    "dict_type": "must be a table: { ... }",
}


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Layout(Generic[M]):
    """What a program's file may have: the ``document`` as a whole, its ``tables`` by their place in it, and the
    ``headers`` of those that are not written as ``[PLACE]``: ``[[...]]`` for lists of tables."""

    document: type[M]
    tables: Mapping[str, type[BaseModel]]
    headers: Mapping[str, str]

    def header(self, place: str) -> str:
        """How the table at this place begins in the file."""
        return self.headers.get(place, f"[{place}]")

    def keys(self, place: str) -> list[str]:
        """What may be written in the table at this place; at none: in the document."""
        model = self.tables.get(place) if place else self.document
        return [field.alias or name for name, field in model.model_fields.items()] if model else []


def toml(file: Path) -> dict[str, Any]:
    """The file's tables. ConfigError: it cannot be read, or is not TOML."""
    try:
        data = files.content(file)
    except OSError as error:
        raise ConfigError([Problem(file, "", None, f"cannot be read: {error.strerror}", late=True)]) from error
    except files.UnfitError as error:
        raise ConfigError([Problem(file, "", None, str(error))]) from error
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(file, _line(data, error.start), None, "must be UTF-8 text")]) from error
    except tomllib.TOMLDecodeError as error:
        text, where = str(error), _WHERE.search(str(error))
        key = f"line {where[1]}, column {where[2]}" if where and where[1] else _line(data, len(data))
        said = _KEYS.sub(lambda keys: ".".join(_KEY.findall(keys[0])), _WHERE.sub("", text))
        raise ConfigError([Problem(file, key, None, f"is not TOML: {said}")]) from error
    except ValueError as error:  # which only a number of thousands of digits brings
        digits = _DIGITS.search(data)
        place = _line(data, digits.start()) if digits else ""
        raise ConfigError([Problem(file, place, None, f"{_UNREADABLE}: {_HUGE}")]) from error
    except RecursionError as error:
        raise ConfigError([Problem(file, "", None, f"{_UNREADABLE}: {_DEEP}")]) from error


def _line(data: bytes, at: int) -> str:
    line, begins = data.count(b"\n", 0, at) + 1, data.rfind(b"\n", 0, at)
    return f"line {line}, column {at - begins}"


def document(raw: dict[str, Any], layout: Layout[M], report: Report) -> M:
    """The tables, checked one by one. What is refused is reported and left out, so that the rest can still be checked:
    a table that lacks something it must have is None, or as if it had not been written."""
    _bound(raw, (), report)
    pruned = raw
    for _ in range(_ROUNDS):
        try:
            return layout.document.model_validate(pruned)
        except ValidationError as refused:
            pruned = deepcopy(pruned)
            # Last first: removing one never moves another that is still to be removed.
            for error in reversed(_unreported(refused, layout, report)):
                _prune(pruned, error)
    return layout.document()


def _bound(found: Any, place: tuple[str | int, ...], report: Report) -> bool:
    """Reports and removes what no check below is to meet: huge numbers, and what is nested deep. Returns whether
    ``found`` itself is such a thing."""
    huge = isinstance(found, int) and found.bit_length() > _BITS
    if huge or len(place) > _DEEPEST:
        report.error(key(place), None, _HUGE if huge else _DEEP)
        return True
    if isinstance(found, dict):
        for name in [name for name, inner in found.items() if _bound(inner, (*place, name), report)]:
            del found[name]
    elif isinstance(found, list):
        found[:] = [None if _bound(inner, (*place, at), report) else inner for at, inner in enumerate(found)]
    return False


def _unreported(refused: ValidationError, layout: Layout[Any], report: Report) -> list[tuple[str | int, ...]]:
    """Reports each error once; returns the places to remove, wider where the narrow one was removed before."""
    places = []
    for error in refused.errors(include_url=False):
        place = error["loc"]
        missing = error["type"] == "missing"
        if not report.touched(key(place)):
            found, allowed = _words(error, layout)
            report.error(key(place), found, allowed)
        # TOML has no null: None stands where something was removed before.
        places.append(place[:-1] if missing or error["input"] is None else place)
    return places


def _prune(tables: dict[str, Any], place: Sequence[str | int]) -> None:
    at: Any = tables
    try:
        for step in place[:-1]:
            at = at[step]
        if not place:
            tables.clear()
        elif isinstance(place[-1], int):
            at[place[-1]] = None
        else:
            del at[place[-1]]
    except (KeyError, IndexError, TypeError):
        return  # something around it was removed before


def key(place: Sequence[str | int]) -> str:
    """`("pop", 2, "paths", 0, "via")` as people write it: `pop[2].paths[0].via`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _words(error: ErrorDetails, layout: Layout[Any]) -> tuple[object, str]:
    """What was found, and what is allowed."""
    kind, found, place = error["type"], error["input"], error["loc"]
    if kind == "missing":
        return None, "is missing, and must be given"
    if kind == "extra_forbidden":
        return found, f"is not a known key; {_known(place, layout)}"
    if kind == "value_error":
        return found, str(error["ctx"]["error"])
    if kind == "literal_error":
        return found, f"must be {error['ctx']['expected'].replace(chr(39), chr(34))}"
    if kind == "list_type" and isinstance(found, dict) and (header := layout.header(str(place[-1]))).startswith("[["):
        return found, f"must be a list of tables: {header}"
    if kind.startswith("model") and len(place) == 1:
        return found, f"must be one table: [{place[0]}]"
    if kind.startswith("model"):
        return found, "must be a table: { ... }"
    return found, _WORDS.get(kind, "is not allowed here")


def _known(place: Sequence[str | int], layout: Layout[Any]) -> str:
    *around, last = place
    for table in layout.tables:
        if str(last) != "name" and str(last) in layout.keys(table):
            return f"it belongs in {layout.header(table)}"
    return nearest(str(last), layout.keys(".".join(step for step in around if isinstance(step, str))))
