"""systemd-networkd: whether it runs, and whether it was told to leave others' routes alone."""

from pathlib import Path

import pytest

from steerd.route.around.networkd import networkd_advice
from steerd.route.conflicts import conflicts
from steerd.route.conflicts.suspects import suspects

ALL = "[Network]\nManageForeignRoutingPolicyRules=no\nManageForeignRoutes=false\nManageForeignNextHops=0\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "proc/300/comm", "systemd-network\n")
    return tmp_path


def test_where_it_does_not_run_there_is_nothing_to_say(tmp_path: Path) -> None:
    write(tmp_path / "proc/300/comm", "systemd-resolve\n")
    assert networkd_advice(tmp_path) is None


def test_by_default_it_removes_what_it_does_not_know(root: Path) -> None:
    advice = networkd_advice(root)
    assert advice is not None
    for key in ("ManageForeignRoutingPolicyRules=no", "ManageForeignRoutes=no", "ManageForeignNextHops=no"):
        assert key in advice
    assert "\n" not in advice


@pytest.mark.parametrize("place", ["etc/systemd/networkd.conf", "usr/lib/systemd/networkd.conf.d/50-x.conf"])
def test_once_told_it_is_left_in_peace(root: Path, place: str) -> None:
    write(root / place, ALL)
    assert networkd_advice(root) is None


def test_only_what_is_still_free_is_named_and_the_last_drop_in_wins(root: Path) -> None:
    write(root / "etc/systemd/networkd.conf", ALL)
    write(root / "run/systemd/networkd.conf.d/90-back.conf", "[Network]\nManageForeignRoutes=yes\n")
    advice = networkd_advice(root)
    assert advice is not None
    assert "ManageForeignRoutes=no" in advice
    assert "ManageForeignNextHops" not in advice
    write(root / "etc/systemd/networkd.conf.d/90-back.conf", "")  # masks the one of its name in /run
    assert networkd_advice(root) is None


@pytest.mark.parametrize("library", ["usr/lib/x86_64-linux-gnu/systemd/{}252.so", "usr/lib/systemd/{}255.4-1.fc40.so"])
def test_one_that_does_not_know_nexthops_is_told_not_to_be_kept_from_them(root: Path, library: str) -> None:
    write(root / library.format("libsystemd-shared-"), "")
    write(root / "etc/systemd/networkd.conf", ALL)
    advice = networkd_advice(root)
    assert advice is not None
    assert "ManageForeignNextHops" not in advice
    assert "route.nexthop_objects = false" in advice
    assert networkd_advice(root, nexthops=False) is None
    write(root / library.replace("252", "256").replace("255", "257").format("libsystemd-shared-"), "")
    assert networkd_advice(root) is None


def test_a_file_that_is_no_ini_changes_nothing(root: Path) -> None:
    write(root / "etc/systemd/networkd.conf", "what = is this\n[Network\n")
    assert networkd_advice(root) is not None


def test_a_process_may_be_called_by_any_bytes(tmp_path: Path) -> None:
    for number, name in (("300", b"\xff\xfe\n"), ("301", b"zebra\n")):
        (tmp_path / "proc" / number).mkdir(parents=True)
        (tmp_path / "proc" / number / "comm").write_bytes(name)
    assert suspects(300, tmp_path) == "it is \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} (process 300)"
    assert "FRR" in suspects(0, tmp_path)


def test_who_removed_something_never_keeps_it_from_being_put_back(monkeypatch, caplog) -> None:
    monkeypatch.setattr(conflicts, "suspects", lambda _: b"\xff\xfe".decode())
    conflict, now = conflicts.Conflict(), 0.0
    for _ in range(conflicts.AGAIN_AND_AGAIN):
        now += 10.0
        conflict.table_changed("steerd", now)
    conflict.report(300)
    assert "another program keeps undoing `nft add table inet steerd`" in caplog.text
