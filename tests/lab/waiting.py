"""Waiting for what is to happen. How long that takes is not judged: machines stand still at times."""

import asyncio
import time
from collections.abc import Callable
from typing import Any


async def until(holds: Callable[[], Any], seconds: float = 15.0) -> None:
    """AssertionError if it does not hold within ``seconds``."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        await asyncio.sleep(0.01)
