"""The list of compiled modules holds only what mypyc compiles with the same results."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "service"
MODULES: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["cellar"]["compiled-modules"]


YIELDS = ast.Yield | ast.YieldFrom


def tree(module: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse((SERVICE / f"{module.replace('.', '/')}.py").read_text("utf-8"))


def imported(module: str) -> dict[str, str]:
    """Return the modules from which the names of a module come, by name."""
    found = [node for node in ast.walk(tree(module)) if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: node.module or "" for node in found for alias in node.names}


def test_the_list_is_sorted_and_each_is_there() -> None:
    assert sorted(set(MODULES)) == MODULES
    assert [name for name in MODULES if not (SERVICE / f"{name.replace('.', '/')}.py").exists()] == []


@pytest.mark.parametrize("module", MODULES)
def test_it_needs_nothing_that_is_not_compiled(module: str) -> None:
    """mypyc has no asynchronous generators, and releases an error twice that is raised again after an await.

    Addresses of objects are not safe, because a local variable is released after its last use, although a kernel still
    has the address of what it held.
    """
    risky = ast.Try | ast.With | ast.AsyncWith | ast.AsyncFor
    for function in [
        node for node in ast.walk(tree(module)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]:
        inside = [*ast.walk(function)]
        waits, yields = isinstance(function, ast.AsyncFunctionDef), any(isinstance(node, YIELDS) for node in inside)
        assert not (waits and yields), function.name
        assert not ((waits or yields) and any(isinstance(node, risky) for node in inside)), function.name
    names = {
        node.name.split(".")[0]
        for each in ast.walk(tree(module))
        if isinstance(each, ast.Import)
        for node in each.names
    }
    assert "ctypes" not in names | set(imported(module).values())
    attributes = {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    assert not attributes & {"ctypes", "__array_interface__"}


def test_who_inherits_from_a_compiled_class_is_compiled() -> None:
    """Python cannot inherit from a compiled class."""
    found = []
    for path in (SERVICE / "cellar").rglob("*.py"):
        module = ".".join(path.relative_to(SERVICE).with_suffix("").parts)
        if module not in MODULES:
            origin = imported(module)
            classes = [node for node in ast.walk(tree(module)) if isinstance(node, ast.ClassDef)]
            bases = [(module, each.name, base) for each in classes for base in each.bases]
            found += [each[:2] for each in bases if isinstance(each[2], ast.Name) and origin.get(each[2].id) in MODULES]
    assert found == []
