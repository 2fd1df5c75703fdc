"""The build backend: that of setuptools, which runs setup.py, with more packages in an isolated build."""

import os
import tomllib
from pathlib import Path
from typing import Any

from setuptools.build_meta import *  # noqa: F403  # all hooks of the backend


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:  # noqa: ARG001  # as setuptools has it
    """Return what compiling needs: mypy, and all that the modules import, for its types. Pure Python needs nothing."""
    if os.environ.get("CELLAR_PURE"):
        return []
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    return ["mypy>=2.4", *project["dependencies"]]


get_requires_for_build_editable = get_requires_for_build_wheel
