"""The gateway's configuration, as its operator would write it for this world."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

METRICS = "127.0.0.1:9911"
TENANT = "lab"
NAME = "gw-lab"
POLICY = "users"


class Described(Protocol):
    """What the config says of a PoP."""

    name: str
    region: str
    device: str
    target: str
    target6: str


def config_text(
    pops: Iterable[Described],
    *,
    prefixes: Sequence[str],
    bypass_mark: int,
    broker: str,
    directory: Path,
    interval: str,
    tables: str,
) -> str:
    """TOML with one policy for all ``prefixes``, a path for each PoP, and everything else under ``directory``."""
    listed = ", ".join(f'"{prefix}"' for prefix in prefixes)
    text = f"""\
[gateway]
name = "{NAME}"
region = "lab"

[probe]
interval = "{interval}"

[route]
bypass_mark = "{bypass_mark:#010x}"

[mqtt]
url = "{broker}"
tenant = "{TENANT}"
publish_interval = "1s"

[export]
listen = "{METRICS}"

[control]
socket = "{directory}/control.sock"

[store]
path = "{directory}/store"

[[policy]]
name = "{POLICY}"
prefixes = [{listed}]
flows = "move"  # users talk without an end here: what a switch does would never be seen
"""
    for pop in pops:
        text += f"""
[[pop]]
name = "{pop.name}"
region = "{pop.region}"
paths = [{{ dev = "{pop.device}", target = "{pop.target}", target6 = "{pop.target6}" }}]
"""
    return text + ("\n" + tables if tables else "")
