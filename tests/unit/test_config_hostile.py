"""Whatever a configuration file holds, or is, it is refused in words, with the place where that is known."""

import asyncio
import os
from codecs import BOM_UTF8
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steerd.cli.steerd import main
from steerd.config.file.problem import ConfigError
from steerd.config.gateway import load as loading
from steerd.config.gateway.load import load
from steerd.config.settings import MqttSettings
from steerd.daemon.reload import Reload
from steerd.share.mqtt.credentials import read
from tests.unit.test_config_load import POLICY, POP

GOOD = POP + POLICY
HUGE = "1" + 400 * "0"
SECRET = "hunter2hunter2"


@pytest.fixture
def refused(tmp_path, capsys):
    """What `steerd check` says of this file, a line a problem, without the file's own name."""

    def refused(content: bytes | str) -> list[str]:
        file = tmp_path / "steerd.toml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert main(["check", str(file)]) == 78
        return [line.removeprefix(f"{file}: ") for line in capsys.readouterr().err.splitlines()]

    return refused


@pytest.mark.parametrize(
    ("table", "place"),
    [
        (f"[probe]\ninterval = {HUGE}", "probe.interval"),
        (f"[steer]\nmargin_ms = -{HUGE}", "steer.margin_ms"),
        (f"[score]\njitter_weight = {HUGE}", "score.jitter_weight"),
        (f"[route]\nmark = 0x{4000 * 'f'}", "route.mark"),
        (f"[route]\nunknown = [{{ a = 0x{4000 * 'f'} }}]", "route.unknown[0].a"),
    ],
)
def test_a_huge_number_is_refused_where_it_stands(refused, table, place):
    assert refused(f"{table}\n{GOOD}") == [f"{place}: must be a number of at most 64 bits"]


def test_a_number_too_long_to_be_read_is_refused_by_its_line(refused):
    said = refused(f"[route]\ntable = {5000 * '9'}\n{GOOD}")
    assert said == ["line 2, column 9: is not TOML that can be read: must be a number of at most 64 bits"]


@pytest.mark.parametrize(
    "content",
    [
        f"a = {5000 * '['}{5000 * ']'}",
        f"a = {40 * '['}{40 * ']'}\n{GOOD}",
        f"a{5000 * '.a'} = 1\n{GOOD}",
        f"[{'.'.join(5000 * ['probe'])}]\n{GOOD}",
    ],
    ids=["lists", "less deep lists", "keys", "tables"],
)
def test_what_is_nested_too_deep_is_refused(refused, content):
    (said, *more) = refused(content)
    assert said.endswith("must be nested at most 16 deep")
    assert not more


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[probe]\n# \xff\xfe\n", "line 2, column 3: must be UTF-8 text"),
        (GOOD.encode("utf-16"), "line 1, column 1: must be UTF-8 text"),
        (b'[gateway]\nname = "a\0b"\n', "line 2, column 10: is not TOML: Illegal character '\\x00'"),
        (b"[probe]\na = 1\n[probe]\n", "line 3, column 7: is not TOML: Cannot declare probe twice"),
        (b"a = { b = 1 }\na.b.c = 1\n", "line 2, column 10: is not TOML: Cannot mutate immutable namespace a.b"),
    ],
)
def test_what_is_not_toml_is_said_in_plain_words(refused, content, said):
    assert refused(content) == [said]


@pytest.mark.parametrize("kind", ["fifo", "zero"])
def test_what_is_no_file_is_neither_waited_for_nor_read_without_end(tmp_path, capsys, kind):
    place = Path("/dev/zero") if kind == "zero" else tmp_path / kind
    if kind != "zero":
        os.mkfifo(place)
    assert main(["check", str(place)]) == 78
    assert capsys.readouterr().err == f"{place}: must be a file, and no device or pipe\n"
    config = tmp_path / "steerd.toml"
    config.write_text(POP + f'[[policy]]\nname = "p"\nprefixes_file = "{place}"')
    assert main(["check", str(config)]) == 78
    said = capsys.readouterr().err
    assert said.startswith(f"{config}: policy[0].prefixes_file: found ")
    assert said.endswith('must be a file, and no device or pipe (in [[policy]] number 1, "p")\n')


def test_a_folder_in_the_place_of_the_file_cannot_be_read(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 78
    assert main(["run", "-c", str(tmp_path)]) == 1  # the file may be there later
    assert capsys.readouterr().err == 2 * f"{tmp_path}: cannot be read: Is a directory\n"


def mqtt(password: Path) -> MqttSettings:
    return MqttSettings("h", 1883, False, "acme", "gw1", "default", "gw1", password, None, None, None, 10.0)


def test_a_byte_order_mark_is_passed_over(tmp_path):
    (tmp_path / "prefixes").write_bytes(BOM_UTF8 + b"192.0.2.0/24\n")
    config = tmp_path / "steerd.toml"
    config.write_bytes(BOM_UTF8 + f'{POP}[[policy]]\nname = "p"\nprefixes_file = "prefixes"\n'.encode())
    assert load(config).route.policies[0].prefixes.v4 == bytes((192, 0, 2, 0, 24))
    password = tmp_path / "password"
    password.write_bytes(BOM_UTF8 + b"hunter2\r\n")
    assert asyncio.run(read(mqtt(password))).password == "hunter2"


def test_a_password_that_is_no_text_is_not_told(tmp_path):
    password = tmp_path / "password"
    password.write_bytes(b"hunter\xff2\n")
    with pytest.raises(ValueError, match=f"^{password}: must be UTF-8 text$"):
        asyncio.run(read(mqtt(password)))


@pytest.mark.parametrize(
    "table",
    [
        f'password = "{SECRET}"',
        f'[mqtt]\nurl = "mqtt://h"\ntenant = "t"\npassword = "{SECRET}"',
        f'[mqtt]\nurl = "mqtt://user:{SECRET}@broker"\ntenant = "t"',
        f'[mqtt]\nurl = "mqtt://user:a/{SECRET}@broker"\ntenant = "t"',
        f'[mqtt]\nurl = "mqtt://h"\ntenant = "t"\ntrusted_keys = ["steerd-secret:{SECRET}"]',
        f'[mqtt]\nurl = "mqtt://h"\ntenant = "t"\nkey = """-----BEGIN PRIVATE KEY-----\n{SECRET}"""',
        f'[broker]\nauth = {{ passwd = "{SECRET}" }}\nurl = "https://u:{SECRET}@h"',
        f'[[peers]]\nprivate_key = "{SECRET}"',
        f'[gateway]\nname = {{ api_token = "{SECRET}" }}',
    ],
)
def test_what_may_be_a_secret_is_not_printed(refused, table):
    said = refused(f"{table}\n{GOOD}")
    assert said
    assert SECRET not in "\n".join(said)


@pytest.mark.parametrize("written", [SECRET, "hunter2!", "ab/" + SECRET])
def test_a_password_in_the_place_of_its_file_is_not_printed(tmp_path, refused, written):
    table = f'[mqtt]\nurl = "mqtt://h"\ntenant = "t"\npassword_file = "{written}"\n'
    (said,) = refused(f"{table}\n{GOOD}")  # without a user name
    assert "found a value that is not shown" in said
    file = tmp_path / "named.toml"
    file.write_text(f'{table}username = "gw"\n{GOOD}')
    (warning,) = load(file).warnings
    assert written not in warning
    assert "cannot be read now" in warning


def test_the_place_of_a_password_is_printed(tmp_path):
    file = tmp_path / "steerd.toml"
    for written in ("mqtt.password", f"{tmp_path}/nowhere", "./nowhere"):
        file.write_text(f'[mqtt]\nurl = "mqtt://h"\ntenant = "t"\nusername = "gw"\npassword_file = "{written}"\n{GOOD}')
        (warning,) = load(file).warnings
        assert written.removeprefix("./") in warning


def test_a_secret_key_in_the_place_of_a_peer_s_public_one_is_not_printed(refused):
    (said,) = refused(GOOD.replace('dev = "wg-fra1",', f'dev = "wg-fra1", peer = "{SECRET}",'))
    assert said.startswith("pop[0].paths[0].peer: found a value that is not shown; must be the public key of a")


def test_what_a_terminal_would_obey_is_escaped(refused):
    (said,) = refused(f'["\\u001b[31m\\u009b"]\nx = "\\u001b[2J"\n{GOOD}')
    assert said.startswith(r"\x1b[31m\x9b: ")
    assert said.isprintable()


@pytest.mark.parametrize("name", ["a" * 16, "é" * 8, "a/b", "a b", ".."])
def test_a_device_that_the_kernel_cannot_have_is_refused(refused, name):
    (said,) = refused(GOOD.replace("wg-fra1", name))
    assert said.startswith("pop[0].paths[0].dev: ")
    assert "of at most 15 bytes" in said


@pytest.mark.parametrize(
    ("key", "words"),
    [("00" * 15, "the key has 15 bytes, and needs 16 at least"), (SECRET, "hexadecimal digits"), ("", "0 bytes")],
)
@pytest.mark.parametrize("own", [True, False], ids=["of a path", "of all"])
def test_a_key_file_without_a_key_is_refused(tmp_path, refused, key, words, own):
    (tmp_path / "stamp.key").write_text(key)
    keys = 'method = "udp"', 'key_file = "stamp.key"'
    path = GOOD.replace('dev = "wg-fra1"', f'dev = "wg-fra1", {", ".join(keys)}')
    (said,) = refused(path if own else "[probe]\n{}\n{}\n".format(*keys) + GOOD)
    assert said.startswith(f"{'pop[0].paths[0]' if own else 'probe'}.key_file: ")
    assert words in said
    assert SECRET not in said


@pytest.mark.parametrize("there", [True, False], ids=["folder", "nothing"])
def test_a_key_file_that_cannot_be_read_may_come(tmp_path, there):
    if there:
        (tmp_path / "stamp.key").mkdir()
    file = tmp_path / "steerd.toml"
    file.write_text('[probe]\nmethod = "udp"\nkey_file = "stamp.key"\n' + GOOD)
    (warning,) = load(file).warnings
    assert warning.endswith(f"probe.key_file: {tmp_path / 'stamp.key'} cannot be read now")


def test_whatever_reading_a_configuration_meets_it_is_a_refused_configuration(tmp_path, monkeypatch, caplog, capsys):
    file = tmp_path / "steerd.toml"
    file.write_text(GOOD)
    config, ended = load(file), []
    monkeypatch.setattr(loading.pops, "check", lambda *_: 1 / 0)
    assert main(["check", str(file)]) == 78
    assert main(["run", "-c", str(file)]) == 78
    assert capsys.readouterr().err.count(f"{file}: cannot be understood: ZeroDivisionError: division by zero") == 2

    async def hang_up():
        async def never(_):
            raise AssertionError

        reload = Reload(
            config,
            take_up=never,
            began=lambda: None,
            ended=ended.append,
            refused=lambda: None,
            spawn=lambda _: None,
        )
        await reload.on_signal()
        assert reload.config is config

    asyncio.run(hang_up())
    assert ended == [False]
    assert "not reloaded" in caplog.text


PIECES = st.sampled_from(
    [
        *'[]{}"=\n.,',
        "[[pop]]",
        "[probe]",
        "interval",
        "paths",
        "name",
        "mark",
        "0x",
        HUGE,
        "nan",
        "-inf",
        "1e999",
        "2020-01-01",
        "true",
        '"\\u0000"',
        "\x1b",
        "é",
        "\udcff",
    ]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join))
def test_no_file_does_more_than_be_refused(tmp_path, text):
    file = tmp_path / "steerd.toml"
    file.write_bytes(text.encode(errors="surrogatepass"))
    said = ""
    try:
        load(file)
    except ConfigError as error:
        said = str(error)
    assert "cannot be understood" not in said  # each mistake has words of its own
