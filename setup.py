"""Compiles the modules that pyproject.toml lists in `tool.cellar` with mypyc, where there is a C compiler.

`python setup.py build_ext --inplace` puts them beside the sources of this checkout, `pip wheel .` also into the wheel.
Without mypy, a C compiler or the headers of Python, or with CELLAR_PURE=1, the wheel is one of pure Python.
"""

import os
import shutil
import sys
import tempfile
import time
import tomllib
from importlib.util import find_spec
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, PlatformError

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT / "service"))

# the path must be set first:
from cellar.extension_modules import BUILD, DIGEST, PACKAGE, PURE, SUFFIX, is_build_of, sources_digest  # noqa: E402

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
MODULES: list[str] = PROJECT["tool"]["cellar"]["compiled-modules"]
GENERATED = ROOT / "build" / "mypyc" / BUILD.name
"""C sources, and what mypy keeps to be faster the next time."""


class BuildExtensions(build_ext):  # type: ignore[misc]  # setuptools ships no types
    """Compiles the modules into a folder of their own, beside the digest of the sources."""

    def run(self) -> None:
        """Compile them beside the sources, unless they are there already, and copy them into a wheel."""
        if self.distribution.ext_modules:
            began_s = time.monotonic()
            digest = sources_digest(PACKAGE)
            if not is_build_of(BUILD, digest) or built_modules() != set(MODULES):
                build(digest)
            if not self._in_place:
                shutil.copytree(BUILD, self._packed, dirs_exist_ok=True)
            print(f"{len(MODULES)} modules are compiled ({time.monotonic() - began_s:.0f} s)")

    def get_outputs(self) -> list[str]:
        """Return the files for the wheel. An editable one refers to the folder of the package, which has them."""
        packed = self.distribution.ext_modules and not self._in_place
        return [str(self._packed / path.name) for path in BUILD.iterdir()] if packed else []

    def get_output_mapping(self) -> dict[str, str]:
        """Return no files, because no link has to be made to them."""
        return {}

    @property
    def _in_place(self) -> bool:
        return bool(self.editable_mode or self.inplace)

    @property
    def _packed(self) -> Path:
        return Path(self.build_lib) / PACKAGE.name / BUILD.relative_to(PACKAGE)


def built_modules() -> set[str]:
    """Return the modules of the build; their common library is none of them."""
    names = {path.name.removesuffix(SUFFIX) for path in BUILD.glob("*.so")}
    return {name for name in names if not name.endswith("__mypyc")}


def build(digest: str) -> None:
    """Compile the modules, and replace an earlier build. A process that has loaded that keeps its files."""
    BUILD.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD.parent) as folder:
        made = Path(folder, BUILD.name)
        made.mkdir()
        compile_extensions(generate(), made)
        if sources_digest(PACKAGE) != digest:
            sys.exit("a source was changed while it was compiled")
        (made / DIGEST).write_text(digest, "ascii")
        shutil.rmtree(BUILD, ignore_errors=True)
        made.rename(BUILD)


def generate() -> list[Extension]:
    """Return the extension modules with C sources that mypyc wrote. Its errors end the process."""
    from mypyc.build import mypycify  # it may not be installed

    sources = [f"service/{name.replace('.', '/')}.py" for name in MODULES]
    options = ["--config-file", "pyproject.toml", "--cache-dir", str(GENERATED / "cache")]
    return mypycify(
        [*options, *sources],
        separate=[(sources, PACKAGE.name)],  # one library; unlike False this keeps what mypy knows of other modules
        target_dir=str(GENERATED),
        opt_level="2",  # 3 takes twice as long to compile, and a step is not faster
        debug_level="0",
    )


def compile_extensions(extensions: list[Extension], made: Path) -> None:
    """Compile C sources to files that are named for their modules."""
    for extension in extensions:
        extension.extra_compile_args.append("-Wno-error")  # newer compilers have more warnings
    command = build_ext(Distribution({"ext_modules": extensions}))
    command.build_temp = str(GENERATED / "objects")
    with tempfile.TemporaryDirectory() as folder:
        command.build_lib = folder
        command.ensure_finalized()
        command.run()
        for extension in extensions:
            shutil.copy(command.get_ext_fullpath(extension.name), made / f"{extension.name}{SUFFIX}")


def obstacle() -> str | None:
    """Return why modules cannot be compiled here, None if they can."""
    if os.environ.get(PURE):
        return f"{PURE} is set"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "empty.c")
        source.write_text("#include <Python.h>\nPyMODINIT_FUNC PyInit_empty(void) { return NULL; }\n", "ascii")
        command = build_ext(Distribution({"ext_modules": [Extension("empty", [str(source)])]}))
        command.build_lib = command.build_temp = folder
        command.ensure_finalized()
        try:
            command.run()
        except (CCompilerError, PlatformError):
            return "there is no C compiler, or it does not find the headers of Python"
    return "mypy is not installed" if find_spec("mypyc") is None else None


def main() -> None:
    """Build what a frontend or the Makefile asks for."""
    found = obstacle()
    if found:
        print(f"pure Python: {found}")
    setup(
        cmdclass={"build_ext": BuildExtensions},
        ext_modules=[] if found else [Extension("cellar._extensions", [])],
    )


if __name__ == "__main__":
    main()
