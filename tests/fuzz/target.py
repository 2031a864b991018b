"""What is fuzzed: one parser of what comes from outside."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Target:
    """``take`` is given the bytes, and may raise what is in ``refusals``: by these it refuses. ``seeds`` are what it is
    meant for. ``words``: pieces that are worth putting in, besides numbers at their limits."""

    name: str
    take: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    refusals: tuple[type[Exception], ...] = ()
    words: tuple[bytes, ...] = ()

    def try_(self, data: bytes) -> None:
        """Whatever is raised here but a refusal is a fault that was found."""
        try:
            self.take(data)
        except self.refusals:
            return

    def corpus(self) -> list[bytes]:
        """What was found worth keeping, a line each in hexadecimal: inputs that go where no seed goes, and faults that
        were mended."""
        file = CORPUS / f"{self.name}.txt"
        return [bytes.fromhex(line) for line in file.read_text().split()] if file.exists() else []
