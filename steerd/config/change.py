"""A new configuration as a transaction over all stages: each prepares, then all commit, or all abort."""

from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

_S = TypeVar("_S")


class StageError(Exception):
    """A stage cannot be what its settings ask for. The message is one line that says what is in the way."""


class StageChange(Protocol):
    """What one stage has prepared. It is committed once or not at all."""

    async def commit(self) -> None:
        """Take up what was prepared. Raises only on a fault of the machine: refusals came before."""

    async def abort(self) -> None:
        """Leave the stage as it was before it prepared, also after a `commit`, or in its middle. Never raises: what
        cannot be put back at once is logged and tried again later, as after any fault."""
        ...


class Swap(Generic[_S]):
    """The change of a stage that takes any settings by ``configure``, and so has nothing to prepare."""

    def __init__(self, configure: Callable[[_S], Awaitable[None] | None], old: _S, new: _S) -> None:
        self._configure = configure
        self._old = old
        self._new = new
        self._began = False

    async def commit(self) -> None:
        self._began = True
        await self._take(self._new)

    async def abort(self) -> None:
        if self._began:
            await self._take(self._old)

    async def _take(self, settings: _S) -> None:
        done = self._configure(settings)
        if done is not None:
            await done
