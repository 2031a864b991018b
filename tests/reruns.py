"""A pytest plugin: a lab test that fails is run again, twice at most, for whatever reason it failed.

pytest-rerunfailures runs it again; this asks for it, and counts over all workers of a run. The run prints which tests
needed it, with what they failed of first, and fails if these are too many: docs/development/decisions/lab-reruns.md
says why.

Runs of pytest that are parts of one run, as those of `.ci/run`, add their counts to the file that ``RERUNS`` names, and
are judged together: ``python -m tests.reruns FILE``.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

REAL = ("lab", "broker", "system")
"""Markers of the tests that live in real time."""
AGAIN = 2
SHARE = 0.02
_LINES = 40  # printed of a failure


def allowed(tests: int) -> int:
    """How many of so many tests may need another run: 2 %, and one of few, which 2 % would never allow."""
    return max(1, int(SHARE * tests))


def _verdict(again: Sequence[str], tests: int) -> str:
    return f"{len(again)} of {tests} lab tests ran again, {allowed(tests)} may: {', '.join(again)}"


class Reruns:
    """What was run again, in the process that prints the summary."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._failures: dict[str, list[str]] = {}
        self._file = os.environ.get("RERUNS")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if any(marker in report.keywords for marker in REAL):
            self._seen.add(report.nodeid)
        if report.outcome == "rerun":
            self._failures.setdefault(report.nodeid, []).append(report.longreprtext)

    def _too_many(self) -> bool:
        return not self._file and len(self._failures) > allowed(len(self._seen))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._file:
            with Path(self._file).open("a") as file:  # a line at once: runs beside each other write it
                file.write(json.dumps({"tests": len(self._seen), "again": list(self._failures)}) + "\n")
        if self._too_many() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._failures:
            return
        tests = len(self._seen)
        terminalreporter.section("run again")
        for name, failures in self._failures.items():
            terminalreporter.line(f"{name} ran again, {len(failures)} of {AGAIN} times; first it failed so:")
            for line in failures[0].splitlines()[-_LINES:]:
                terminalreporter.line(f"    {line}")
        terminalreporter.line(
            _verdict(list(self._failures), tests),
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


def judge(file: Path) -> int:
    """Print how many tests of all runs that wrote the file ran again; 1 if they are too many, else 0."""
    runs = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    again, tests = [name for run in runs for name in run["again"]], sum(run["tests"] for run in runs)
    print(_verdict(again, tests))
    if len(again) <= allowed(tests):
        return 0
    print("TOO MANY: this run fails")
    return 1


if __name__ == "__main__":
    sys.exit(judge(Path(sys.argv[1])))
