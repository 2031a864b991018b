"""What files have in them: an operator's, our own, other tools'."""

import gzip
import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path

from steerd.config.file.problem import ConfigError
from steerd.config.gateway.load import load
from steerd.config.stamp_key import KeyFileError, parsed
from steerd.replay.imports.formats import FORMATS, recognise
from steerd.replay.imports.imported import Import
from steerd.replay.imports.text import head
from steerd.replay.recorded import effects
from steerd.replay.trace.reading import TraceError
from steerd.replay.trace.rows import read as read_rows
from steerd.share.signing import secret
from steerd.store import recording
from steerd.store.database import Database, Limits
from steerd.store.earlier import read as read_earlier
from steerd.store.records import RecordError, from_json
from steerd.store.sober import SoberClock
from steerd.trace.request import Aim, Request
from tests.fuzz.target import Target

_ROOT = Path(__file__).parents[2]
_DATA = _ROOT / "tests/unit/data"
_FOLDER = tempfile.TemporaryDirectory()
_STEPS = 2000
"""Events of a recording that are replayed: what hangs does so in the first ones."""

_WALL = 1_800_000_000.0
_GATEWAY = b"""[gateway]
name = "gw"
[[pop]]
name = "fra1"
paths = [{ dev = "wg0", target = "192.0.2.1" }]
[[policy]]
name = "users"
prefixes_file = "prefixes"
"""


def _file(name: str, data: bytes) -> Path:
    file = Path(_FOLDER.name) / name
    file.write_bytes(data)
    return file


def _config(data: bytes) -> None:
    load(_file("steerd.toml", data))


def _prefixes(data: bytes) -> None:
    _file("prefixes", data)
    load(_file("gateway.toml", _GATEWAY))


def _trace(data: bytes) -> None:
    kept = read_rows(_file("a.csv", data), {})
    for _ in islice(kept.replayed().groups(), _STEPS):
        pass


def _imports(data: bytes) -> None:
    file = _file("imported", data)
    recognise(head(file))
    for form in FORMATS.values():
        with suppress(TraceError):
            last = -1.0
            for one in Import([(file, form)]).trace({}).groups():
                assert one.sent_at > last
                assert all(rtt is None or 0.0 <= rtt < 1e9 for rtt in one.rtts)
                last = one.sent_at


def _recording(data: bytes) -> None:
    file = _file("recording-7.jsonl.gz", gzip.compress(data, 1))
    header, events = recording.read(file)
    for _ in islice(effects(header, islice(events, _STEPS), str(file)), _STEPS):
        pass


def _record(data: bytes) -> None:
    from_json(json.loads(data))


@cache
def _database() -> Database:
    return Database(Path(_FOLDER.name), Limits(), SoberClock(lambda: _WALL))


def _stored(data: bytes) -> None:
    """A row of the store's, of each kind: it is read at the next start, or passed over."""
    database, value = _database(), json.loads(data)
    for key in ("epoch", "memory", "addresses", "orders", "believed"):
        database.put(key, value)
    found = read_earlier(database, _WALL, SoberClock(lambda: _WALL), lambda _: None)
    assert found.epoch >= _WALL


def _request(data: bytes) -> None:
    Request.from_json(data.decode())


def _keys(data: bytes) -> None:
    for read in (parsed, lambda data: secret(data.decode())):
        try:
            read(data)
        except (KeyFileError, ValueError):
            continue


def _recorded() -> Iterator[bytes]:
    with gzip.open(_DATA / "recording-0.1.jsonl.gz") as lines:
        yield b"".join(islice(lines, 12))


def _records() -> Iterator[bytes]:
    with gzip.open(_DATA / "recording-0.1.jsonl.gz") as lines:
        first = json.loads(next(lines))
        yield json.dumps(first["settings"]).encode()
        yield json.dumps(first["memory"]).encode()
        for line in islice(lines, 5):
            yield json.dumps(json.loads(line)[1]).encode()


_REQUEST = Request("fra1/wg0", "wg0", 1, "icmp", 0, 0, (Aim(4, "192.0.2.1", ""),)).to_json().encode()

TARGETS = (
    Target(
        "config",
        _config,
        lambda: (
            (_ROOT / "config/steerd.toml").read_bytes(),
            _GATEWAY,
            (_ROOT / "tests/unit/test_config_mistakes.toml").read_bytes(),
        ),
        (ConfigError,),
    ),
    Target("prefixes-file", _prefixes, lambda: (b"10.0.0.0/8\n2001:db8::/32  # a\n\n192.0.2.1\n",), (ConfigError,)),
    Target("key-files", _keys, lambda: (b"00" * 16, b"steerd-secret:AAAA")),
    Target(
        "csv-trace",
        _trace,
        lambda: ((_ROOT / "docs/example.csv").read_bytes()[:600], b"time_s,path,rtt_ms\n0,a,1\n1,a,\n"),
        (TraceError,),
    ),
    Target("imports", _imports, lambda: (file.read_bytes()[:1500] for file in sorted((_DATA / "imports").iterdir()))),
    Target("recording", _recording, _recorded, (TraceError, RecordError)),
    Target("record", _record, _records, (ValueError, RecursionError)),
    Target(
        "store",
        _stored,
        lambda: (b"7", b'{"t":"5{}"}', b'[["a",4,"192.0.2.1"]]', *_records()),
        (ValueError, RecursionError),
    ),
    Target(
        "trace-request",
        _request,
        lambda: (
            b'{"path":"fra1/wg0","device":"wg0","mark":1,"method":"icmp","port":0,"dscp":0,"aims":[{"family":4,"address":"192.0.2.1","source":""}]}',
        ),
        (ValueError, TypeError, KeyError, AttributeError, RecursionError),
    ),
)
