"""A reload over all stages: each prepares, then all commit; if one cannot, all are as they were."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from steerd.config.change import StageChange, StageError
from steerd.config.settings import Config
from steerd.faults import Boundary

Prepare = Callable[[Config], Awaitable[StageChange]]

UNEXPECTED: Final = "a stage failed, and all are as they were: see the log"

_FAULTS: Final = Boundary("reload")


async def take_up(config: Config, stages: Sequence[Prepare]) -> Sequence[str]:
    """Swap the configuration. Returns what is in the way, and has changed nothing then.

    Stages prepare in the order in which they are given, and commit in the opposite one: routing, where a fault of the
    machine is likeliest to show, is first, while all others have yet to change; the engine, which moves traffic on what
    it is told, is last.
    """
    prepared: list[StageChange] = []
    try:
        for prepare in stages:
            prepared.append(await prepare(config))  # noqa: PERF401 (what was prepared before one fails is aborted)
        for change in reversed(prepared):
            await change.commit()
    except StageError as error:
        await _abort(prepared)
        return [str(error)]
    except Exception as error:  # noqa: BLE001 (whatever it is, the old configuration goes on)
        _FAULTS.tell(error, "the configuration was not taken up")
        await _abort(prepared)
        return [UNEXPECTED]
    except BaseException:  # the daemon stops in the middle of it
        await _abort(prepared)
        raise
    return []


async def _abort(prepared: Sequence[StageChange]) -> None:
    for change in reversed(prepared):
        try:
            await change.abort()
        except Exception as error:  # noqa: BLE001 (the others are still to be put back)
            _FAULTS.tell(error, "a stage could not be put back as it was")
