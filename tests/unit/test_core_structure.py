"""The core as text: nobody writes another object's attributes, nothing imports in a circle, nothing is too long."""

import ast
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "steerd" / "core"
FILES = sorted(CORE.rglob("*.py"))
TREES = {file: ast.parse(file.read_text()) for file in FILES}
LINES_MAX = 300
FUNCTION_LINES_MAX = 50
RULES_LINES_MAX = 450
RULES_CONSTANTS_MAX = 15


def name(file: Path) -> str:
    """``steerd.core.rules.panel``; of a package its own name."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def foreign_writes(tree: ast.AST) -> Iterator[str]:
    """Attributes that are stored or deleted on anything but ``self``, also by `setattr` and the like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Name) and node.id in ("setattr", "delattr", "vars"):
            yield f"line {node.lineno}: {node.id}"
        elif isinstance(node, ast.Attribute) and node.attr in ("__setattr__", "__delattr__", "__dict__"):
            yield f"line {node.lineno}: {node.attr}"


def imported(tree: ast.AST, modules: set[str]) -> set[str]:
    """The core's modules that this one imports, wherever the statement stands, and under whatever condition."""
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


@pytest.mark.parametrize("file", FILES, ids=name)
def test_nobody_writes_another_objects_attributes(file):
    assert list(foreign_writes(TREES[file])) == []


def test_foreign_writes_are_found():
    told = ["a.b = 1", "a.b += 1", "self.a.b = 1", "(a.b, c) = d", "for a.b in c: ...", "with a as b.c: ...", "del a.b"]
    assert all(list(foreign_writes(ast.parse(line))) for line in told)
    assert list(foreign_writes(ast.parse("setattr(a, 'b', 1)")))
    assert not list(foreign_writes(ast.parse("self.a = b.c\na[b.c] = 1\nself.a[0] = 2")))


def test_no_module_imports_itself_by_way_of_others():
    """Nor for its types alone."""
    modules = {name(file) for file in FILES}
    assert circles({name(file): imported(tree, modules) for file, tree in TREES.items()}) == []


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
    tree = ast.parse("from a import b\nif TYPE_CHECKING:\n    from c.d import E\nimport f")
    assert imported(tree, {"a", "a.b", "c.d", "f"}) == {"a.b", "c.d", "f"}


@pytest.mark.parametrize("file", FILES, ids=name)
def test_no_file_is_long(file):
    assert len(file.read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("file", FILES, ids=name)
def test_no_function_is_long(file):
    functions = [node for node in ast.walk(TREES[file]) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {one.name: (one.end_lineno or 0) - one.lineno + 1 for one in functions}
    assert {one: lines for one, lines in long.items() if lines > FUNCTION_LINES_MAX} == {}


def constants(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and "Final" in ast.unparse(node.annotation):
            yield ast.unparse(node.target)
        elif isinstance(node, ast.Assign):
            names = chain.from_iterable(ast.walk(target) for target in node.targets)
            yield from (one.id for one in names if isinstance(one, ast.Name) and one.id.isupper())


def test_the_rules_are_small_and_have_few_constants():
    files = [file for file in FILES if file.is_relative_to(CORE / "rules")]
    assert files
    assert sum(len(file.read_text().splitlines()) for file in files) <= RULES_LINES_MAX
    assert len([one for file in files for one in constants(TREES[file])]) <= RULES_CONSTANTS_MAX
