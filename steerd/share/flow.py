"""How fast a program takes what the broker has for it: a flood waits in the kernel and at the broker, not in memory."""

from typing import Final, NamedTuple


class Flow(NamedTuple):
    """``packets`` are let through at once, then whatever else the program does has its turn, for ``turn`` seconds.
    Between two looks at what was heard there are ``pace`` seconds, and after each message ``rest`` times as long as it
    took: a small one may inflate to much. ``waiting`` bytes of messages wait to be looked at, at most, of each topic
    the latest."""

    packets: int
    turn: float
    pace: float
    rest: float
    waiting: int


STEERING: Final = Flow(packets=8, turn=0.01, pace=0.1, rest=9.0, waiting=4 << 20)
"""Of a program that has better things to do: who says more is heard less."""

LISTENING: Final = Flow(packets=64, turn=0.0, pace=0.02, rest=0.0, waiting=64 << 20)
"""Of a program whose work it is to hear everybody."""
