"""How fast a program takes what the broker has for it: a flood waits in the kernel and at the broker, not in memory."""

from typing import Final, NamedTuple


class Flow(NamedTuple):
    """``packets`` are let through at once, then whatever else the program does has its turn, for ``turn`` seconds.
    Between two looks at what was heard there are ``pace`` seconds, and after each message ``rest`` times as long as it
    took: a small one may inflate to much. ``waiting`` bytes of messages wait to be looked at, at most, of each topic
    the latest. ``qos``: how surely the broker is asked to deliver."""

    packets: int
    turn: float
    pace: float
    rest: float
    waiting: int
    qos: int = 1


STEERING: Final = Flow(packets=8, turn=0.01, pace=0.1, rest=9.0, waiting=4 << 20)
"""Of a program that has better things to do: who says more is heard less."""

LISTENING: Final = Flow(packets=64, turn=0.0, pace=0.02, rest=0.0, waiting=64 << 20, qos=0)
"""Of a program whose work it is to hear everybody. What is retained of 10,000 gateways is more than a broker queues for
one subscriber, and what it would have to confirm it drops: each word is followed by another one soon."""
