"""Manual pages say all there is, and the documentation of the configuration says the same."""

import re
import textwrap
from pathlib import Path

import pytest

from steerd.cli import steerd
from steerd.config.gateway.document import LAYOUT
from steerd.control.verbs import VERBS
from tools.manuals import keys, troff
from tools.manuals.__main__ import pages

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs/configuration.md"
ELSEWHERE = {"uplink", "hook", "policy.weights"}
"""Tables whose keys have a page, or a row, of their own."""


@pytest.fixture(scope="module")
def made():
    return pages()


def test_every_key_is_explained_and_bounded(made):
    for place, listed in keys.tables().items():
        for key in listed:
            assert key.words, f"{place}.{key.name}: neither config/steerd.toml nor docs/configuration.md explains it"
            assert key.allowed or key.name in {"paths", "weights", "prefer"}, f"{place}.{key.name}"
            assert troff.bold(key.name) in made["steerd.toml.5"]


def test_keys_that_are_no_longer_there_are_not_explained():
    for place, written in keys.examples().items():
        assert not set(written) - set(LAYOUT.keys(place)) - {"", "-"}, place


def test_the_page_lists_every_key_and_its_default():
    """As far as the default is one value: some are words."""
    cells = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    defaults: dict[str, str | None] = {}
    for first, *rest in cells:
        around = ""
        named = re.findall(r"`([a-z0-9_.]+)`", first)
        for name in named:
            around = name.rpartition(".")[0] if "." in name else around
            one = re.fullmatch(r"`([^`]+)`", rest[0]) if len(named) == 1 and len(rest) == 2 else None
            defaults[f"{around}.{name}" if around and "." not in name else name] = one[1] if one else None
    for place, listed in keys.tables().items():
        for key in listed if place not in ELSEWHERE else []:
            name = f"{place}.{key.name}" if place and f"{place}.{key.name}" in defaults else key.name
            assert name in defaults or f"`{key.name}`" in PAGE.read_text(), (
                f"docs/configuration.md lacks {place}.{key.name}"
            )
            if (said := defaults.get(f"{place}.{key.name}")) and key.default:
                assert value(said) == value(key.default), f"{place}.{key.name}"


def value(text: str) -> str:
    """A default without what is a matter of taste: `1.0` and `1`, `0ms` and `0s`."""
    return re.sub(r'^"?([\d.]+)(?:ms|s)?"?$', lambda found: f"{float(found[1])}", text) if text[:2] != '"0x' else text


def examples(made):
    """Configurations that readers copy: of the README, the manual page, and the notice that the package installs."""
    readme = re.search(r"^( *)```toml\n(.*?)^\1```$", (PROJECT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    yield textwrap.dedent(readme[2])
    for shown in re.findall(r"^\.EX\n(.*?)^\.EE$", made["steerd.toml.5"], re.MULTILINE | re.DOTALL):
        yield shown.replace("\\-", "-")
    notice = (PROJECT / "packaging/deb/steerd.toml").read_text()
    yield re.sub(r"^# ?", "", notice[notice.index("# [[pop]]") : notice.index("# Every key")], flags=re.MULTILINE)


def test_what_readers_copy_is_a_configuration(made, tmp_path):
    found = list(examples(made))
    assert len(found) == 4
    for text in found:
        (tmp_path / "steerd.toml").write_text(text)
        assert steerd.main(["check", str(tmp_path / "steerd.toml")]) == 0, text


def test_every_command_has_its_section(made):
    for verb in VERBS:
        assert re.search(rf"^\.SS {re.escape(troff.bold(verb))}", made["steerctl.1"], re.MULTILINE), verb
    assert ".SS \\fBnames" not in made["steerctl.1"]
    assert "@" not in "".join(made.values()).replace("@.service", "")


def test_text_is_no_request_and_no_escape():
    assert troff.escaped(".TH \\n ~'") == "\\&.TH \\(rsn \\(ti\\(aq"
    assert troff.words("as `ip -4` has it") == "as \\fBip \\-4\\fR has it"
