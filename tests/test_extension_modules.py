"""A build is loaded if it is one of exactly the sources that are there, and never in part."""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from cellar.extension_modules import BUILD, DIGEST, FORM, PACKAGE, PURE, SUFFIX, load_build, sources_digest

ROOT = Path(__file__).parents[1]

SHOW = "import cellar.extension_modules as e, cellar.wire.frames.layout as l; print(e.FORM, l.__file__)"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a small package with a build of its sources."""
    package = tmp_path / "package"
    (package / "part").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "part" / "one.py").write_text("ONE = 1\n")
    (package / "build").mkdir()
    (package / "build" / DIGEST).write_text(sources_digest(package))
    return package


def form(package: Path) -> str:
    """Return what of the package is loaded; the finder is not kept."""
    before = sys.meta_path[:]
    try:
        return load_build(package / "build", package)
    finally:
        sys.meta_path[:] = before


def test_a_build_of_the_sources_is_loaded(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PURE, raising=False)
    assert form(package) == "compiled"
    monkeypatch.setenv(PURE, "1")
    assert form(package) == "pure"


def changed(package: Path) -> None:
    (package / "part" / "one.py").write_text("ONE = 2\n")


def renamed(package: Path) -> None:
    (package / "part" / "one.py").rename(package / "part" / "two.py")


def added(package: Path) -> None:
    (package / "two.py").touch()


def removed(package: Path) -> None:
    (package / "part" / "one.py").unlink()


def without_digest(package: Path) -> None:
    (package / "build" / DIGEST).unlink()


@pytest.mark.parametrize("change", [changed, renamed, added, removed, without_digest], ids=lambda each: each.__name__)
def test_a_build_of_other_sources_is_not(
    package: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    monkeypatch.delenv(PURE, raising=False)
    change(package)
    assert form(package) == "pure"


def shown(service: Path, **environment: str) -> list[str]:
    """Return the form that a new process loads, and the file of a module that may be compiled."""
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {[str(service), *sys.path]}; {SHOW}"]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.split()


@pytest.mark.skipif(not BUILD.exists(), reason="nothing is compiled here")
def test_processes_load_it_until_a_source_is_changed(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "cellar")
    copy = tmp_path / "cellar" / BUILD.relative_to(PACKAGE)
    (copy / DIGEST).write_text(sources_digest(tmp_path / "cellar"))
    assert shown(tmp_path) == ["compiled", str(next(copy.glob("cellar.wire.frames.layout.*")))]
    assert shown(tmp_path, **{PURE: "1"}) == ["pure", str(tmp_path / "cellar/wire/frames/layout.py")]
    with (tmp_path / "cellar" / "memory" / "__init__.py").open("a") as file:
        file.write("# of no module that is compiled\n")
    assert shown(tmp_path)[0] == "pure"


@pytest.mark.skipif(FORM == "pure", reason="nothing that is compiled is loaded here")
def test_the_build_has_the_modules_of_the_list() -> None:
    """A build is made again when the list is changed, although no source is."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cellar"]["compiled-modules"]
    built = {path.name.removesuffix(SUFFIX) for path in BUILD.glob("*.so")}
    assert {name for name in built if not name.endswith("__mypyc")} == set(listed)


def test_this_process_says_what_it_has_loaded() -> None:
    loaded = {Path(str(module.__file__)).suffix for name, module in sys.modules.items() if name == "cellar.ports.names"}
    assert loaded <= ({".so"} if FORM == "compiled" else {".py"})
