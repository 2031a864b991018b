"""Makes an hour of three paths that take detours, from nothing but a seed: something to tune on.

``python -m bench.shift_trace 1 > 1.csv``
"""

import sys
from collections.abc import Iterator
from random import Random

SECONDS = 3600
PATHS = {"fra1/fibre": 25.0, "ams1/fibre": 27.0, "par1/lte": 29.0}


def rows(seed: int, seconds: int = SECONDS) -> Iterator[str]:
    """The lines of the trace, its header first. Each path is as usual for some minutes, then slower for a while."""
    random = Random(seed)
    detour = dict.fromkeys(PATHS, 0.0)
    until = dict.fromkeys(PATHS, 0)
    yield "time_s,path,rtt_ms"
    for second in range(seconds):
        for path, usual in PATHS.items():
            if second >= until[path]:
                detour[path] = 0.0 if detour[path] else random.choice([8.0, 15.0, 30.0])
                until[path] = second + random.randint(30, 300) * (1 if detour[path] else 3)
            yield f"{second},{path},{usual + detour[path] + random.expovariate(0.5):.1f}"


if __name__ == "__main__":
    print("\n".join(rows(int(sys.argv[1]))))
