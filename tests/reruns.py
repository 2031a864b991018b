"""A pytest plugin: a lab test that fails is run again, twice at most, for whatever reason it failed.

pytest-rerunfailures runs it again; this asks for it, and counts over all workers of a run. The run prints which tests
needed it, with what they failed of first, and fails if these are too many: docs/development/decisions/lab-reruns.md
says why.
"""

from collections.abc import Sequence

import pytest

REAL = ("lab", "broker", "system")
"""Markers of the tests that live in real time."""
AGAIN = 2
SHARE = 0.02
_LINES = 40  # printed of a failure


def allowed(tests: int) -> int:
    """How many of so many tests may need another run: 2 %, and one of few, which 2 % would never allow."""
    return max(1, int(SHARE * tests))


class Reruns:
    """What was run again, in the process that prints the summary."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._failures: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if any(marker in report.keywords for marker in REAL):
            self._seen.add(report.nodeid)
        if report.outcome == "rerun":
            self._failures.setdefault(report.nodeid, []).append(report.longreprtext)

    def _too_many(self) -> bool:
        return len(self._failures) > allowed(len(self._seen))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._too_many() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._failures:
            return
        count, tests = len(self._failures), len(self._seen)
        terminalreporter.section("run again")
        for name, failures in self._failures.items():
            terminalreporter.line(f"{name} ran again, {len(failures)} of {AGAIN} times; first it failed so:")
            for line in failures[0].splitlines()[-_LINES:]:
                terminalreporter.line(f"    {line}")
        terminalreporter.line(
            f"{count} of {tests} lab tests ran again, {allowed(tests)} may: {', '.join(self._failures)}",
            red=self._too_many(),
            yellow=not self._too_many(),
        )
        if self._too_many():
            terminalreporter.line("TOO MANY: this run fails", red=True)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker of xdist reports to the process that has this plugin
        config.pluginmanager.register(Reruns())


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if any(item.get_closest_marker(marker) for marker in REAL):
            item.add_marker(pytest.mark.flaky(reruns=AGAIN))
