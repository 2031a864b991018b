"""Who runs the VM: a frozen guest is told from a slow one and from one that does not switch itself off."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "tools/vm_watch.py"


@pytest.fixture(name="watch")
def watch_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a guest that is a shell script, in a folder with ``console`` and ``result``; with ten looks a second."""
    spec = importlib.util.spec_from_file_location("vm_watch", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "LOOK", 0.1)
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    monkeypatch.setattr(module, "FAREWELL", 10)
    monkeypatch.chdir(tmp_path)

    def watch(guest: str, silence: int = 20, limit: int = 200) -> int:
        code: int = module.watch(
            Path("console"), Path("monitor"), Path("result"), ["sh", "-c", guest], silence=silence, limit=limit
        )
        return code

    return watch


def test_a_guest_that_ends_is_left_alone_however_slow_it_is(watch, capfd: pytest.CaptureFixture[str]) -> None:
    assert watch("for n in 1 2 3 4 5 6; do echo beat >>console; sleep 0.5; done; exit 3") == 3
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"silence": 10}, "the VM is FROZEN: not a word on its console for 10 s"),
        ({"limit": 10}, "the VM took longer than 10 s"),
    ],
)
def test_one_that_does_not_go_on_is_ended_and_looked_at(
    watch, limits: dict[str, int], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert watch("echo $$ >pid; trap '' TERM; while :; do :; done", **limits) == 71
    words = capfd.readouterr().err
    assert said in words
    assert "thread" in words
    assert "info registers -a: no answer" in words
    assert not Path("/proc", Path("pid").read_text().strip()).exists()


def test_one_with_a_result_that_does_not_switch_itself_off_is_ended_in_peace(watch) -> None:
    assert watch("echo 0 >result; while :; do echo beat >>console; sleep 0.1; done") == 0
