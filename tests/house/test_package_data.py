"""The wheel contains every file of the package: modules, Lua scripts, cells and pages."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from setuptools import find_namespace_packages

from cellar.extension_modules import BUILD, PACKAGE

ROOT = Path(__file__).parents[2]
SETUPTOOLS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
PATTERNS: list[str] = SETUPTOOLS["package-data"]["*"]


def packed(path: Path, packages: set[str]) -> bool:
    """Return whether a file lies in a package that setuptools finds, and is a module or package data."""
    package = ".".join(path.parent.relative_to(ROOT / "service").parts)
    return package in packages and (path.suffix == ".py" or any(fnmatch(path.name, each) for each in PATTERNS))


def test_every_file_is_packed() -> None:
    packages = set(find_namespace_packages(str(ROOT / "service")))
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    files = [path for path in files if BUILD.parent not in path.parents]  # setup.py adds them: tests/test_wheel.py
    assert [path for path in files if not packed(path, packages)] == []
    assert sum(path.suffix == ".lua" for path in files) >= 30


def test_extras_are_named_with_the_distribution() -> None:
    """`cellar` on PyPI is another package, and pip installs a package without an extra that it does not have."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [path for folder in (PACKAGE, ROOT / "docs") for path in folder.rglob("*") if path.suffix in (".py", ".md")]
    named = {each for path in texts for each in re.findall(r"\b(cellar[\w-]*)\[(\w+)\]", path.read_text())}
    assert {name for name, _ in named} == {project["name"]}
    assert {extra for _, extra in named} <= set(project["optional-dependencies"])
