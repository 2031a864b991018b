"""The core's records as JSON and back, exactly: `from_json(to_json(record)) == record`.

A record is an object with its class's name under `kind` and one key per field. Unknown fields are skipped, and fields
with a default may be missing, so that other versions can read it.
"""

import contextlib
import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

from steerd.core import effects, events, memory, settings, states

KIND: Final = "kind"

_CLASSES: Final[dict[str, type]] = {
    cls.__name__: cls
    for cls in (
        *typing.get_args(events.Event),
        *(
            events.Share,
            events.BackboneLink,
            events.BackboneLinks,
            events.Observed,
            effects.Switched,
            memory.Memory,
            memory.PinMemory,
            memory.DrainMemory,
            memory.HoldMemory,
        ),
        *(memory.RuleMemory, memory.BurdenMemory),
        *(settings.Settings, settings.PathSettings, settings.PolicySettings),
        *(settings.PanelSettings, settings.RegretSettings, settings.ThresholdSettings),
    )
}


def _hints(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else list(hints)
    return {name: _plain(hints[name]) for name in names}


def _plain(hint: Any) -> Any:
    """The type behind a `typing.NewType`."""
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    return hint


_SIMPLE: Final = frozenset({str, float, int, bool})
_FIELDS: Final = {name: _hints(cls) for name, cls in _CLASSES.items()}
_MEMBERS: Final[Mapping[Any, Mapping[str, Enum]]] = {
    hint: {member.value: member for member in hint}
    for hint in (*vars(events).values(), *vars(states).values(), *vars(settings).values())
    if isinstance(hint, type) and issubclass(hint, Enum)
}


class RecordError(ValueError):
    """The data is no record known to this version."""


def to_json(value: Any) -> Any:
    """What `json.dumps` takes, for a record or anything that a record holds."""
    kind = type(value)
    if kind in (str, float, int, bool, type(None)):
        return value
    if kind.__name__ in _CLASSES:
        return {KIND: kind.__name__, **{name: to_json(getattr(value, name)) for name in _FIELDS[kind.__name__]}}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: to_json(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(inner) for inner in value]
    raise TypeError(f"{kind.__name__} is not kept in records")


def from_json(data: Any) -> Any:
    """The record in `data`. RecordError: it is none."""
    cls = _CLASSES.get(data.get(KIND, "")) if isinstance(data, dict) and isinstance(data.get(KIND), str) else None
    if cls is None:
        raise RecordError("not a record of a known kind")
    fields = {name: _read(hint, data[name]) for name, hint in _FIELDS[cls.__name__].items() if name in data}
    try:
        return cls(**fields)
    except TypeError as error:
        raise RecordError(f"{cls.__name__} lacks a field") from error


def _read(hint: Any, data: Any) -> Any:
    """`data` as the type that `hint` asks for. RecordError: it is something else."""
    if type(data) is hint and hint in _SIMPLE:  # most are
        return data
    if hint in _MEMBERS and isinstance(data, str) and data in _MEMBERS[hint]:
        return _MEMBERS[hint][data]
    hint = _plain(hint)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        for one in inner:
            with contextlib.suppress(RecordError):
                return _read(one, data)
        raise RecordError(f"{data!r:.40} is none of {inner}")
    if origin in (tuple, Sequence) and isinstance(data, list):
        kinds = [inner[0]] * len(data) if inner[-1] is Ellipsis or origin is Sequence else inner
        if len(kinds) == len(data):
            return tuple(_read(kind, item) for kind, item in zip(kinds, data, strict=True))
    elif origin is Mapping and isinstance(data, dict):
        return {key: _read(inner[1], item) for key, item in data.items()}
    elif hint is float and type(data) in (float, int):
        return data
    elif isinstance(hint, type) and hint.__name__ in _CLASSES:
        record = from_json(data)
        if type(record) is hint:
            return record
    elif type(data) is hint:
        return data
    raise RecordError(f"{data!r:.40} is not a {hint}")
