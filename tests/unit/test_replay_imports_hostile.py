"""Whatever a file has in it, an import ends in a trace or in one `TraceError`."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steerd.replay.imports.formats import FORMATS, recognise
from steerd.replay.imports.imported import Import
from steerd.replay.imports.text import head
from steerd.replay.trace.reading import TraceError

DATA = Path(__file__).parent / "data" / "imports"
FILES = sorted(DATA.iterdir())

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


def replayed(folder, data):
    """Reads the bytes as each format; what comes out is sorted and sane, or a message in one line."""
    file = folder / "fuzzed"
    file.write_bytes(data)
    recognise(head(file))
    for form in FORMATS.values():
        said = None
        last = -1.0
        try:
            for one in Import([(file, form)]).trace({}).groups():
                assert one.sent_at > last
                assert len(one.paths) == len(one.rtts) > 0
                assert all(rtt is None or 0.0 <= rtt < 1e9 for rtt in one.rtts)
                last = one.sent_at
        except TraceError as error:
            said = str(error)
        assert said is None or (said.startswith(str(file)) and said.isprintable())


@given(st.binary(max_size=400))
@RELAXED
def test_any_bytes(tmp_path_factory, data):
    replayed(tmp_path_factory.getbasetemp(), data)


@given(st.data())
@RELAXED
def test_real_files_with_bytes_changed_cut_or_doubled(tmp_path_factory, data):
    text = bytearray(data.draw(st.sampled_from(FILES)).read_bytes()[:6000])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(text) - 1))
        until = min(len(text), at + data.draw(st.integers(0, 40)))
        change = data.draw(
            st.one_of(
                st.binary(max_size=4),
                st.sampled_from(
                    [b"", b"9" * 30, b"9" * 5000, b"-1", b"null", b"NaN", b"1e999", b"[", b"\n", b"\0", b'"', b"{}"]
                ),
                st.just(bytes(text[at:until]) * 2),
            )
        )
        text[at:until] = change
        text = text or bytearray(b" ")
    replayed(tmp_path_factory.getbasetemp(), bytes(text))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["NaN", "*", "false"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def places(value, at=()):
    """All places in a JSON value."""
    yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*at, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:3]):
            yield from places(inner, (*at, number))


@given(st.data())
@RELAXED
def test_real_json_with_other_values_in_it(tmp_path_factory, data):
    files = [file for file in FILES if file.suffix == ".json"]
    value = json.loads(data.draw(st.sampled_from(files)).read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(list(places(value))))
        other = data.draw(VALUES)
        if not at:
            value = other
            continue
        inner = value
        for key in at[:-1]:
            inner = inner[key]
        inner[at[-1]] = other
    replayed(tmp_path_factory.getbasetemp(), json.dumps(value).encode())


LINES = st.lists(
    st.builds(
        "[{}] {}".format,
        st.floats(0, 2e9).map(lambda at: f"{at:.6f}"),
        st.one_of(
            st.builds(
                "64 bytes from a: icmp_seq={} ttl=3 time={:.3f} ms".format, st.integers(0, 70_000), st.floats(0, 1e7)
            ),
            st.builds("no answer yet for icmp_seq={}".format, st.integers(0, 70_000)),
            st.builds(
                "h{} : [{}], 64 bytes, {:.3g} ms (1 avg, 0% loss)".format,
                st.integers(0, 2),
                st.integers(0, 10**7),
                st.floats(0, 1e7),
            ),
            st.builds("h{} : [{}], timed out (NaN avg, 100% loss)".format, st.integers(0, 2), st.integers(0, 10**7)),
        ),
    ),
    max_size=12,
)


@given(LINES)
@settings(RELAXED, max_examples=60)
def test_lines_that_are_right_each_for_itself(tmp_path_factory, lines):
    replayed(tmp_path_factory.getbasetemp(), "\n".join(lines).encode())


@pytest.mark.parametrize(
    "data", [b"[" * 200_000, b'{"a":' * 200_000, b'{"round_trips":[' + b"[" * 100_000, b"1" * 100_000]
)
def test_nesting_and_numbers_without_end(tmp_path, data):
    replayed(tmp_path, data)
