"""Write docs/schemas/ anew from the messages' records."""

import json
from pathlib import Path

from steerd.share.schemas import schemas

FOLDER = Path(__file__).parent.parent / "docs/schemas"


def main() -> None:
    """One file a message; what is of none goes."""
    FOLDER.mkdir(exist_ok=True)
    wanted = schemas()
    for file in FOLDER.glob("*.json"):
        if file.stem not in wanted:
            file.unlink()
    for name, schema in wanted.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    main()
