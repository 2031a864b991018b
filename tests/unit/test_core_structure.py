"""The core as text: nobody writes another object's attributes, and no function is long."""

import ast
from collections.abc import Iterator
from itertools import chain

import pytest

from tests.unit.test_structure import STEERD, name

CORE = STEERD / "core"
FILES = sorted(CORE.rglob("*.py"))
TREES = {file: ast.parse(file.read_text()) for file in FILES}
FUNCTION_LINES_MAX = 50
RULES_LINES_MAX = 450
RULES_CONSTANTS_MAX = 15


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


@pytest.mark.parametrize("file", FILES, ids=name)
def test_nobody_writes_another_objects_attributes(file):
    assert list(foreign_writes(TREES[file])) == []


def test_foreign_writes_are_found():
    told = ["a.b = 1", "a.b += 1", "self.a.b = 1", "(a.b, c) = d", "for a.b in c: ...", "with a as b.c: ...", "del a.b"]
    assert all(list(foreign_writes(ast.parse(line))) for line in told)
    assert list(foreign_writes(ast.parse("setattr(a, 'b', 1)")))
    assert not list(foreign_writes(ast.parse("self.a = b.c\na[b.c] = 1\nself.a[0] = 2")))


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
