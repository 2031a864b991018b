"""`include`: more files of one configuration, their mistakes, and what a file that vanished may not take with it."""

import os
from pathlib import Path

import pytest

from steerd.config.file.problem import ConfigError
from steerd.config.file.written import differences
from steerd.config.gateway.load import load, load_for_guard
from steerd.config.route_settings import Guard

MAIN = """
include = ["pops.d/*.toml"]
[gateway]
name = "gw1"
[[pop]]
name = "local"
paths = [{ dev = "wg-local", target = "10.64.0.1" }]
[[policy]]
name = "default"
prefixes = ["0.0.0.0/0"]
"""


def pop(name: str, number: int = 1) -> str:
    return f'[[pop]]\nname = "{name}"\npaths = [{{ dev = "wg-{name}", target = "10.64.1.{number}" }}]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "steerd.toml").write_text(MAIN)
    (tmp_path / "pops.d").mkdir()
    return tmp_path


def names(folder: Path) -> list[str]:
    return [path.pop for path in load(folder / "steerd.toml").core.paths]


def said(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder / "steerd.toml")
    return str(caught.value).replace(f"{folder}/", "")


def test_entries_follow_those_of_the_first_file_in_the_order_of_the_files_names(folder):
    (folder / "pops.d/20-b.toml").write_text(pop("b1", 1) + pop("b2", 2))
    (folder / "pops.d/10-a.toml").write_text(pop("a1", 3))
    (folder / "pops.d/.hidden.toml").write_text("no")
    (folder / "pops.d/10-a.toml~").write_text("no")
    assert names(folder) == ["local", "a1", "b1", "b2"]


def test_a_pattern_may_find_nothing(folder):
    assert names(folder) == ["local"]


def test_300_pops_in_30_files(folder):
    for file in range(30):
        some = (pop(f"p{file}-{number}", number) for number in range(10))
        (folder / f"pops.d/{file:02}.toml").write_text("".join(some))
    (folder / "steerd.toml").write_text(MAIN + "[route]\nmark = 0xfff00000\n")
    assert len(names(folder)) == 301


def test_a_mistake_is_named_by_its_file_and_its_place_there(folder):
    (folder / "pops.d/a.toml").write_text(pop("a1"))
    (folder / "pops.d/b.toml").write_text(
        pop("b1", 2) + '[[pop]]\nname = "b2"\npaths = [{ dev = "wg9", tarjet = "x" }]\n'
    )
    assert 'pops.d/b.toml: pop[1].paths[0].tarjet: found "x"; is not a known key' in said(folder)
    assert '(in [[pop]] number 2, "b2")' in said(folder)


def test_two_of_a_name_are_both_named_with_their_files(folder):
    (folder / "pops.d/a.toml").write_text(pop("a1"))
    (folder / "pops.d/b.toml").write_text(pop("b1", 2) + pop("a1", 3))
    assert 'pops.d/b.toml: pop[1].name: found "a1"; must be unique: ' in said(folder)
    assert "pops.d/a.toml: pop[0] has this name" in said(folder)
    (folder / "pops.d/b.toml").write_text(pop("local", 3))
    assert "must be unique: steerd.toml: pop[0] has this name" in said(folder)


def test_a_warning_names_the_file_too(folder):
    (folder / "pops.d/h.toml").write_text('[[hook]]\nname = "h"\non = ["switch"]\nrun = ["/nowhere/program"]\n')
    (warning,) = load(folder / "steerd.toml").warnings
    assert warning.startswith(f"{folder}/pops.d/h.toml: hook[0].run: ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "pops.d/x.toml: is empty"),
        (b"# nothing\n", "pops.d/x.toml: is empty"),
        (b'[[pop]]\nname = "fr', "pops.d/x.toml: line 2"),
        (b'name = "\xff"', "must be UTF-8 text"),
        (b'include = ["other.toml"]', "pops.d/x.toml: include: must be in steerd.toml alone"),
        (b'[pop]\nname = "a"', "pops.d/x.toml: pop: must be a list of tables: [[pop]]"),
        (b"[popp]\na = 1", 'pops.d/x.toml: popp: found {"a": 1}; is not a known key'),
        (
            b'[[policy]]\nname = "p"\nprefixes = ["10.0.0.0/8"]',
            "pops.d/x.toml: policy: stands in a file that a pattern",
        ),
        (b'[gateway]\nname = "p"', "pops.d/x.toml: gateway: stands in a file that a pattern"),
        (b"pop = [1]", "pops.d/x.toml: pop[0]: found 1"),
    ],
)
def test_a_file_that_cannot_be_taken_is_named(folder, content, words):
    (folder / "pops.d/x.toml").write_bytes(content)
    assert words in said(folder)


def test_what_is_no_file_is_named_and_not_waited_for(folder):
    os.mkfifo(folder / "pops.d/a.toml")
    (folder / "pops.d/b.toml").mkdir()
    (folder / "pops.d/c.toml").symlink_to("nowhere")
    with (folder / "pops.d/d.toml").open("wb") as huge:
        huge.truncate((64 << 20) + 1)
    told = said(folder)
    assert "pops.d/a.toml: must be a file, and no device or pipe" in told
    assert "pops.d/b.toml: cannot be read: Is a directory" in told
    assert "pops.d/c.toml: cannot be read: No such file" in told
    assert "pops.d/d.toml: must be at most 64 MiB" in told


@pytest.mark.parametrize(
    ("include", "words"),
    [
        ('["one.toml"]', "one.toml: cannot be read: No such file"),
        ('["gone.d/*.toml"]', 'include[0]: found "gone.d/*.toml"; its folder cannot be read: No such file'),
        ('["*.d/a.toml"]', "must have its *, ? and [...] in the file's name"),
        ('"pops.d/*.toml"', "include: found"),
        ("[1]", "include: found [1]"),
        ('["*.toml"]', "steerd.toml: include: must be in"),
    ],
)
def test_a_list_that_cannot_be_followed_is_named(folder, include, words):
    (folder / "steerd.toml").write_text(MAIN.replace('["pops.d/*.toml"]', include))
    assert words in said(folder)


def test_a_table_is_in_one_file_only(folder):
    (folder / "steerd.toml").write_text(MAIN.replace('"pops.d/*.toml"', '"a.toml", "b.toml"'))
    (folder / "a.toml").write_text('[probe]\ninterval = "2s"\n')
    (folder / "b.toml").write_text('[probe]\ninterval = "3s"\n[gateway]\nname = "x"\n')
    told = said(folder)
    assert "b.toml: probe: must be in one file only: a.toml has it too" in told
    assert "b.toml: gateway: must be in one file only: steerd.toml has it too" in told
    (folder / "b.toml").write_text('[score]\nhalf_live = "3s"\n')
    assert "b.toml: score.half_live: " in said(folder)


def test_policies_come_from_a_file_that_is_named_and_do_not_vanish_with_it(folder):
    (folder / "steerd.toml").write_text(MAIN.replace('"pops.d/*.toml"', '"policies.toml"'))
    more = folder / "policies.toml"
    more.write_text('[[policy]]\nname = "voice"\nprefixes = ["198.51.100.0/24"]\nleak_guard = true\n')
    assert [policy.policy for policy in load(folder / "steerd.toml").route.policies] == ["default", "voice"]
    more.unlink()
    assert "policies.toml: cannot be read" in said(folder)


def test_a_file_of_a_pattern_that_vanished_takes_pops_with_it_and_no_policy(folder):
    (folder / "pops.d/a.toml").write_text(pop("a1"))
    before = load(folder / "steerd.toml")
    (folder / "pops.d/a.toml").unlink()
    after = load(folder / "steerd.toml")
    assert differences(before, after) == ["pop a1: gone", "path a1/wg-a1: gone"]
    assert [policy.guard for policy in after.route.policies] == [policy.guard for policy in before.route.policies]


def test_a_policy_that_has_nobody_left_keeps_the_whole_configuration_out(folder):
    (folder / "steerd.toml").write_text(MAIN + 'pops = ["a*"]\n')
    (folder / "pops.d/a.toml").write_text(pop("a1"))
    assert names(folder)
    (folder / "pops.d/a.toml").unlink()
    assert "matches no PoP" in said(folder)


def test_the_guard_is_put_although_pops_cannot_be_read(folder):
    (folder / "steerd.toml").write_text(MAIN.replace('name = "local"', 'name = "gone"') + 'pops = ["a*"]\n')
    (folder / "pops.d/a.toml").write_text("")
    config, missed = load_for_guard(folder / "steerd.toml")
    assert [policy.guard for policy in config.route.policies] == [Guard.USUAL]
    assert "is empty" in str(missed[0])
