"""Which gateways there are: a rollup counts nobody else's word, so that one liar is one, however many names he uses."""

from pathlib import Path
from typing import Final

from steerd.config.file import files
from steerd.config.values import names

_MOST: Final = 8 << 20


class InventoryError(ValueError):
    """The file is none. The message names the place."""


class Inventory:
    """Names of gateways, by region. None are there to be known: nothing is rolled up."""

    def __init__(self, gateways: frozenset[tuple[str, str]] = frozenset()) -> None:
        self._gateways = gateways

    def __len__(self) -> int:
        return len(self._gateways)

    def knows(self, region: str, name: str) -> bool:
        """Whether there is such a gateway."""
        return (region, name) in self._gateways


def read(file: Path) -> Inventory:
    """One gateway a line, as `REGION/NAME`; what is behind a `#` is not read. OSError: it cannot be read now.
    InventoryError: a line is wrong, or there is none, which is more likely a fault than meant."""
    try:
        text = files.text(file, _MOST)
    except (UnicodeDecodeError, files.UnfitError) as error:
        why = "must be UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        raise InventoryError(f"{file}: {why}") from error
    found: set[tuple[str, str]] = set()
    for number, line in enumerate(text.splitlines(), 1):
        written = line.partition("#")[0].strip()
        if written:
            try:
                region, name = map(names.name, written.split("/"))
            except ValueError as error:
                raise InventoryError(f"{file}: line {number}: {written!r} must be REGION/NAME ({error})") from None
            found.add((region, name))
    if not found:
        raise InventoryError(f"{file}: is empty: must list the gateways, one REGION/NAME a line")
    return Inventory(frozenset(found))
