"""What the documentation points to is there: files, headings, and modules that are named."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]+))?")
NAMED = re.compile(r"`((?:steerd|tests|tools|bench|systemd)/[\w./-]+)`")
EXAMPLES = {"steerd/daemon/bell.py", "steerd/probe/methods/udp_echo.py"}
"""What CONTRIBUTING.md makes."""


def anchors(page):
    """Of each heading, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_what_a_page_points_to_is_there(page):
    text = page.read_text()
    for file, heading in LINK.findall(text):
        if "://" in file:
            continue
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not heading or target.suffix != ".md" or heading in anchors(target), f"{file}#{heading}"
    if page.name != "CHANGELOG.md":  # that tells of what was
        assert [name for name in NAMED.findall(text) if not (PROJECT / name).exists() and name not in EXAMPLES] == []
