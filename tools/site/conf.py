"""The site: the Markdown of docs/ and beside it, as it stands on disk, by Sphinx, MyST and Furo.

The pages need nothing of Sphinx: its navigation is made from the links of the index pages. `tools/site/build` makes the
tree that it reads.
"""

import re
from pathlib import Path
from typing import Any

project = "steerd"
extensions = ["myst_parser"]
exclude_patterns = ["config", "systemd"]
myst_heading_anchors = 6
suppress_warnings = ["myst.header"]  # a page may skip a level

html_theme = "furo"
html_title = "steerd"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"top_of_page_buttons": []}

_HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s#:]+\.md)(?:#[^)]*)?\)")


def contents(app: Any, name: str, source: list[str]) -> None:
    """Hidden tables of contents behind the two index pages: what is below what, as Sphinx wants it told."""
    if name == "index":
        _, *parts = _HEADING.split((Path(app.srcdir) / "docs/README.md").read_text())
        seen = {"docs/README.md"}
        source[0] += _toctree("", ["docs/README.md"])
        for heading, text in zip(parts[::2], parts[1::2], strict=True):
            pages = [str(Path("docs", link)).replace("docs/../", "") for link in _LINK.findall(text)]
            pages = [page for page in dict.fromkeys(pages) if page not in seen]
            seen.update(pages)
            source[0] += _toctree(heading, [*pages, *(["reference/*"] if heading == "Look up" else [])])
    elif name == "docs/development/README":
        source[0] += _toctree("", [*dict.fromkeys(_LINK.findall(source[0])), "decisions/*"])


def _toctree(caption: str, pages: list[str]) -> str:
    own = [page for page in pages if not page.startswith("../")]  # of other indexes
    head = [":hidden:", ":glob:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["\n\n```{toctree}", *head, "", *own, "```\n"])


def setup(app: Any) -> None:
    app.connect("source-read", contents)
