"""What a whole daemon with many prefixes holds in memory: `steerd run` with a ``prefixes_file``, in the lab."""

import re
import socket
import time
import urllib.request
from itertools import islice
from typing import Any

from bench.route_subjects import peak, texts
from steerd.lab.enclosure import RUN
from steerd.lab.namespaces import enter
from steerd.lab.world.world import World

_PATIENCE = 60.0
_SETTLED = 2.0


def _installed() -> int:
    try:
        with urllib.request.urlopen("http://127.0.0.1:9911/metrics", timeout=2) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("steerd_routes_installed{"))


def daemon(number: int) -> dict[str, Any]:
    """Its peak memory from the start until ``number`` prefixes of each family are steered, in MB, and seconds."""
    socket.setdefaulttimeout(5)
    with World() as world:
        file = RUN / "prefixes"
        # Every other one: the guard's ranges would else be one.
        apart = (text for family in (4, 6) for text in islice(texts(family, 2 * number), 0, None, 2))
        file.write_text("\n".join(apart) + "\n")
        text = re.sub(r"(?m)^prefixes = .*$", f'prefixes_file = "{file}"', world.gateway_config())
        began = time.monotonic()
        process = world.run_daemon(text, "--log-level", "warning")
        enter("gw")
        while _installed() != 2 * number:
            if process.poll() is not None or time.monotonic() - began > _PATIENCE:
                raise RuntimeError("the daemon does not get there")
            time.sleep(0.1)
        took = time.monotonic() - began
        time.sleep(_SETTLED)
        return {"rss_mb": peak(process.pid), "steered_s": took}
