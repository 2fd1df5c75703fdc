"""The wheel has every file of the package, and compiled modules and the tag of its platform if they are built here.

Installed into an environment with nothing but what it requires, it answers the first requests of the README.
`make wheel` and `python -m tests.clean_install` do the same with packages from PyPI.
"""

import email
import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from cellar.extension_modules import BUILD, FORM, PACKAGE, PURE
from tests.clean_install import check_first_requests

ROOT = Path(__file__).parents[1]

FORMS = ["pure", "compiled"] if FORM == "compiled" else ["pure"]


def build_wheel(folder: Path, form: str) -> Path:
    """Build the wheel from a copy of the sources. Modules that are compiled here are not compiled again."""
    source = folder / "source"
    source.mkdir()
    for name in ("LICENSE", "README.md", "build_backend.py", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(PACKAGE, source / "service" / "cellar", ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", *options, str(source)]
    environment = os.environ | ({PURE: "1"} if form == "pure" else {})
    subprocess.run(command, check=True, env=environment)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module", params=FORMS)
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of each form that can be built here."""
    return build_wheel(tmp_path_factory.mktemp("wheel"), request.param)


@pytest.mark.timeout(300)
def test_it_has_every_file(wheel: Path) -> None:
    """Without a compiler the wheel is that of CELLAR_PURE."""
    pure = wheel.name.endswith("-py3-none-any.whl")
    assert wheel.name.startswith("cellar_serve-")
    packed = {name for name in ZipFile(wheel).namelist() if not name.startswith("cellar_serve-")}
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    built = {path for path in files if BUILD.parent in path.parents}
    ours = {path for path in built if path.parent == BUILD and not pure}
    assert packed == {str(path.relative_to(PACKAGE.parent)) for path in files - built | ours}


def link(requirement: str, folder: Path) -> None:
    """Install what a requirement names, and what that requires, as links to the files that are installed here."""
    needed = Requirement(requirement)
    if needed.marker and not needed.marker.evaluate({"extra": ""}):
        return
    found = distribution(needed.name)
    assert found.version in needed.specifier, f"{requirement} is required, {found.version} is installed"
    paths = {path.parts[0] for path in found.files or ()} - {".."}
    if any((folder / name).exists() for name in paths):
        return
    for name in paths:
        (folder / name).symlink_to(Path(str(found.locate_file(name))))
    for line in found.requires or ():
        link(line, folder)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("wheel", FORMS[-1:], indirect=True)
def test_it_runs_in_an_environment_of_its_own(wheel: Path, tmp_path: Path, kernel_directory: Path) -> None:
    """Everything that it requires is in its metadata, a Redis too; the first requests are those of the README."""
    venv.create(tmp_path / "clean")
    [packages] = (tmp_path / "clean").glob("lib/*/site-packages")
    packed = ZipFile(wheel)
    metadata = packed.read(next(name for name in packed.namelist() if name.endswith(".dist-info/METADATA")))
    for line in email.message_from_bytes(metadata).get_all("Requires-Dist", ()):
        link(line, packages)
    python = tmp_path / "clean" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    name, version, *_ = wheel.name.split("-")
    assert {path.name for path in packages.glob("cellar*")} == {"cellar", f"{name}-{version}.dist-info"}
    own = {"CELLAR_CACHE_DIR": str(kernel_directory), "CELLAR_PROCESSES": "1", "CELLAR_WORKER": "false"}
    check_first_requests(python.with_name("cellar"), tmp_path, **own)
