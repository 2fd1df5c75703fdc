"""The container image stays small: a dependency that adds much is noticed here, without a build."""

import re
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]

MOST_MB = 310
"""Most megabytes of the packages of the image, without bytecode and before symbols are stripped. They have 298,
179 of them LLVM, of an image that is to stay below 500."""

REMOVED = re.compile(r"(.*/)?(tests|__pycache__)/|numpy/(distutils|f2py)/|.*/bin/redis-(?!server)")
"""Files that the Dockerfile removes, and bytecode, which not every installation has."""

NOT_INSTALLED = {"setuptools"}


def test_the_packages_leave_the_image_below_500_mb() -> None:
    pinned = re.findall(r"^([\w.-]+)(?:\[.*\])?==", (ROOT / "requirements/service.txt").read_text(), re.M)
    sizes: dict[str, float] = {}
    for name in set(pinned) - NOT_INSTALLED:
        files = [file for file in distribution(name).files or () if not REMOVED.match(file.as_posix())]
        paths = [file.locate() for file in files]
        sizes[name] = sum(path.stat().st_size for path in paths if path.exists()) / 1e6  # type: ignore[attr-defined]  # typeshed has a protocol without it
    assert sum(sizes.values()) < MOST_MB, sorted(sizes.items(), key=lambda item: -item[1])[:8]
