"""What an operator should know of how a path is probed: told when it begins and when it ends, once a minute each."""

import logging
from collections.abc import Callable
from typing import Final

from steerd.core.settings import PathId
from steerd.core.views import Finding
from steerd.text.seldom import Seldom, more

Told = Callable[[PathId, int, str], None]
"""Takes the path, a level of `logging`, and the sentence."""

_log = logging.getLogger("steerd.probe")
_SELDOM: Final = 60.0  # seconds: what comes and goes with every few probes fills no log


class Findings:
    """The findings that hold now, path by path, each with a sentence. ``told``: who hears of their beginning and end;
    the log, unless somebody else does."""

    def __init__(self) -> None:
        self.told: Told = lambda _, level, text: _log.log(level, "%s", text)
        self._found: dict[PathId, dict[Finding, str]] = {}
        self._seldom = Seldom(_SELDOM)

    def found(self, path: PathId, finding: Finding, text: str) -> None:
        """It holds; told when it did not before."""
        known = self._found.setdefault(path, {})
        if finding not in known and (unsaid := self._seldom.said((path, finding, True))) is not None:
            self.told(path, logging.WARNING, f"{path}: {text}{more(unsaid)}")
        known[finding] = text

    def over(self, path: PathId, finding: Finding) -> None:
        """It does not hold; told when it did before."""
        text = self._found.get(path, {}).pop(finding, None)
        if text is not None and (unsaid := self._seldom.said((path, finding, False))) is not None:
            self.told(path, logging.INFO, f"{path}: no longer so: {text}{more(unsaid)}")

    def of(self, path: PathId) -> dict[Finding, str]:
        """Those of one path, each with its sentence."""
        return dict(self._found.get(path, {}))

    def keep(self, paths: set[PathId]) -> None:
        """Forget every other path."""
        self._found = {path: known for path, known in self._found.items() if path in paths}
