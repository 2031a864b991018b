"""Reloads on trial: what begins one, what ends it, and what is said of it. The file is read for real."""

import asyncio
import logging

import pytest

from steerd.config.gateway.load import load
from steerd.daemon.reload import Reload, TrialError
from steerd.status.snapshot import Trial

FILE = """\
[[pop]]
name = "fra1"
paths = [{{ dev = "wg0", target = "{target}" }}]
[[policy]]
name = "p"
prefixes = ["10.0.0.0/8"]
"""
OLD, NEW = "10.64.1.1", "10.64.1.2"


class Daemon:
    """What a reload needs of it. ``refuses`` is said to the next configuration."""

    def __init__(self, file):
        self.file = file
        self.write(OLD)
        config = load(file)
        self.refuses = []
        self.heard = []
        self.tasks = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.reloads = Reload(
            config,
            take_up=self.take_up,
            began=lambda: self.heard.append("began"),
            ended=lambda ok: self.heard.append(f"ended {ok}"),
            refused=lambda: self.heard.append("refused"),
            spawn=lambda work: self.tasks.add(asyncio.ensure_future(work)),
        )

    def write(self, target, tables=""):
        self.file.write_text(FILE.format(target=target) + tables)

    @property
    def config(self):
        return self.reloads.config

    @property
    def target(self):
        return self.config.probe.paths[0].targets[0].address

    async def take_up(self, config):
        await self.gate.wait()
        if self.refuses:
            word = self.refuses.pop()
            if isinstance(word, BaseException):
                raise word
            return [word]
        return []

    async def time_is_up(self):
        """Until the trial's time is over, and what then happens has begun."""
        for _ in range(300):
            if self.tasks:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("nothing happened")

    async def taken_back(self):
        await self.time_is_up()
        await asyncio.gather(*self.tasks)


@pytest.fixture
def scene(tmp_path, caplog):
    caplog.set_level(logging.INFO, "steerd")

    def play(scenario):
        async def run():
            daemon = Daemon(tmp_path / "steerd.toml")
            await scenario(daemon)

        asyncio.run(run())

    return play


def test_what_is_not_confirmed_is_taken_back(scene, caplog):
    async def scenario(daemon):
        old = daemon.config
        daemon.write(NEW)
        assert await daemon.reloads.reload(0.1) == []
        assert daemon.target == NEW
        said = daemon.reloads.trial()
        assert said.state == "unconfirmed"
        assert 0.0 < said.left <= 0.1
        await daemon.taken_back()
        assert daemon.config is old
        assert daemon.heard == ["began", "ended True", "began", "ended False"]
        said = daemon.reloads.trial()
        assert (said.state, list(said.problems)) == ("taken-back", [])
        with pytest.raises(TrialError, match=r"nothing waits .* not confirmed in time, and was taken back 0.0s ago"):
            daemon.reloads.confirm()

    scene(scenario)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings[0] == "on trial: the configuration before it comes back in 100ms, unless it is confirmed"
    assert warnings[1].startswith("the reload was not confirmed within 100ms: ")


def test_what_is_confirmed_stays(scene):
    async def scenario(daemon):
        daemon.write(NEW)
        await daemon.reloads.reload(0.05)
        daemon.reloads.confirm()
        assert daemon.reloads.trial() is None
        await asyncio.sleep(0.15)
        assert daemon.target == NEW
        assert daemon.heard == ["began", "ended True"]
        with pytest.raises(TrialError, match=r"^nothing waits for confirmation$"):
            daemon.reloads.confirm()

    scene(scenario)


def test_nothing_is_reloaded_over_a_trial(scene, caplog):
    async def scenario(daemon):
        daemon.write(NEW)
        await daemon.reloads.reload(30.0)
        daemon.write("10.64.1.3")
        for within in (None, 5.0):
            with pytest.raises(TrialError, match=r"waits to be confirmed, for 30s: `steerctl confirm`"):
                await daemon.reloads.reload(within)
        assert daemon.heard == ["began", "ended True"]
        await daemon.reloads.on_signal()
        assert daemon.heard == ["began", "ended True", "refused"]
        assert daemon.target == NEW
        daemon.reloads.confirm()
        assert await daemon.reloads.reload() == []
        assert daemon.target == "10.64.1.3"

    scene(scenario)
    assert "not reloaded: the last reload waits to be confirmed" in caplog.text


def test_two_reloads_at_once_are_one_trial(scene):
    async def scenario(daemon):
        daemon.write(NEW)
        first, second = await asyncio.gather(
            daemon.reloads.reload(30.0), daemon.reloads.reload(30.0), return_exceptions=True
        )
        assert first == []
        assert isinstance(second, TrialError)
        daemon.reloads.stop()

    scene(scenario)


@pytest.mark.parametrize("how", ["a bad file", "a stage refuses"])
def test_what_is_refused_begins_no_trial(scene, how):
    async def scenario(daemon):
        if how == "a bad file":
            daemon.write("nowhere at all")
        else:
            daemon.refuses = ["a route is in the way"]
        (problem,) = await daemon.reloads.reload(30.0)
        assert "nowhere at all" in problem or problem == "a route is in the way"
        assert daemon.reloads.trial() is None
        assert daemon.heard == ["began", "refused", "ended False"]
        assert daemon.target == OLD

    scene(scenario)


def test_what_can_not_be_taken_back_stays(scene, caplog):
    async def scenario(daemon):
        daemon.write(NEW)
        await daemon.reloads.reload(0.05)
        daemon.refuses = ["in the way"]
        await daemon.taken_back()
        said = daemon.reloads.trial()
        assert (said.state, list(said.problems)) == ("stuck", ["in the way"])
        assert daemon.target == NEW
        with pytest.raises(TrialError, match="could not be taken back"):
            daemon.reloads.confirm()
        assert await daemon.reloads.reload() == []
        assert daemon.reloads.trial() is None

    scene(scenario)
    assert "not taken back: in the way" in caplog.text


def test_a_reload_that_is_cut_in_its_middle_is_taken_back_too(scene):
    async def scenario(daemon):
        daemon.write(NEW)
        daemon.refuses = [asyncio.CancelledError()]
        with pytest.raises(asyncio.CancelledError):
            await daemon.reloads.reload(0.05)
        assert daemon.reloads.trial().state == "unconfirmed"
        await daemon.taken_back()
        assert daemon.target == OLD
        assert daemon.reloads.trial().state == "taken-back"

    scene(scenario)


def test_while_it_is_taken_back_it_is_too_late(scene):
    async def scenario(daemon):
        daemon.write(NEW)
        await daemon.reloads.reload(0.05)
        daemon.gate.clear()
        await daemon.time_is_up()
        await asyncio.sleep(0.01)
        assert daemon.reloads.trial() == Trial("unconfirmed", left=0.0)
        with pytest.raises(TrialError, match="too late"):
            daemon.reloads.confirm()
        later = asyncio.ensure_future(daemon.reloads.reload())
        daemon.gate.set()
        await daemon.taken_back()
        assert daemon.target == OLD
        assert await later == []  # it waited for its turn, and the file is still the new one
        assert daemon.target == NEW


def test_a_stop_says_what_the_next_start_reads(scene, caplog):
    async def scenario(daemon):
        daemon.write(NEW)
        await daemon.reloads.reload(0.05)
        daemon.reloads.stop()
        await asyncio.sleep(0.15)
        assert daemon.target == NEW
        assert not daemon.tasks
        daemon.reloads.stop()

    scene(scenario)
    assert caplog.text.count("stopped before the last reload was confirmed: the next start takes up") == 1


def test_however_many_signals_come_the_file_is_read_once_and_once_more_for_those_that_came_meanwhile(scene):
    async def scenario(daemon):
        daemon.gate.clear()
        first = asyncio.ensure_future(daemon.reloads.on_signal())
        await asyncio.sleep(0.01)  # it reads, and takes up
        daemon.write(NEW)
        later = [asyncio.ensure_future(daemon.reloads.on_signal()) for _ in range(500)]
        await asyncio.sleep(0)
        daemon.gate.set()
        await asyncio.gather(first, *later)
        assert daemon.heard.count("began") == 2
        assert daemon.target == NEW

    scene(scenario)


def test_signals_without_end_have_the_file_read_once_a_second(scene, monkeypatch):
    monkeypatch.setattr("steerd.daemon.reload.PAUSE", 0.2)

    async def scenario(daemon):
        loop = asyncio.get_running_loop()
        began, asked = loop.time(), []
        while loop.time() - began < 1.0:
            asked.append(asyncio.ensure_future(daemon.reloads.on_signal()))
            await asyncio.sleep(0.001)
        await asyncio.gather(*asked)
        assert 2 <= daemon.heard.count("began") <= (loop.time() - began) / 0.2 + 1

    scene(scenario)


def test_a_reload_says_what_it_changed_and_what_waits_for_a_restart(scene, caplog):
    async def scenario(daemon):
        asked = daemon.reloads.verbs()["reload"]
        same = await asked({"verb": "reload"})
        assert (same["changed"], same["text"]) == ([], "reloaded: the file says the same as before")
        daemon.write(NEW, "[store]\nrecord = true\n")
        other = await asked({"verb": "reload"})
        assert other["at_next_start"] == ["[store] record"]
        assert f'path fra1/wg0 target: "{OLD}" -> "{NEW}"' in other["changed"]
        assert other["text"].splitlines() == [
            "reloaded:",
            *(f"  {one}" for one in other["changed"]),
            "[store] record takes effect at the next start",
        ]

    scene(scenario)
    assert any(f'target: "{OLD}" -> "{NEW}"' in record.getMessage() for record in caplog.records)
