"""Which tests are run again, and when that fails the run. Each runs pytest in a folder of its own."""

from pathlib import Path

import pytest

from tests import reruns

pytest_plugins = ["pytester"]

FAILS = """
    import pathlib, pytest

    def fails(name, times):
        runs = pathlib.Path(__file__).with_name(name)
        count = len(runs.read_text()) if runs.exists() else 0
        runs.write_text("x" * (count + 1))
        assert count >= times, f"{name}, run {count + 1}"
"""
LUCK = """
    @pytest.mark.lab
    def test_fine():
        pass

    @pytest.mark.lab
    def test_with_bad_luck():
        fails("bad luck", 2)
"""


@pytest.fixture(name="run")
def run_(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Runs tests of that text with the plugin."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.delenv("RERUNS", raising=False)  # of the run that this test is part of
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the others take their time to load
    plugins = [word for name in ("pytest_rerunfailures", "xdist", "tests.reruns") for word in ("-p", name)]
    pytester.makeini("[pytest]\nmarkers = lab\n  broker\n  system\n")

    def run(text: str, *options: str):
        pytester.makepyfile(FAILS + text)
        return pytester.runpytest_subprocess(*plugins, "-p", "no:cacheprovider", *options, timeout=60)

    return run


def test_a_lab_test_that_fails_twice_passes_and_is_named(run) -> None:
    result = run(LUCK)
    assert result.ret == 0
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_with_bad_luck ran again, 2 of 2 times; *", "*bad luck, run 1*"])
    result.stdout.fnmatch_lines(["1 of 2 lab tests ran again, 1 may: *test_with_bad_luck"])


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_too_many_that_ran_again_fail_the_run_though_all_passed_in_the_end(run, workers: tuple[str, ...]) -> None:
    result = run(
        LUCK
        + """
    @pytest.fixture(scope="module")
    def broker():
        fails("broker", 1)

    @pytest.mark.broker
    def test_with_a_broker(broker):
        pass
    """,
        *workers,
    )
    assert result.ret == 1
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["2 of 3 lab tests ran again, 1 may: *", "TOO MANY: this run fails"])


def test_what_fails_three_times_fails_and_a_test_without_real_time_at_once(run) -> None:
    result = run(
        """
    @pytest.mark.lab
    def test_broken():
        fails("broken", 3)

    def test_of_a_unit():
        fails("unit", 1)
    """
    )
    assert result.ret == 1
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["1 of 1 lab tests ran again, 1 may: *test_broken"])


def test_parts_of_one_run_are_judged_together_at_its_end(run, tmp_path, monkeypatch, capsys) -> None:
    counts = tmp_path / "counts"
    monkeypatch.setenv("RERUNS", str(counts))
    fine = "\n".join(f"    @pytest.mark.lab\n    def test_{n}(): pass" for n in range(97))
    first = run(LUCK + fine)
    assert first.ret == 0
    assert reruns.judge(counts) == 0
    again = LUCK.replace("bad luck", "worse luck")
    assert run(again).ret == 0
    assert reruns.judge(counts) == 0
    third = LUCK.replace("bad luck", "no luck")
    assert run(third).ret == 0  # three of 103: the part does not know of the others
    assert reruns.judge(counts) == 1
    assert "3 of 103 lab tests ran again, 2 may: " in capsys.readouterr().out
    assert reruns.judge(tmp_path / "none") == 0


@pytest.mark.parametrize(("tests", "may"), [(1, 1), (99, 1), (100, 2), (340, 6)])
def test_two_percent_may_run_again_and_one_of_few(tests: int, may: int) -> None:
    assert reruns.allowed(tests) == may
