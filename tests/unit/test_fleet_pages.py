"""What the fleet service serves, and that it can be found fault with: searches, encodings, files, its configuration."""

import json
import zlib
from http import HTTPStatus
from pathlib import Path

import pytest

from steerd.config.file.problem import ConfigError
from steerd.config.fleet.load import load
from steerd.fleet.pages import FleetPages
from steerd.fleet.view import Search
from steerd.web.http import Request

PROJECT = Path(__file__).parents[2]
MQTT = '[mqtt]\nurl = "mqtt://127.0.0.1:1883"\ntenant = "acme"\n'


def pages(asked: list[Search] | None = None, connected: bool = True) -> FleetPages:
    def rows(search: Search) -> dict[str, object]:
        (asked if asked is not None else []).append(search)
        return {"total": 0, "start": 0, "rows": ["x" * 2000]}

    return FleetPages(lambda: {"pops": []}, rows, lambda: b"m 1\n", lambda: (connected, "words"))


@pytest.mark.parametrize("path", [b"/", b"/fleet.js", b"/fleet.css"])
def test_the_page_brings_all_it_needs_and_asks_nobody_else(path):
    answer = pages().answer(Request(path))
    assert answer.status is HTTPStatus.OK
    assert any("default-src 'none'" in field for field in answer.fields)
    text = answer.body.decode()
    for outside in ("http:", "https:", "innerHTML", "eval("):
        assert outside not in text


def test_a_search_is_read_and_bounded():
    asked: list[Search] = []
    query = b"text=gw%2Fx&region=eu&pop=fra1&presence=stale&start=200"
    assert pages(asked).answer(Request(b"/gateways.json", query)).status is HTTPStatus.OK
    assert asked == [Search("gw/x", "eu", "fra1", "stale", 200)]
    pages(asked).answer(Request(b"/gateways.json", b"text=" + b"x" * 5000))
    assert len(asked[-1].text) == 100


@pytest.mark.parametrize(
    "query", [b"start=-1", b"start=x", b"start=99999999", b"presence=dead", b"other=1", b"text=\xff", b"a=1&" * 20]
)
def test_what_is_no_search_is_refused(query):
    assert pages().answer(Request(b"/gateways.json", query)).status is HTTPStatus.BAD_REQUEST


def test_large_answers_are_compressed_for_who_takes_that():
    request = Request(b"/gateways.json", b"", b"Host: x\r\nAccept-Encoding: br, gzip\r\n")
    packed, plain = pages().answer(request), pages().answer(Request(b"/gateways.json"))
    assert packed.fields == ("Content-Encoding: gzip",)
    assert json.loads(zlib.decompress(packed.body, wbits=31)) == json.loads(plain.body)


def test_it_is_ready_while_it_hears_the_broker():
    assert pages(connected=False).answer(Request(b"/readyz")).status is HTTPStatus.SERVICE_UNAVAILABLE
    assert pages().answer(Request(b"/readyz")).status is HTTPStatus.OK
    assert pages().answer(Request(b"/healthz")).status is HTTPStatus.OK
    assert pages().answer(Request(b"/metrics")).body == b"m 1\n"
    assert pages().answer(Request(b"/../etc/passwd")).status is HTTPStatus.NOT_FOUND


def test_the_example_that_has_every_key_is_taken(tmp_path):
    settings = load(PROJECT / "config/fleet.toml")
    assert settings.inventory == PROJECT / "config/inventory"
    assert (settings.export.port, settings.mqtt.tenant) == (9912, "acme")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "mqtt: is missing: must say which broker is heard"),
        ("[fleet]\nregion = 1\n" + MQTT, r'fleet.region: .*did you mean "regions"'),
        ('[fleet]\nname = "a b"\n' + MQTT, "fleet.name"),
        ('[fleet]\nrollup_interval = "0s"\n' + MQTT, "fleet.rollup_interval"),
        ("[mqtt]\ntenant = 1\n", "mqtt.tenant"),
        ('[export]\nlisten = "9912"\n' + MQTT, "export.listen"),
        ("[gateway]\n" + MQTT, "gateway"),
        ('[mqtt]\nurl = "mqtt://127.0.0.1"\ntenant = "acme"\nca = "ca.pem"\n', "mqtt.ca"),
    ],
)
def test_a_mistake_in_the_file_names_the_place(tmp_path, text, words):
    file = tmp_path / "fleet.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load(file)
