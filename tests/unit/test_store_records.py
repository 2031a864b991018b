"""Records as JSON and back: the same, whatever they hold."""

import dataclasses
import json
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.core import settings
from steerd.core.effects import Switched
from steerd.core.events import Event, Outcome, Probed
from steerd.core.memory import Memory
from steerd.core.states import Reason
from steerd.store.records import RecordError, from_json, to_json

numbers = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)
names = st.text(max_size=8)
st.register_type_strategy(float, numbers)
st.register_type_strategy(str, names)

RECORDS = st.one_of(
    *(st.from_type(cls) for cls in typing.get_args(Event)),
    st.from_type(Memory),
    st.from_type(settings.Settings),
)


def frozen(value: typing.Any) -> typing.Any:
    """Lists as tuples: a record compares equal only to its own kind of sequence."""
    if hasattr(value, "_fields"):
        return type(value)(*map(frozen, value))
    if dataclasses.is_dataclass(value):
        return type(value)(**{one.name: frozen(getattr(value, one.name)) for one in dataclasses.fields(value)})
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


@given(RECORDS)
def test_records_come_back_the_same(record):
    record = frozen(record)
    again = from_json(json.loads(json.dumps(to_json(record))))
    assert again == record
    assert type(again) is type(record)


def test_a_decision_comes_back_the_same():
    path = settings.PathId("fra1/wg0")
    one = Switched(
        "7-1", settings.PolicyId("p"), None, path, Reason.START, 1.5, "first", {path: {"rtt": 1.0}}, {}, {},
    )  # fmt: skip
    assert from_json(json.loads(json.dumps(to_json(one)))) == one


def test_a_file_outlives_a_version():
    assert from_json({"kind": "Probed", "path": "a", "outcome": "reply", "sent_at": 1, "new": 2}) == Probed(
        settings.PathId("a"), Outcome.REPLY, 1.0
    )


JSON = st.recursive(
    st.none() | st.booleans() | numbers | names | st.sampled_from(["Probed", "Memory", "Settings", "reply"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "path", "outcome", "pins", "rule", "sent_at"]), inner, max_size=5)
    ),
)


@given(JSON)
def test_anything_else_is_refused_in_words(data):
    try:
        from_json(data)
    except RecordError as error:
        assert str(error)  # noqa: PT017


def test_what_the_core_does_not_have_is_not_kept():
    with pytest.raises(TypeError):
        to_json(object())
