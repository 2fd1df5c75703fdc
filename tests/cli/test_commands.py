"""Commands that cannot do what they are asked say so in one line."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from cellar.cli.commands import CANNOT_START, main


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cellar.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    """Return the one line that a command gave up with."""
    assert done.returncode == CANNOT_START, done.stderr
    [line] = done.stderr.splitlines()
    return line


def test_openapi_into_a_folder_that_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "no" / "openapi.json"
    assert one_line(run("openapi", str(file))) == f"cellar: cannot write {file}: No such file or directory"


def test_openapi_into_a_folder(tmp_path: Path) -> None:
    assert one_line(run("openapi", "--streams", str(tmp_path))) == f"cellar: cannot write {tmp_path}: Is a directory"


def test_warming_for_a_processor_that_nobody_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLAR_CACHE_DIR", str(tmp_path / "kernels"))
    assert one_line(run("warm", "--target", "potato")).startswith(
        "cellar: --target potato: LLVM knows no such processor"
    )
    assert not (tmp_path / "kernels").exists()


def test_a_file_as_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CELLAR_DATA_DIR", str(tmp_path / "file"))
    monkeypatch.setenv("CELLAR_PORT", "0")
    assert one_line(run("serve")).startswith(f"cellar: {tmp_path}/file must be a directory, and is a file or a link")


@pytest.mark.parametrize("command", [["serve"], ["api", "{}"], ["worker"], ["warm"], ["openapi"]])
def test_a_free_threaded_python(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", {"Py_GIL_DISABLED": 1}.get)
    assert main(command) == CANNOT_START
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("cellar: Cellar does not run on a free-threaded build of Python")
    assert err.count("\n") == 1
