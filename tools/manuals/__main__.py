"""``python -m tools.manuals FOLDER``: manual pages and completion of shells, below FOLDER as they lie below /usr/share.

What is written by hand is in the pages beside this file; commands come from the argument parsers, and the keys of the
configuration from its models.
"""

import sys
from pathlib import Path

from steerd import __version__
from steerd.cli import steerctl, steerd
from tools.manuals import commands, completion, keys

PAGES = ("steerd.8", "steerctl.1", "steerd.toml.5")
HERE = Path(__file__).parent


def pages() -> dict[str, str]:
    """Each page as roff, by its name."""
    made = {
        "@VERSION@": __version__,
        "@STEERD@": commands.roff(steerd.command_line()),
        "@STEERCTL@": commands.roff(steerctl.command_line()),
        "@KEYS@": keys.roff(),
    }
    texts = {name: (HERE / name).read_text() for name in PAGES}
    for mark, text in made.items():
        texts = {name: page.replace(mark, text) for name, page in texts.items()}
    return texts


def main(folder: Path) -> None:
    """Write them all."""
    files = {f"man/man{name[-1]}/{name}": text for name, text in pages().items()} | completion.files()
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
