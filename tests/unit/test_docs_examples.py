"""The configurations of the documentation are such that `steerd check` takes them."""

import re
from pathlib import Path

import pytest

from steerd.cli.verbs.configuration import check
from tests.unit.test_config_load import POLICY, POP

DOCS = Path(__file__).parents[2] / "docs"


def blocks():
    for file in [DOCS / "health.md"]:
        for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```", file.read_text(), re.DOTALL | re.MULTILINE)):
            yield pytest.param(block, id=f"{file.stem}-{number}")


@pytest.mark.parametrize("block", list(blocks()))
def test_what_the_documentation_says_to_write_is_taken(tmp_path, capsys, block):
    file = tmp_path / "steerd.toml"
    file.write_text(block + ("" if "[[pop]]" in block else POP) + ("" if "[[policy]]" in block else POLICY))
    assert check(file) == 0, capsys.readouterr().err
    assert not capsys.readouterr().err


def test_health_has_its_presets():
    assert len(list(blocks())) == 4
