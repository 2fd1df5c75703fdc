"""The whole demo as a user runs it: trained, streamed, killed, compared; once to its end, once until Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.timeout(300)  # with no kernel compiled yet, beside other tests


@contextmanager
def demo(home: Path, kernel_directory: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `cellar demo` in a home of its own."""
    environment = os.environ | {
        "XDG_DATA_HOME": str(home),
        "CELLAR_CACHE_DIR": str(kernel_directory),
        "CELLAR_PORT": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-m", "cellar.cli", "demo", *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_once_it_beats_persistence_and_the_kill_leaves_no_trace(tmp_path: Path, kernel_directory: Path) -> None:
    with demo(tmp_path, kernel_directory, "--once") as process:
        told, _ = process.communicate(timeout=280)
    assert process.returncode == 0, told
    assert " info " not in told, "log lines between those for people"
    network, persistence = (float(found) for found in re.findall(r"(\d\.\d{4}) ppm$", told, re.MULTILINE))
    assert network < 0.8 * persistence
    assert "Killing the service (SIGKILL)" in told
    assert "all 416 outputs and the final state are equal, bit for bit" in told


def test_until_ctrl_c_the_service_goes_on(tmp_path: Path, kernel_directory: Path) -> None:
    with demo(tmp_path, kernel_directory) as process:
        assert process.stdout
        says = re.compile(r"The service keeps running at (\S+)")
        url = next(found[1] for line in process.stdout if (found := says.match(line)))
        assert httpx.get(f"{url}/v1/sessions").json()["sessions"]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz")


def test_interrupted_before_its_verdict_it_has_not_succeeded(tmp_path: Path, kernel_directory: Path) -> None:
    with demo(tmp_path, kernel_directory, "--once") as process:
        assert process.stdout
        assert any("Creating the model" in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 130
