"""What opens sockets closes them."""

from contextlib import ExitStack
from typing import Self


class Owner:
    """Closes all that it ``_owned``, with its `with` block at the latest."""

    def __init__(self) -> None:
        self._owned = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Safe to repeat."""
        self._owned.close()
