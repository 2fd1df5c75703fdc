"""The import contracts leave nothing out, and can fail."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "service" / "cellar"
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]

MAY_IMPORT = {
    "numba": {"engine"},
    "redis": {"store", "embedded", "jobs", "assembly"},
    "fastapi": {"api", "assembly", "main", "server"},
}
"""The rooms that may import a library themselves."""


def modules(folder: Path) -> set[str]:
    """Return the names of the modules and packages in a folder."""
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    return files | {path.parent.name for path in folder.glob("*/__init__.py")}


KINDS = {
    module.removesuffix(".*"): contract["name"]
    for contract in CONTRACTS
    if contract["type"] == "independence"
    for module in contract["modules"]
    if module.endswith(".*")
}
"""Packages whose modules, whichever there are, do not import each other, with the names of their contracts."""

PACKAGES = sorted(
    {
        ".".join(path.parent.relative_to(PACKAGE.parent).parts)
        for path in PACKAGE.rglob("__init__.py")
        if len(modules(path.parent)) > 1
    }
    - KINDS.keys()
)
"""Every package that has an order of its own to keep."""


def layers(container: str) -> list[list[str]]:
    """Return the layers of a container, the highest first, each with its modules."""
    (contract,) = (c for c in CONTRACTS if c.get("containers") == [container])
    assert contract["exhaustive"]
    return [re.split(r"\s*[|:]\s*", layer) for layer in contract["layers"]]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_layers_of_a_package_hold_all_of_it(package: str) -> None:
    folder = PACKAGE.parent / package.replace(".", "/")
    assert {name for layer in layers(package) for name in layer} == modules(folder)


@pytest.mark.parametrize("library", MAY_IMPORT)
def test_a_library_is_forbidden_to_every_other_room(library: str) -> None:
    (contract,) = (c for c in CONTRACTS if library in c.get("forbidden_modules", ()))
    forbidden = {name.removeprefix("cellar.") for name in contract["source_modules"]}
    assert forbidden == modules(PACKAGE) - MAY_IMPORT[library]


def test_every_package_has_a_first_line_that_says_what_it_is() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert path.read_text().startswith('"""'), path


def linted(package: Path) -> str:
    """Return what the linter says of a package."""
    lint = "from importlinter.cli import lint_imports_command as run; run()"
    found = subprocess.run(
        [sys.executable, "-c", lint, "--no-cache", "--config", str(ROOT / "pyproject.toml")],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(package.parent)},
    )
    return found.stdout + found.stderr


def module_of(package: Path, dotted: str) -> Path:
    """Return the file of a module, or one of a package's."""
    path = package.parent / dotted.replace(".", "/")
    return path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"


def test_an_import_of_a_higher_layer_is_found_at_every_level(tmp_path: Path) -> None:
    """In each package the lowest layer imports the highest, all at once: each contract must be broken."""
    package = tmp_path / "cellar"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    ordered = {name: found for name in PACKAGES if len(found := layers(name)) > 1}
    for name, found in ordered.items():
        low, high = found[-1][0], found[0][0]
        with module_of(package, f"{name}.{low}").open("a") as module:
            module.write(f"\nimport {name}.{high}\n")
    for name in KINDS:
        one, other = sorted(modules(PACKAGE.parent / name.replace(".", "/")))[:2]
        with module_of(package, f"{name}.{one}").open("a") as module:
            module.write(f"\nimport {name}.{other}\n")
    said = linted(package)
    assert [name for name, contract in KINDS.items() if f"{contract} BROKEN" not in said] == []
    names = {c["containers"][0]: c["name"] for c in CONTRACTS if c["type"] == "layers"}
    assert [name for name in ordered if f"{names[name]} BROKEN" not in said] == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("nn/model/network.py", "import cellar.store.keys"),
        ("sessions/scheduling/session_queues.py", "import cellar.store.keys"),
        ("engine/ir/graph.py", "import cellar.engine.frontend.parser"),
        ("api/app.py", "import redis"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, file: str, line: str) -> None:
    package = tmp_path / "cellar"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    with (package / file).open("a") as module:
        module.write(f"\n{line}\n")
    assert " BROKEN" in linted(package)
