"""The whole as text: nothing imports in a circle, no file and no folder is too large, tests know public names alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
STEERD = ROOT / "steerd"
FILES = sorted(STEERD.rglob("*.py"))
FOLDERS = sorted({file.parent for file in FILES})
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LINES_MAX = 300
FILES_MAX = 16
NOT_PRIVATE = {"_replace", "_asdict", "_fields", "_make", "_exit"}
"""Of named tuples, and of `os`: public, whatever they are called."""


def name(file: Path) -> str:
    """``steerd.core.rules.panel``; of a package its own name."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, modules: set[str]) -> set[str]:
    """The modules of the package that this one imports, wherever the statement stands, and under whatever condition."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & modules
            found |= inner or {node.module}
    return found & modules


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Those that are left when whoever imports nothing that is left is taken away, again and again."""
    left = dict(graph)
    while ends := [one for one, others in left.items() if not others & left.keys()]:
        for one in ends:
            del left[one]
    return sorted(left)


def private_names(tree: ast.AST) -> Iterator[str]:
    """Names with an underscore that are asked of anything but ``self`` and ``cls``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
            continue
        if node.attr in NOT_PRIVATE or (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
            continue
        yield f"line {node.lineno}: {ast.unparse(node)}"


def test_no_module_imports_itself_by_way_of_others():
    """Nor for its types alone."""
    modules = {name(file) for file in FILES}
    assert circles({name(file): imported(ast.parse(file.read_text()), modules) for file in FILES}) == []


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
    tree = ast.parse("from a import b\nif TYPE_CHECKING:\n    from c.d import E\nimport f")
    assert imported(tree, {"a", "a.b", "c.d", "f"}) == {"a.b", "c.d", "f"}


def test_no_file_is_long():
    lines = {name(file): len(file.read_text().splitlines()) for file in FILES}
    assert {one: count for one, count in lines.items() if count > LINES_MAX} == {}


def test_no_folder_is_full():
    counts = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in FOLDERS}
    assert {folder: count for folder, count in counts.items() if count > FILES_MAX} == {}


def test_tests_know_public_names_alone():
    found = {name(file): list(private_names(ast.parse(file.read_text()))) for file in TESTS}
    assert {one: names for one, names in found.items() if names} == {}


def test_private_names_are_found():
    assert list(private_names(ast.parse("a._b = c\nself.d._e()"))) == ["line 1: a._b", "line 2: self.d._e"]
    assert not list(private_names(ast.parse("self._a = cls._b\nc._replace(d=1)\ne.__init__()")))
