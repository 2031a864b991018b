"""Write config/grafana/ anew."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.dashboards.fleet import fleet
from tools.dashboards.gateway import gateway

FOLDER: Final = Path(__file__).parents[2] / "config/grafana"


def made() -> Mapping[str, str]:
    """What belongs into each file."""
    pages = {"gateway.json": gateway(), "fleet.json": fleet()}
    return {name: json.dumps(page.build(), cls=JSONEncoder, indent=1) + "\n" for name, page in pages.items()}


def main() -> None:
    """Both files."""
    for name, text in made().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
