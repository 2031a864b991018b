"""What an operator should know of how a path is probed: logged when it begins and when it ends, once a minute each."""

import logging
from typing import Final

from steerd.core.settings import PathId
from steerd.core.views import Finding
from steerd.text.seldom import Seldom, more

_log = logging.getLogger("steerd.probe")


_SELDOM: Final = 60.0  # seconds: what comes and goes with every few probes fills no log


class Findings:
    """The findings that hold now, path by path, each with a sentence."""

    def __init__(self) -> None:
        self._found: dict[PathId, dict[Finding, str]] = {}
        self._seldom = Seldom(_SELDOM)

    def found(self, path: PathId, finding: Finding, text: str) -> None:
        """It holds; logged when it did not before."""
        known = self._found.setdefault(path, {})
        if finding not in known and (unsaid := self._seldom.said((path, finding, True))) is not None:
            _log.warning("%s: %s%s", path, text, more(unsaid))
        known[finding] = text

    def over(self, path: PathId, finding: Finding) -> None:
        """It does not hold; logged when it did before."""
        text = self._found.get(path, {}).pop(finding, None)
        if text is not None and (unsaid := self._seldom.said((path, finding, False))) is not None:
            _log.info("%s: no longer so: %s%s", path, text, more(unsaid))

    def of(self, path: PathId) -> dict[Finding, str]:
        """Those of one path, each with its sentence."""
        return dict(self._found.get(path, {}))

    def keep(self, paths: set[PathId]) -> None:
        """Forget every other path."""
        self._found = {path: known for path, known in self._found.items() if path in paths}
