"""A running service, as the pages' reader has one."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cellar.demo.service import Service
from cellar.settings import Settings
from tests.docs import curl
from tests.docs.pages import ROOT, Example

NEXT = "\x01"
"""Printed between the outputs of two blocks."""


@pytest.fixture(scope="session")
def service_url(redis_url: str, kernel_directory: Path) -> Iterator[str]:
    """Yield the address of a real service with a worker, on keys of its own."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("CELLAR_REDIS_URL", redis_url)
            environment.setenv("CELLAR_KEY_PREFIX", f"test-{uuid.uuid4().hex}")
            environment.setenv("CELLAR_CACHE_DIR", str(kernel_directory))
            environment.setenv("CELLAR_PORT", "0")
            environment.setenv("PYTHONPATH", os.pathsep.join(sys.path))
            service = stack.enter_context(Service(Settings.load()))
        yield service.url


@pytest.fixture
def run_shell(service_url: str, tmp_path: Path) -> Callable[[list[Example]], list[str]]:
    """Return what runs blocks one after the other in one shell, and returns what each has printed.

    `make` only says what it would do: the demo and the suite are run elsewhere. URLs of the service lead to the one
    under test; `curl`, whose URLs have no scheme, finds it by itself.
    """
    stand_in = tmp_path / "curl"
    stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{curl.__file__}" "$@"\n')
    stand_in.chmod(0o700)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "CELLAR_URL": service_url, "MAKEFLAGS": "n"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)

    def run(examples: list[Example]) -> list[str]:
        script = "".join(f"{example.shell}\nprintf '\\001'\n" for example in examples)
        script = script.replace("ws://localhost:8080", service_url.replace("http", "ws", 1))
        script = script.replace("http://localhost:8080", service_url)
        script = script.replace("/tmp/", f"{tmp_path}/")  # files of an earlier run would change what is printed
        done = subprocess.run(
            ["sh", "-eu"],
            input=script,
            capture_output=True,
            text=True,
            env=environment,
            cwd=ROOT,
            check=False,
            timeout=250,
        )
        assert done.returncode == 0, f"block {done.stdout.count(NEXT) + 1} fails: {done.stdout}{done.stderr}"
        return done.stdout.split(NEXT)[:-1]

    return run
