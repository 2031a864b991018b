"""[[hook]]: what is refused, and what comes of it."""

import os

import pytest

from steerd.config.file.problem import ConfigError
from steerd.config.gateway.load import load

REST = """
[[pop]]
name = "fra1"
paths = [{ dev = "wg-fra1", target = "10.64.1.1" }]
[[policy]]
name = "default"
prefixes = ["0.0.0.0/0"]
"""
PROGRAM = 'name = "mail"\non = ["switch"]\nrun = ["/bin/true", "-v"]'
URL = 'name = "push"\non = ["outage"]\nurl = "https://ntfy.example/topic?x=1"'


@pytest.fixture
def loaded(tmp_path):
    def load_hooks(*hooks):
        file = tmp_path / "steerd.toml"
        file.write_text(REST + "".join(f"\n[[hook]]\n{one}\n" for one in hooks))
        return load(file)

    return load_hooks


def test_what_is_not_said_has_a_default(loaded, tmp_path):
    program, url = loaded(PROGRAM, URL + '\nkey_file = "key"\ntimeout = "3s"\nretries = 0').hooks
    assert (program.name, program.on, program.run, program.url) == ("mail", {"switch"}, ("/bin/true", "-v"), "")
    assert (program.timeout, program.retries, program.user, program.key_file) == (10.0, 3, "", None)
    assert (url.url, url.key_file) == ("https://ntfy.example/topic?x=1", tmp_path / "key")
    assert (url.timeout, url.retries) == (3.0, 0)


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ('name = "a"\non = ["switch"]', "hook[0].run: must be given, or url, and not both"),
        (PROGRAM + '\nurl = "http://a/"', "hook[0].run: must be given, or url, and not both"),
        (PROGRAM.replace("/bin/true", "true"), "hook[0].run[0]: must be the program's whole path"),
        (PROGRAM.replace('"switch"', '"swich"'), "hook[0].on[0]: must be"),
        (PROGRAM.replace('["switch"]', "[]"), "hook[0].on: must"),
        (PROGRAM + '\nuser = "nobody-here"', "hook[0].user: must be a user of this machine"),
        (PROGRAM + '\nkey_file = "key"', "hook[0].key_file: must come with url"),
        (URL + '\nuser = "root"', "hook[0].user: must come with run"),
        (URL.replace("https://", "ftp://"), "hook[0].url: must be"),
        (URL.replace("https://", "https://me:secret@"), "hook[0].url: must be"),
        (URL.replace("ntfy.example", "ntfy.example:99999"), "hook[0].url: must be"),
        (URL + "\nretries = 11", "hook[0].retries: must"),
        (PROGRAM + "\nshell = true", "hook[0].shell: "),
    ],
)
def test_mistakes_are_named_by_their_place(loaded, hook, said):
    with pytest.raises(ConfigError) as raised:
        loaded(hook)
    lines = [str(problem) for problem in raised.value.problems]
    key, _, words = said.partition(": ")
    assert any(f"{key}: " in line and words in line for line in lines), lines
    assert "secret" not in str(raised.value)


def test_names_are_unique_and_there_are_not_too_many(loaded):
    with pytest.raises(ConfigError, match=r"hook\[1\].name: .* must be unique: hook\[0\] has this name"):
        loaded(PROGRAM, PROGRAM)
    with pytest.raises(ConfigError, match="must be at most 16"):
        loaded(*(PROGRAM.replace("mail", f"m{number}") for number in range(17)))


def test_a_program_that_is_not_there_is_a_warning(loaded):
    missing = PROGRAM.replace("/bin/true", "/nowhere/at/all")
    assert "hook[0].run: /nowhere/at/all is no program that can be run now" in loaded(missing).warnings[0]
    assert os.access("/bin/true", os.X_OK)
    assert loaded(PROGRAM).warnings == ()
