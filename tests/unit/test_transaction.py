"""A reload over stages of which one fails: nobody is left with what others do not have."""

import asyncio

import pytest

from steerd.config.change import StageError, Swap
from steerd.daemon.transaction import UNEXPECTED, take_up

POINTS = ("prepare", "commit", "after")


class Stage:
    """Has a value, and fails ``at`` a point with ``error``."""

    def __init__(self, name, log, at=None, error=None):
        self.name, self.log, self.at, self.error = name, log, at, error
        self.value = "old"

    def configure(self, value):
        self.log.append(f"{self.name} {value}")
        if value == "new" and self.at == "commit":
            raise self.error
        self.value = value
        if value == "new" and self.at == "after":
            raise self.error

    async def prepare(self, value):
        if self.at == "prepare":
            raise self.error
        return Swap(self.configure, self.value, value)


def taken_up(*stages):
    return asyncio.run(take_up("new", [stage.prepare for stage in stages]))


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("error", [StageError("in the way"), OSError("gone"), RuntimeError("a bug")])
def test_all_are_as_they_were(at, place, error):
    log = []
    stages = [Stage(name, log) for name in "abc"]
    stages[place].at, stages[place].error = at, error
    assert taken_up(*stages) == (["in the way"] if isinstance(error, StageError) else [UNEXPECTED])
    assert [stage.value for stage in stages] == ["old"] * 3
    if at == "prepare":
        assert log == []


def test_who_prepares_last_commits_first():
    log = []
    assert taken_up(*(Stage(name, log) for name in "abc")) == []
    assert log == ["c new", "b new", "a new"]


def test_a_stop_in_the_middle_leaves_nothing_half_done():
    log = []
    stages = [Stage("a", log), Stage("b", log, "after", asyncio.CancelledError())]
    with pytest.raises(asyncio.CancelledError):
        taken_up(*stages)
    assert [stage.value for stage in stages] == ["old", "old"]


def test_a_stage_that_cannot_be_put_back_keeps_no_other_from_it(caplog):
    log = []

    class Stuck(Stage):
        def configure(self, value):
            if value == "old":
                raise OSError("stuck")
            super().configure(value)

    stages = [Stage("a", log, "after", StageError("in the way")), Stage("b", log), Stuck("c", log)]
    assert taken_up(*stages) == ["in the way"]
    assert [stage.value for stage in stages] == ["old", "old", "new"]
    assert "a stage could not be put back as it was" in caplog.text
