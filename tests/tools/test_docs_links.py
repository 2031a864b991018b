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


def test_the_first_page_is_read_to_its_end():
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 150


def test_every_page_for_users_is_in_the_index():
    """Of docs/ and its folders, but those for developers, which have an index of their own."""
    folder = PROJECT / "docs"
    index = {
        (folder / file).resolve() for file, _ in LINK.findall((folder / "README.md").read_text()) if "://" not in file
    }
    pages = [page for page in folder.rglob("*.md") if "development" not in page.parts and page.name != "README.md"]
    assert [str(page.relative_to(PROJECT)) for page in pages if page not in index] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_what_a_page_points_to_is_there(page):
    text = page.read_text()
    for file, heading in LINK.findall(text):
        if "://" in file:
            continue
        target = page.parent / file if file else page
        assert target.is_file(), file  # a folder is a page on a forge alone
        assert not heading or target.suffix != ".md" or heading in anchors(target), f"{file}#{heading}"
    if page.name != "CHANGELOG.md":  # that tells of what was
        assert [name for name in NAMED.findall(text) if not (PROJECT / name).exists() and name not in EXAMPLES] == []
