"""What happens, told to all who listen for it."""

from collections.abc import Callable
from types import UnionType
from typing import Any, Generic, TypeVar, get_args

from steerd.faults import Boundary

_T = TypeVar("_T")
_K = TypeVar("_K")


class Stream(Generic[_T]):
    """Tells each event or fact to those who listen for its kind, in the order in which they began to listen.

    A listener is called on the event loop and returns at once: one that has work to do (a disk, a broker) keeps a
    bounded queue of its own. A listener that fails is logged, now and then, and keeps no other from hearing.
    """

    def __init__(self) -> None:
        self._listeners: dict[type, list[Callable[[Any], None]]] = {}
        self._boundary = Boundary("listener")

    def listen(self, kind: type[_K] | UnionType, hear: Callable[[_K], None]) -> None:
        """Have ``hear`` called with everything of this kind, or of each kind in a union, from now on."""
        for one in get_args(kind) or (kind,):
            self._listeners.setdefault(one, []).append(hear)

    def tell(self, one: _T) -> None:
        """This has happened."""
        for hear in self._listeners.get(type(one), ()):
            try:
                hear(one)
            except Exception as error:  # noqa: BLE001 (whatever a listener meets, the others hear of it)
                self._boundary.tell(error, f"{type(one).__name__} was not taken by everybody who listens")
