"""What a hook is told: its own file, as it is no stage of steering."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HookSettings:
    """Told what ``on`` lists, by ``run`` (a program with its arguments) or ``url``. ``timeout`` in seconds; ``user``:
    whose rights the program has where we are root."""

    name: str
    on: frozenset[str]
    run: tuple[str, ...] = ()
    url: str = ""
    key_file: Path | None = None
    timeout: float = 10.0
    retries: int = 3
    user: str = ""
