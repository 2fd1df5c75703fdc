"""Commands that cannot do what they are asked say so in one line."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import typer

from cellar.cli import process_commands, processes
from cellar.cli.commands import CANNOT_START, MISTAKE, main
from cellar.cli.console import unknown_variables


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cellar.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    """Return the one line that a command gave up with."""
    assert done.returncode == CANNOT_START, done.stderr
    [line] = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serv"], "No such command 'serv'. Did you mean 'serve'?; try `cellar --help`"),
        (["serve", "--prot", "1"], "--port); try `cellar serve --help`"),
        (["serve", "--port", "abc"], "--port 'abc': Input should be a valid integer"),
        (["serve", "--port=70000"], "--port '70000': Input should be less than or equal to 65535"),
        (["serve", "--redis-url", "http://h"], "--redis-url: String should match pattern"),
        (["keys", "create", "--scopes", "write"], "are no scopes"),
        (["export", "m", "--url", "http://127.0.0.1:9"], "start it with `cellar serve`"),
        (["export", "m", "--url", "localhost:8080"], "is no URL of a service"),
    ],
)
def test_a_mistake_is_one_line_that_says_how_to_mend_it(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (MISTAKE, ""), done.stderr
    [line] = done.stderr.splitlines()
    assert said in line


def imported(*arguments: str) -> set[str]:
    """Return the packages that a command has imported when it ends."""
    program = (
        "import sys; from cellar.cli import main; main(sys.argv[1:]);"
        "print(*{each.split('.')[0] for each in sys.modules}, file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stderr.split())


def test_help_and_version_import_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heavy = {"httpx", "numba", "numpy", "pydantic", "redis"}
    assert not imported("--version") & (heavy | {"typer", "rich"})
    assert not imported("--help") & heavy
    monkeypatch.setenv("CELLAR_DATA_DIR", str(tmp_path / "file" / "data"))
    (tmp_path / "file").touch()
    assert not imported("serve", "--port", "0") & {"fastapi", "httpx", "numba", "numpy", "rich", "typer"}


def test_options_of_serve_that_typer_does_not_have_to_read() -> None:
    declared = typer.main.get_group(process_commands.app).commands["serve"].params
    assert list(processes.OPTIONS) == [param.opts[0] for param in declared if param.opts[0] != "--help"]


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CELLAR_PROT", "CELLAR_PURE", "CELLAR_API_KEY", "CELLAR_SERVICE_HOST", "CELLAR_PORT_8080_TCP"):
        monkeypatch.setenv(name, "1")
    assert [*unknown_variables()] == ["the environment variable CELLAR_PROT is no setting; did you mean 'CELLAR_PORT'?"]


def test_openapi_into_a_folder_that_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "no" / "openapi.json"
    assert one_line(run("openapi", str(file))) == f"cellar: cannot write {file}: No such file or directory"


def test_openapi_into_a_folder(tmp_path: Path) -> None:
    assert one_line(run("openapi", "--streams", str(tmp_path))) == f"cellar: cannot write {tmp_path}: Is a directory"


def test_warming_for_a_processor_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
