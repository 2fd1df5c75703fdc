"""The wheel installs into an environment that has its dependencies alone: neither the service nor Numba nor pandas."""

import re
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.clients.python.sessions.test_session import outputs

ROOT = Path(__file__).parents[3]

SCRIPT = """
import importlib.util, sys
import cellar_client
from cellar_client import Client
assert "site-packages" in cellar_client.__file__
for name in ("cellar", "numba", "pandas", "torch", "setuptools"):
    assert importlib.util.find_spec(name) is None, name
with Client(sys.argv[1]) as client, client.session(model="exact").stream() as stream:
    print([answer.output.tolist() for answer in stream.run([[1], [2]])])
"""


def requirements(name: str, found: set[str]) -> set[str]:
    """Add a distribution and those that it needs, without extras."""
    if name not in found:
        found.add(name)
        for line in distribution(name).requires or ():
            needed = re.match(r"[\w.-]+", line)
            if needed and ";" not in line:
                requirements(needed[0].lower(), found)
    return found


def link(name: str, folder: Path) -> None:
    """Install a distribution into a folder, as links to the files that are installed here."""
    for path in distribution(name).files or ():
        target = folder / path.parts[0]
        if path.parts[0] != ".." and not target.exists():
            target.symlink_to(Path(str(distribution(name).locate_file(path.parts[0]))))


@pytest.mark.timeout(300)
def test_it_installs_and_works(service_url: str, tmp_path: Path) -> None:
    built = shutil.ignore_patterns("build", "*.egg-info")
    shutil.copytree(ROOT / "clients" / "python", tmp_path / "source", ignore=built)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    options = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *options, "--wheel-dir", tmp_path, tmp_path / "source"], check=True)
    [wheel] = tmp_path.glob("cellar_client-*.whl")
    venv.create(tmp_path / "empty")
    python = tmp_path / "empty" / "bin" / "python"
    [packages] = (tmp_path / "empty").glob("lib/*/site-packages")
    for line in ("httpx", "numpy", "websockets"):
        for name in requirements(line, set()):
            link(name, packages)
    subprocess.run([*pip, "--python", python, "install", *options[:2], wheel], check=True)
    done = subprocess.run([python, "-I", "-c", SCRIPT, service_url], check=True, capture_output=True, text=True)
    assert done.stdout == f"{[[float(value)] for value in outputs(1, 2)]}\n"
