"""What an operator should know of how a path is probed: logged once when it begins and once when it ends."""

import logging

from steerd.core.settings import PathId
from steerd.core.views import Finding

_log = logging.getLogger("steerd.probe")


class Findings:
    """The findings that hold now, path by path, each with a sentence."""

    def __init__(self) -> None:
        self._found: dict[PathId, dict[Finding, str]] = {}

    def found(self, path: PathId, finding: Finding, text: str) -> None:
        """It holds; logged when it did not before."""
        known = self._found.setdefault(path, {})
        if finding not in known:
            _log.warning("%s: %s", path, text)
        known[finding] = text

    def over(self, path: PathId, finding: Finding) -> None:
        """It does not hold; logged when it did before."""
        if self._found.get(path, {}).pop(finding, None) is not None:
            _log.info("%s: no longer %s", path, finding.value)

    def of(self, path: PathId) -> dict[Finding, str]:
        """Those of one path, each with its sentence."""
        return dict(self._found.get(path, {}))

    def keep(self, paths: set[PathId]) -> None:
        """Forget every other path."""
        self._found = {path: known for path, known in self._found.items() if path in paths}
