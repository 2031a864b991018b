"""Random weather for the simulations of thousands of seeds."""

from dataclasses import replace
from random import Random

from steerd.sim.network import Line, Weather


def season(rng: Random, length: float) -> Line:
    """A random hour: calm, brown-outs, noise, loss, deaths and link flaps, ending in a calm."""
    base = Weather(rtt=rng.uniform(5, 120), jitter=rng.choice([0.0, 0.5, 3.0, 10.0]))
    changes, time, end = [base], 0.0, 0.8 * length
    while (time := time + rng.expovariate(1 / 240.0)) < end:
        kind = rng.choices(["brown", "noise", "spikes", "loss", "dead", "link"], [4, 3, 2, 3, 2, 1])[0]
        lasts = rng.choice([0.3, 2.0, 8.0, 40.0, 200.0]) * rng.uniform(0.5, 1.5)
        bad = {
            "brown": lambda: replace(base, rtt=base.rtt + rng.uniform(5, 200)),
            "noise": lambda: replace(base, jitter=rng.uniform(5, 60)),
            "spikes": lambda: replace(base, spikes=0.02),
            "loss": lambda: replace(base, loss=rng.choice([0.01, 0.1, 0.5])),
            "dead": lambda: replace(base, dead=True),
            "link": lambda: replace(base, link=False),
        }[kind]()
        changes += [replace(bad, at=time), replace(base, at=min(end, time + lasts))]
        time += lasts
    return Line(*changes, replace(base, at=end, jitter=0.0))
