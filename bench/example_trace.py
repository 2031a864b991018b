"""Makes docs/example.csv: ten minutes of a gateway with two tunnels and LTE, from nothing but a seed.

``python -m bench.example_trace > docs/example.csv``
"""

from random import Random

SECONDS = 600
PATHS = {"fra1/fibre": 20.0, "ams1/fibre": 27.0, "par1/lte": 48.0}


def extra(path: str, second: int) -> float | None:
    """What is added to the path's usual RTT, in ms; None: nothing comes back."""
    if path == "fra1/fibre":
        if 120 <= second < 210:
            return 30.0  # a detour somewhere
        if 340 <= second < 365:
            return None  # an outage
        if second in (60, 61, 450, 451, 500):
            return 120.0  # bursts
    if path == "ams1/fibre":
        if 350 <= second < 420:
            return 6.0 * (1 + second % 2)  # a busy link
        if second in (150, 151):
            return 90.0
    if path == "par1/lte" and second % 97 < 3:
        return 200.0
    return 0.0


def main() -> None:
    random = Random(2)
    print("time_s,path,rtt_ms")
    for second in range(SECONDS):
        for path, usual in PATHS.items():
            more = extra(path, second)
            noise = random.expovariate(1.0 / (0.05 * usual))
            lost = more is None or random.random() < (0.02 if "lte" in path else 0.001)
            print(f"{second},{path},{'' if lost else f'{usual + (more or 0.0) + noise:.1f}'}")


if __name__ == "__main__":
    main()
