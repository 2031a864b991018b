"""The dashboards in config/ are those of tools/dashboards/."""

from tools.dashboards.__main__ import FOLDER, made


def test_the_dashboards_are_those_of_today():
    """`make dashboards` writes them."""
    assert {file.name: file.read_text() for file in FOLDER.iterdir()} == made()
