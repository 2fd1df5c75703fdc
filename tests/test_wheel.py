"""The wheel has every file of the package, and compiled modules and the tag of its platform if they are built here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from cellar.extension_modules import BUILD, FORM, PACKAGE, PURE

ROOT = Path(__file__).parents[1]

FORMS = ["pure", "compiled"] if FORM == "compiled" else ["pure"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("form", FORMS)
def test_it_has_every_file(tmp_path: Path, form: str) -> None:
    """Without a compiler the wheel is that of CELLAR_PURE. Modules that are compiled here are not compiled again."""
    source = tmp_path / "source"
    for name in ("LICENSE", "README.md", "build_backend.py", "pyproject.toml", "setup.py"):
        source.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, source)
    shutil.copytree(PACKAGE, source / "service" / "cellar", ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", *options, str(source)]
    environment = os.environ | ({PURE: "1"} if form == "pure" else {})
    subprocess.run(command, check=True, env=environment)
    [wheel] = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl") == (form == "pure")
    packed = {name for name in ZipFile(wheel).namelist() if not name.startswith("cellar-")}
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    built = {path for path in files if BUILD.parent in path.parents}
    ours = {path for path in built if path.parent == BUILD and form == "compiled"}
    assert packed == {str(path.relative_to(PACKAGE.parent)) for path in files - built | ours}
