"""What a reload changed, told as the file has it."""

import pytest

from steerd.config.file.written import differences
from steerd.config.gateway.load import load

BASE = """
[gateway]
name = "gw"

[probe]
interval = "1s"

[[pop]]
name = "fra1"
paths = [{ dev = "wg-fra1", target = "10.64.1.1" }]

[[pop]]
name = "ams1"
bias = "2ms"
paths = [{ name = "fibre", dev = "wg-ams1", target = "10.64.2.1" }]

[[policy]]
name = "default"
prefixes = ["0.0.0.0/0"]
weights = { rtt = 2.0 }
"""


@pytest.fixture
def changed(tmp_path):
    def compare(*replacements, before=BASE, also=lambda _: None):
        old, new = tmp_path / "old.toml", tmp_path / "new.toml"
        old.write_text(before)
        first = load(old)
        also(tmp_path)
        text = before
        for was, will in replacements:
            assert was in text
            text = text.replace(was, will)
        new.write_text(text)
        return differences(first, load(new))

    return compare


def test_the_same_file_differs_in_nothing(changed):
    assert changed() == []
    assert changed(("\n\n", "\n# a comment\n\n")) == []


def test_keys_by_section(changed):
    assert changed(('interval = "1s"', 'interval = "200ms"')) == ['[probe] interval: "1s" -> "200ms"']
    assert changed(('interval = "1s"', "")) == ['[probe] interval: "1s" -> its default']
    assert changed(('bias = "2ms"', 'bias = "3ms"')) == ['pop ams1 bias: "2ms" -> "3ms"']
    assert changed(("rtt = 2.0", "rtt = 1.0")) == ["policy default weights.rtt: 2.0 -> 1.0"]
    assert changed(("10.64.2.1", "10.64.2.9")) == ['path ams1/fibre target: "10.64.2.1" -> "10.64.2.9"']


def test_a_section_that_comes_or_goes_is_told_by_its_keys(changed):
    assert changed(("[probe]", '[export]\nlisten = "127.0.0.1:1"\n[probe]')) == [
        '[export] listen: its default -> "127.0.0.1:1"'
    ]
    assert changed(('[probe]\ninterval = "1s"', "")) == ['[probe] interval: "1s" -> its default']


def test_pops_and_paths_that_come_and_go(changed):
    assert changed(('name = "fra1"', 'name = "fra2"')) == [
        "pop fra1: gone",
        "path fra1/wg-fra1: gone",
        "pop fra2: new",
        "path fra2/wg-fra1: new",
    ]


def test_long_lists_are_counted(changed):
    many = ", ".join(f'"10.{n}.0.0/16"' for n in range(50))
    before = BASE.replace('"0.0.0.0/0"', many)
    assert changed(('"10.0.0.0/16", ', ""), before=before) == ["policy default prefixes: 50 entries -> 49 entries"]
    assert changed(('"10.0.0.0/16"', '"10.77.0.0/16"'), before=before) == [
        "policy default prefixes: 50 entries -> 50 entries, others"
    ]


def test_a_file_of_prefixes_that_changed(changed, tmp_path):
    before = BASE.replace('prefixes = ["0.0.0.0/0"]', 'prefixes_file = "list"')
    (tmp_path / "list").write_text("10.0.0.0/8\n")
    more = changed(before=before, also=lambda folder: (folder / "list").write_text("10.0.0.0/8\n192.0.2.0/24\n"))
    assert more == ["policy default files of prefixes: 1 prefix -> 2 prefixes"]


HOOKS = """
[[hook]]
name = "chat"
on = ["reload"]
url = "https://chat.example.net/services/T0/SECRET1"

[[hook]]
name = "push"
on = ["reload"]
run = ["/bin/true", "SECRET1"]
"""


def test_what_a_hook_is_given_is_told_nobody(changed):
    told = changed(("SECRET1", "SECRET2"), before=BASE + HOOKS)
    assert told == [
        'hook chat url: "https://chat.example.net/..." -> "https://chat.example.net/...", others',
        'hook push run: "/bin/true ..." -> "/bin/true ...", others',
    ]
