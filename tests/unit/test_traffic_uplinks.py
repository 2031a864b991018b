"""Uplinks: from counters and the clock to what they cost, and what is told of their caps."""

import asyncio
import threading
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.config.uplink import METERED, Every, Hours, Resets, UplinkSettings
from steerd.core.events import UplinkPrice
from steerd.traffic.count import ABSENT
from steerd.traffic.metered import Watch, ask, read
from steerd.traffic.uplinks import CLOCK_BELIEVED, HOURS_STAND, KEPT_EVERY, KEPT_SOONEST, Uplinks

MB = 10**6
CAPPED = UplinkSettings("wwan0", metered=False, cap=100 * MB)
ONE = "boot/3"


def at(day, hour=12, minute=0, month=11):
    return datetime.fromisoformat(f"2026-{month:02}-{day:02}T{hour:02}:{minute:02}").timestamp()


TENTH = at(10)


class Counted:
    """Uplinks whose counter and clocks are told. ``wall`` goes on with ``now``, unless it is set."""

    def __init__(self, *settings, kept=None, wall=TENTH):
        self.told, self.turns, self.keeps = [], [], 0
        self.now, self.wall, self.counter, self.device = 50_000.0, wall, 0, ONE
        self.of = Uplinks(
            settings or (CAPPED,),
            kept or {},
            on_price=self.told.append,
            on_turn=lambda name, state, words: self.turns.append((state, words)),
            keep=self._keep,
        )

    def _keep(self):
        self.keeps += 1

    def look(self, more=0, seconds=1.0):
        self.now, self.wall, self.counter = self.now + seconds, self.wall + seconds, self.counter + more
        counted = dict.fromkeys((one.name for one in self.of.settings), (self.device, self.counter))
        self.of.look(counted, self.wall, self.now)
        return self

    @property
    def states(self):
        return [state for state, _ in self.turns]

    @property
    def view(self):
        return self.of.views()[0]


def test_an_uplink_costs_what_its_count_says_in_whole_percents():
    one = Counted().look()
    assert one.told == [UplinkPrice("wwan0", 0.0)]  # told from the start: nothing else is known of it
    one.look(79 * MB).look(1 * MB).look(100_000).look(800_000).look(200_000).look(14 * MB).look(200 * MB)
    assert [event.used for event in one.told] == [0.0, 0.8, 0.81, 0.95, 1.0]


def test_it_is_told_when_a_cap_is_neared_reached_and_counted_anew():
    one = Counted(wall=at(30, 23, 59)).look().look(79 * MB)
    assert one.turns == []
    one.look(MB).look(MB).look(13 * MB).look(6 * MB).look(50 * MB)
    assert one.states == ["near", "last-resort", "reached"]
    one.look(seconds=60.0)
    assert one.states == ["near", "last-resort", "reached", "reset"]
    assert [words for _, words in one.turns] == [
        "wwan0 has carried 80.0 MB of its cap of 100 MB: it costs more and more until 2026-12-01",
        "wwan0 has carried 94.0 MB of its cap of 100 MB: it is used only if nothing else is up until 2026-12-01",
        "wwan0 has reached its cap of 100 MB: it is used only if nothing else is up until 2026-12-01",
        "wwan0 is counted anew from 2026-12-01 on, after 150 MB; its cap is 100 MB",
    ]
    assert one.told[-1] == UplinkPrice("wwan0", 0.0, 0.0)
    assert (one.view.bytes, one.view.began, one.view.ends) == (0, "2026-12-01", "2027-01-01")


def test_counts_go_on_over_a_restart_and_nothing_is_told_twice():
    one = Counted().look().look(85 * MB)
    again = Counted(kept=one.of.kept())
    again.counter = one.counter
    again.look(5 * MB)
    assert (again.view.bytes, again.states, again.told[-1].used) == (90 * MB, [], 0.9)
    again.look(20 * MB)
    assert again.states == ["reached"]


def test_a_period_that_began_while_we_were_down_is_counted_anew():
    kept = Counted().look().look(120 * MB).of.kept()
    again = Counted(kept=kept, wall=at(3, month=12))
    again.counter = 120 * MB
    again.look(7 * MB)
    assert (again.view.bytes, again.states) == (7 * MB, ["reset"])


@pytest.mark.parametrize("kept", [{"wwan0": None}, {"wwan0": {"bytes": "many"}}, {"wwan0": [], "": {}}])
def test_a_count_that_cannot_be_read_begins_anew(kept):
    one = Counted(kept=kept).look().look(MB)
    assert one.view.bytes == MB


@pytest.mark.parametrize("wrong", [0.0, at(5, month=1), at(10, month=10)])
def test_a_clock_that_is_set_back_loses_nothing_and_neither_does_the_right_one_after_it(wrong):
    one = Counted().look().look(96 * MB)
    one.wall = wrong
    one.look(seconds=1.0).look(seconds=100.0)
    one.wall = at(10)
    one.look().look(MB, seconds=4000.0)
    assert one.view.bytes == 97 * MB
    assert one.states == ["last-resort"]


def test_a_clock_that_leaps_ahead_for_a_while_counts_nothing_anew():
    one = Counted().look().look(96 * MB)
    one.wall = at(10) + 400 * 86_400.0
    one.look(MB)
    one.wall = at(10)
    one.look(MB)
    assert (one.view.bytes, one.states) == (98 * MB, ["last-resort"])


def test_a_count_from_a_time_to_come_is_dated_when_the_clock_has_stood_so_long_enough():
    kept = {"wwan0": {"bytes": 96 * MB, "began": "2062-01-01", "resets": "month 1", "device": ONE, "counter": 0}}
    one = Counted(kept=kept, wall=at(10)).look().look(seconds=CLOCK_BELIEVED - 10.0)
    assert one.view.began == "2062-01-01"
    one.look(seconds=20.0)
    assert (one.view.began, one.view.bytes) == ("2026-11-01", 96 * MB)
    one.wall = at(30, 23, 59)
    one.now += 19 * 86_400.0
    one.look().look(seconds=120.0)
    assert one.view.began == "2026-12-01"


def test_a_clock_that_stands_behind_for_days_loses_nothing_when_it_is_mended():
    one = Counted().look().look(96 * MB)
    one.wall = at(5, month=3)
    for _ in range(3):
        one.look(seconds=CLOCK_BELIEVED)
    assert one.view.began == "2026-03-01"
    one.wall = at(13)
    one.look().look(MB, seconds=4000.0)  # it leapt, and is believed after an hour
    assert (one.view.began, one.view.bytes, one.states) == ("2026-11-01", 97 * MB, ["last-resort"])
    one.wall, one.now = at(30, 23, 59), one.now + 17 * 86_400.0
    one.look().look(seconds=120.0)
    assert (one.view.began, one.view.bytes) == ("2026-12-01", 0)


def test_without_a_clock_it_is_counted_all_the_same():
    one = Counted(wall=0.0).look().look(30 * MB)
    assert (one.view.bytes, one.view.began, one.view.ends) == (30 * MB, "", "")
    one.wall = at(10)
    one.look(MB)
    assert (one.view.bytes, one.view.began) == (31 * MB, "2026-11-01")


def test_another_cap_keeps_the_count():
    one = Counted().look().look(90 * MB)
    one.of.configure([replace(CAPPED, cap=200 * MB)])
    one.look()
    assert (one.view.bytes, one.view.state, one.told[-1].used) == (90 * MB, "open", 0.0)
    one.of.configure([replace(CAPPED, cap=80 * MB)])
    one.look()
    assert (one.view.bytes, one.view.state, one.states) == (90 * MB, "reached", ["near", "reached"])
    one.of.configure([replace(CAPPED, cap=80 * MB, resets=Resets(Every.MONTH, 5))])
    one.look()
    assert (one.view.bytes, one.view.began) == (90 * MB, "2026-11-05")


def test_an_uplink_that_leaves_the_file_costs_nothing_and_its_count_is_there_when_it_comes_back():
    one = Counted().look().look(90 * MB)
    one.of.configure([])
    assert one.told[-1] == UplinkPrice("wwan0", 0.0, 0.0)
    assert one.of.views() == []
    one.of.configure([CAPPED])
    one.look(MB)
    assert one.view.bytes == 91 * MB


def test_a_device_that_is_not_there_is_told_and_counted_when_it_comes():
    one = Counted()
    one.device = ABSENT
    one.look()
    assert not one.view.device
    one.device = ONE
    one.look(5 * MB)
    assert (one.view.device, one.view.bytes) == (True, 5 * MB)


def test_what_could_not_be_read_changes_nothing():
    one = Counted().look().look(5 * MB)
    one.of.look({}, one.wall, one.now + 1.0)
    one.look(MB)
    assert one.view.bytes == 6 * MB


def test_counts_are_written_down_rarely():
    one = Counted().look()
    before = one.keeps
    for _ in range(100):
        one.look(10_000)
    assert one.keeps == before + 1  # a percent of the cap
    for _ in range(int(KEPT_EVERY * 3)):
        one.look(100)
    assert one.keeps == before + 4
    for _ in range(int(KEPT_EVERY * 3)):
        one.look()
    assert one.keeps <= before + 5
    for _ in range(50):
        one.look(2 * MB)  # all of it in a moment: no more than one each ten seconds, and at each turn
    assert one.keeps <= before + 5 + 50 / KEPT_SOONEST + len(one.turns)


def test_the_hour_has_a_price():
    busy = UplinkSettings("wwan0", metered=False, price=10.0, hours=Hours(480, 1080), bias=25.0)
    one = Counted(busy, wall=at(10, 7, 58)).look().look(seconds=60.0).look(seconds=90.0)
    assert [event.price for event in one.told] == [10.0, 35.0]
    one.wall = at(10, 7, 59)  # the clock is set
    one.look().look(seconds=HOURS_STAND / 2)
    assert len(one.told) == 2
    one.wall = at(10, 18, 0)
    one.look(seconds=HOURS_STAND)
    assert [event.price for event in one.told] == [10.0, 35.0, 10.0]


@pytest.mark.parametrize(
    ("settings", "says", "price"),
    [
        (UplinkSettings("wwan0"), None, 0.0), (UplinkSettings("wwan0"), True, METERED),
        (UplinkSettings("wwan0"), False, 0.0), (UplinkSettings("wwan0", metered=True), False, METERED),
        (UplinkSettings("wwan0", metered=False), True, 0.0), (UplinkSettings("wwan0", price=3.0), True, 3.0),
        (UplinkSettings("wwan0", metered=True, price=0.0), None, 0.0),
    ],
)  # fmt: skip
def test_who_is_metered_costs_more_unless_there_is_a_price(settings, says, price):
    one = Counted(settings).look()
    one.of.metered({} if says is None else {"wwan0": says})
    assert one.told[-1].price == price
    assert one.of.asks == (settings.metered is None)
    one.of.metered({})
    assert one.told[-1].price == (0.0 if settings.metered is None and settings.price is None else price)


def test_this_machine_s_own_counters_are_read():
    one = Counted(UplinkSettings("lo", metered=False))
    one.of.read()
    assert one.view.device
    assert one.of.kept()["lo"]["device"].endswith("/1")


SAID = """\
GENERAL.DEVICE:wlan0
GENERAL.IP-IFACE:wlan0
GENERAL.METERED:yes (guessed)

GENERAL.DEVICE:cdc-wdm0
GENERAL.IP-IFACE:wwan0
GENERAL.METERED:yes

GENERAL.DEVICE:eth0
GENERAL.IP-IFACE:eth0
GENERAL.METERED:no (guessed)

GENERAL.DEVICE:lo
GENERAL.IP-IFACE:
GENERAL.METERED:unknown
"""


def test_what_networkmanager_says():
    assert read(SAID) == {"wlan0": True, "cdc-wdm0": True, "wwan0": True, "eth0": False}
    assert read("") == read("Error: NetworkManager is not running.") == read("GENERAL.METERED:yes\n:\n\0") == {}


@pytest.mark.parametrize("command", [["/nowhere/nmcli"], ["false"], ["sh", "-c", "kill -9 $$"]])
def test_networkmanager_that_is_not_there_says_nothing(command):
    assert ask(command) is None


def test_networkmanager_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr("steerd.traffic.metered.WITHIN", 0.1)
    assert ask(["sleep", "60"]) is None


def test_networkmanager_is_asked_in_a_language_that_is_known(tmp_path):
    program = tmp_path / "nmcli"
    program.write_text('#!/bin/sh\necho "GENERAL.DEVICE:wwan0"; [ "$LC_ALL" = C ] && echo "GENERAL.METERED:yes"\n')
    program.chmod(0o755)
    assert ask([str(program)]) == {"wwan0": True}


def test_nobody_waits_for_networkmanager(monkeypatch):
    """It is asked in a thread of its own, and what it says is told on the loop."""
    here, told = threading.get_ident(), []
    monkeypatch.setattr("steerd.traffic.metered.ask", lambda: {"wwan0": threading.get_ident() != here})

    async def asked():
        heard = asyncio.Event()

        def tell(found):
            told.append((found, threading.get_ident()))
            heard.set()

        watch = Watch(tell)
        watch.start()
        watch.start()
        await asyncio.wait_for(heard.wait(), 30.0)
        watch.close()

    asyncio.run(asked())
    assert told == [({"wwan0": True}, here)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [0.0, 1.0, -86_400.0 * 3, -86_400.0 * 40, -86_400.0 * 400, -1.7e9]
            ),  # how wrong the clock is
            st.integers(0, 3 * MB),
            st.sampled_from([1.0, 60.0, 5000.0]),
            st.booleans(),  # whether steerd begins anew before
        ),
        max_size=40,
    )
)
def test_no_clock_that_is_set_back_and_no_restart_loses_a_byte(steps):
    """All within one month, as it really is."""
    one, true, total = Counted().look(), TENTH, 0
    for wrong, more, seconds, restarts in steps:
        if restarts:
            again = Counted(kept=one.of.kept())
            again.now, again.counter, one = one.now, one.counter, again
        true += seconds
        one.wall, total = true + wrong - seconds, total + more
        one.look(more, seconds)
    assert one.view.bytes == total
