"""Loads the modules of the package that were compiled by mypyc, if the build is one of exactly these sources.

A build is a folder of extension modules for one interpreter, beside the digest of all sources of the package: compiled
code has types and constants of other modules inside, so that a change of any source makes it a build of another
package. Such a build is not loaded, and neither is any if the environment variable CELLAR_PURE is set: Python then
loads the sources, with the same results. What traces functions needs that form.
"""

import os
import sys
from collections.abc import Mapping
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Literal

PURE = "CELLAR_PURE"
"""The environment variable that has the sources loaded."""

PACKAGE = Path(__file__).parent

SUFFIX = EXTENSION_SUFFIXES[0]
"""How the names of files end that this interpreter alone loads."""

BUILD = PACKAGE / "_extensions" / SUFFIX.split(".")[1]
"""The build for this interpreter: `_extensions/cpython-311-x86_64-linux-gnu`."""

DIGEST = "sources.sha256"
"""The file of a build with the digest of its sources."""


class ExtensionFinder(MetaPathFinder):
    """Finds the modules of a build, before Python finds their sources."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Return how a module of the build is loaded, None for any other."""
        file = self._files.get(fullname)
        if file is None:
            return None
        return spec_from_file_location(fullname, file, loader=ExtensionFileLoader(fullname, str(file)))


def sources_digest(package: Path) -> str:
    """Return the SHA-256 of the names and contents of all Python files of a package, in hexadecimal."""
    digest = sha256()
    for name in sorted(f"{folder}/{file}" for folder, _, files in os.walk(package) for file in files):
        if name.endswith(".py"):
            text = Path(name).read_bytes()
            digest.update(b"%s %d\n" % (name.removeprefix(str(package)).encode(), len(text)))
            digest.update(text)
    return digest.hexdigest()


def is_build_of(build: Path, digest: str) -> bool:
    """Return whether a folder is a build of the sources with this digest."""
    file = build / DIGEST
    return file.exists() and file.read_text("ascii") == digest


def load_build(build: Path, package: Path) -> Literal["compiled", "pure"]:
    """Have the modules of a build loaded from now on, if it is one of these sources; return which form is loaded."""
    if os.environ.get(PURE) or not build.exists() or not is_build_of(build, sources_digest(package)):
        return "pure"
    sys.meta_path.insert(0, ExtensionFinder({file.name.removesuffix(SUFFIX): file for file in build.glob("*.so")}))
    return "compiled"


FORM = load_build(BUILD, PACKAGE)
"""Whether the hot modules of this process are compiled."""
