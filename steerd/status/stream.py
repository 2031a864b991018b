"""What happens, told to all who listen for it."""

import logging
from collections.abc import Callable
from types import UnionType
from typing import Any, Generic, TypeVar, get_args

_log = logging.getLogger(__name__)

_T = TypeVar("_T")
_K = TypeVar("_K")


class Stream(Generic[_T]):
    """Tells each event or fact to those who listen for its kind, in the order in which they began to listen.

    A listener is called on the event loop and returns at once: one that has work to do (a disk, a broker) keeps a
    bounded queue of its own. A listener that fails is logged, and keeps no other from hearing.
    """

    def __init__(self) -> None:
        self._listeners: dict[type, list[Callable[[Any], None]]] = {}

    def listen(self, kind: type[_K] | UnionType, hear: Callable[[_K], None]) -> None:
        """Have ``hear`` called with everything of this kind, or of each kind in a union, from now on."""
        for one in get_args(kind) or (kind,):
            self._listeners.setdefault(one, []).append(hear)

    def tell(self, one: _T) -> None:
        """This has happened."""
        for hear in self._listeners.get(type(one), ()):
            try:
                hear(one)
            except Exception:  # noqa: BLE001 (whatever a listener meets, the others hear of it)
                _log.exception("%s was not taken by everybody who listens", type(one).__name__)
