"""The schemas in docs/ are those of the records."""

import json
from pathlib import Path

from steerd.share.schemas import schemas

FOLDER = Path(__file__).parents[2] / "docs/schemas"


def test_the_docs_have_the_schemas_of_today():
    """`make schemas` writes them."""
    assert {file.stem: json.loads(file.read_text()) for file in FOLDER.glob("*.json")} == schemas()


def test_everything_is_bounded():
    """Each string, list, map and number of each message."""
    unbounded = []

    def look(one, where):
        if isinstance(one, list):
            for number, part in enumerate(one):
                look(part, f"{where}[{number}]")
        if not isinstance(one, dict):
            return
        kind = one.get("type")
        known = "const" in one or "enum" in one
        bound = {"string": "maxLength", "integer": "maximum", "number": "maximum", "array": "maxItems"}.get(kind)
        if bound and not known and bound not in one and "pattern" not in one:
            unbounded.append(where)
        if kind == "object" and "properties" not in one and "maxProperties" not in one:
            unbounded.append(where)
        for key, part in one.items():
            look(part, f"{where}.{key}")

    look(schemas(), "")
    assert not unbounded
