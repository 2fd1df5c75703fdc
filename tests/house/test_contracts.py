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


def layers(container: str) -> set[str]:
    """Return the names in the layers of a container."""
    (contract,) = (c for c in CONTRACTS if c.get("containers") == [container])
    assert contract["exhaustive"]
    return {name for layer in contract["layers"] for name in re.split(r"\s*[|:]\s*", layer)}


def test_every_room_stands_on_a_floor() -> None:
    assert layers("cellar") == modules(PACKAGE)


def test_every_part_of_the_engine_stands_in_the_pipeline() -> None:
    assert layers("cellar.engine") == modules(PACKAGE / "engine")


@pytest.mark.parametrize("library", MAY_IMPORT)
def test_a_library_is_forbidden_to_every_other_room(library: str) -> None:
    (contract,) = (c for c in CONTRACTS if library in c.get("forbidden_modules", ()))
    forbidden = {name.removeprefix("cellar.") for name in contract["source_modules"]}
    assert forbidden == modules(PACKAGE) - MAY_IMPORT[library]


def test_every_package_has_a_first_line_that_says_what_it_is() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert path.read_text().startswith('"""'), path


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("nn/chain.py", "import cellar.store.keys"),
        ("runtime/lane.py", "import cellar.store.keys"),
        ("engine/graph.py", "import cellar.engine.parse"),
        ("api/app.py", "import redis"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, file: str, line: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "cellar", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "cellar" / file).open("a") as module:
        module.write(f"\n{line}\n")
    lint = "from importlinter.cli import lint_imports_command as run; run()"
    linted = subprocess.run(
        [sys.executable, "-c", lint, "--no-cache", "--config", str(ROOT / "pyproject.toml")],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert linted.returncode == 1, linted.stdout + linted.stderr
    assert "1 broken" in linted.stdout
