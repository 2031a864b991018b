"""`steerd check --live` on a gateway with one neighbour, before steerd has ever run there: what is found, and what is
left of it once the cures are applied that a shell or the file takes."""

from typing import Any

from steerd.lab import namespaces
from steerd.lab.world.pop import POPS
from steerd.lab.world.world import World
from tests.lab.live import FILE, check, cure
from tests.neighbours.neighbours import NEIGHBOURS
from tests.neighbours.scene import Beside, foreign, moved, still

RESTART = " && systemctl restart systemd-networkd"
"""There is no systemd in the neighbour's tree: it is ended and started instead."""


def looked(name: str) -> Any:
    with World(POPS[:3], full_tunnel=True) as world:
        for address in ("198.51.100.65/32", "2001:db8:64::1/128"):
            namespaces.ip(f"addr add {address} dev lo", "wan")
        one = Beside(world, NEIGHBOURS[name])
        FILE.write_text(world.gateway_config().replace("[route]\n", f"[route]\n{one.neighbour.route}\n"))
        one.begin()
        before = still(foreign)
        code, findings = check()
        touched = moved(before, still(foreign))
        for finding in findings:
            if finding["by"] != "do":
                cure({**finding, "cure": finding["cure"].removesuffix(RESTART)})
            if finding["cure"].endswith(RESTART):
                one.finish()
                one.begin()
        return {"code": code, "findings": findings, "touched": touched, "left": check()[1]}
