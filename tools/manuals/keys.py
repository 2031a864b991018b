"""The configuration's keys: their kinds, bounds and defaults from its models, and what they mean from where that is
written for people: config/steerd.toml, and the tables of docs/configuration.md for what has no line there."""

import functools
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError, create_model
from pydantic.fields import FieldInfo

from steerd.config.file.problem import Report
from steerd.config.file.toml import document
from steerd.config.gateway.document import LAYOUT, Weights
from steerd.text.durations import show
from tools.manuals.troff import bold, item, words

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / "config/steerd.toml"
PAGE = PROJECT / "docs/configuration.md"
UPLINKS = PROJECT / "docs/uplinks.md"
_HEADER = re.compile(r"(?:# )?\[+([a-z]+)\]+")
_KEY = re.compile(r"""(?:\#\ )?([a-z0-9_]+)\ =\ ((?:"[^"]*"|[^"\#])*?)\s*(?:\#\ ?(.*))?""", re.VERBOSE)
_MORE = re.compile(r"(?:# )?\s{8,}#\s*(.*)")
_ROW = re.compile(r"\| (`.*?) \| (.*) \|")
_LINK = re.compile(r"\[(`[^`]*`|[^\]]+)\]\([^)]*\)")
_EXPLAINED = re.compile(r': (?:"250ms"|"500B|a letter or digit)|, in quotes:')
"""The page itself says once how such values are written."""
_LISTS = {"pop", "paths", "uplink", "policy", "hook"}
_WEIGHT = "What this term of the cost is multiplied with"


class Written(NamedTuple):
    """A key in the example: its value as TOML, and what is said of it."""

    value: str
    words: str


class Key(NamedTuple):
    """``default`` as it would be written; empty: it has none. ``required``: it has to be given."""

    name: str
    words: str
    allowed: str
    default: str
    required: bool


def roff() -> str:
    """A section for each table."""
    text = ""
    for table, keys in tables().items():
        text += f".SS {bold(LAYOUT.header(table) if table else 'Before the first table')}\n"
        if (said := examples().get(table, {}).get("")) is not None:
            text += f"{words(said.words)}\n"
        for key in keys:
            note = "Must be given." if key.required else f"Default: {bold(key.default)}." if key.default else ""
            note = "" if "Default:" in key.words else note
            allowed = f"Allowed: {words(key.allowed)}." if key.allowed else ""
            text += item(bold(key.name), words(key.words), f"{note} {allowed}".strip())
    return text


def tables() -> dict[str, list[Key]]:
    """Their keys by their place; of the document itself: what is no table."""
    top = [
        key for key in _keys("", LAYOUT.document) if key.name not in {place.split(".")[0] for place in LAYOUT.tables}
    ]
    return {"": top} | {place: list(_keys(place, model)) for place, model in LAYOUT.tables.items()}


def _keys(place: str, model: type[BaseModel]) -> Iterator[Key]:
    said, meanings = examples().get(place, {}), rows()
    for field, info in model.model_fields.items():
        name = info.alias or field
        written = said.get(name) or Written("", "")
        text = written.words or meanings.get(f"{place}.{name}" if place else name, "")
        text = _WEIGHT if model is Weights else text
        if text:
            first = text if text.startswith(("true", "false")) else text[0].upper() + text[1:]
            text = first.removesuffix(",").removesuffix(".") + "."
        allowed = _allowed(place, name)
        yield Key(name, text, allowed, _default(info, allowed, written.value), info.is_required())


def _allowed(place: str, name: str) -> str:
    """As a mistake would be told what is allowed; empty: that is a table, or a list of them."""
    raw: dict[str, Any] = {name: [object()]}
    for step in reversed(place.split(".") if place else []):
        raw = {step: [raw] if step in _LISTS else raw}
    report = Report(EXAMPLE)
    document(raw, LAYOUT, report)
    for problem in report.problems:
        if (key := re.search(rf"(?:^|\.){name}(\[0\])?$", problem.key)) and problem.found is not None:
            allowed = problem.allowed.removeprefix("must be ")
            allowed = _EXPLAINED.split(allowed)[0]
            return "" if "table: {" in allowed else f"a list, each {allowed}" if key[1] else allowed
    raise AssertionError(f"{place}.{name} takes anything")


def _default(info: FieldInfo, allowed: str, written: str) -> str:
    """As it would be written; empty: there is none, or it is in the words."""
    value = info.default
    if info.is_required() or value is None or isinstance(value, BaseModel):
        return ""
    if written and _validated(info, tomllib.loads(f"value = {written}")["value"]) == value:
        return written
    if "duration" in allowed:
        return f'"{show(value / _validated(info, "1s"))}"'
    return "" if isinstance(value, tuple) else json.dumps(value)


def _validated(info: FieldInfo, value: object) -> Any:
    """None: it is not allowed."""
    one: Any = create_model("One", key=(info.rebuild_annotation(), ...))  # type: ignore[call-overload]
    try:
        return one.model_validate({"key": value}, strict=True).key
    except ValidationError:
        return None


@functools.cache
def examples() -> dict[str, dict[str, Written]]:
    """What config/steerd.toml says of each key of each table, and under an empty name of the table itself."""
    found: dict[str, dict[str, Written]] = {"": {}}
    table = last = ""
    for line in EXAMPLE.read_text().splitlines():
        if header := _HEADER.match(line):
            table, last = header[1], ""
            said = line.partition("]")[2].lstrip("] ").removeprefix("#").strip()
            found.setdefault(table, {}).setdefault("", Written("", said))
        elif more := _MORE.fullmatch(line):
            one = found[table].get(last)
            if one is not None:
                found[table][last] = one._replace(words=f"{one.words} {more[1]}")
        elif key := _KEY.fullmatch(line):
            last = key[1]
            found[table].setdefault(last, Written(key[2], key[3] or ""))
        else:
            last = "-"
    return found


@functools.cache
def rows() -> dict[str, str]:
    """What tables of pages say of keys, by their place: `pop.paths.dev`. A row may be of several."""
    found: dict[str, str] = {}
    heading = ""
    for page in (PAGE, UPLINKS):
        heading = "uplink" if page is UPLINKS else ""
        for line in page.read_text().splitlines():
            if line.startswith("#"):
                heading = {"### `[[pop]]`": "pop.paths", "### `[[policy]]`": "policy"}.get(line, heading)
            elif row := _ROW.fullmatch(line):
                cells = row[2].split(" | ")
                around = heading
                for name in re.findall(r"`([a-z0-9_.]+)`", row[1]):
                    around = name.rpartition(".")[0] if "." in name else around
                    key = name if "." in name or not around else f"{around}.{name}"
                    found.setdefault(key, _LINK.sub(r"\1", cells[-1]).replace("\\|", "|"))
    return found
