"""Kernels on disk: shared by processes, checked when read, refused where others may write."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

import cellar.engine
from cellar.engine import KernelCache
from cellar.engine.backend.kernel_cache import engine_digest
from cellar.engine.target import host_target, target_here
from cellar.errors import CompileFailed

TEXT = """
from numba import cfunc, types


@cfunc(types.int64(types.int64), nopython=True)
def cellar_kernel(d):
    return d + {number}
"""
ADD_ONE, ADD_TWO = TEXT.format(number=1), TEXT.format(number=2)

CHILD = """
import json, os, resource, sys
from dataclasses import replace
from pathlib import Path
from cellar.engine import KernelCache
if sys.argv[2] == "forbid compiling":
    sys.executable = "/bin/false"  # the compiler's process would fail
if sys.argv[2] == "die writing":
    Path.rename = lambda *_: os.kill(os.getpid(), 9)
if sys.argv[2] == "disk full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
print([function(40) for function in KernelCache(Path(sys.argv[1])).load(json.load(sys.stdin))])
assert "numba" not in sys.modules
"""

How = Literal["undisturbed", "forbid compiling", "die writing", "disk full"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory that only its owner may write to."""
    made = tmp_path / "kernels"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files that a cache makes of two kernels, by name, compiled once."""
    made = tmp_path_factory.mktemp("compiled") / "kernels"
    one, two = KernelCache(made).load([ADD_ONE, ADD_TWO])
    assert (one(41), two(41)) == (42, 43)
    assert made.stat().st_mode & 0o777 == 0o700
    return {path.name: path.read_bytes() for path in made.iterdir()}


def child(directory: Path, how: How, texts: list[str]) -> subprocess.CompletedProcess[str]:
    """Return a process that loaded kernels, and printed what they make of 40."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-c", CHILD, str(directory), how]
    said = json.dumps(texts)
    return subprocess.run(
        arguments, env=environment, input=said, capture_output=True, text=True, timeout=60, check=False
    )


def another_cpu() -> str:
    """Return a processor that is not the one for which kernels are compiled here."""
    return next(name for name in ("x86-64-v4", "x86-64-v3") if name != host_target().cpu)


def forbid_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every compiler process fail from here on."""
    monkeypatch.setattr(sys, "executable", "/bin/false")


def fill(directory: Path, code: dict[str, bytes]) -> None:
    """Write the files of kernels."""
    for name, data in code.items():
        (directory / name).write_bytes(data)


def test_files_are_named_by_all_they_depend_on(code: dict[str, bytes]) -> None:
    cache = KernelCache(None)
    assert code.keys() == {f"{cache.key(ADD_ONE)}.o", f"{cache.key(ADD_TWO)}.o"}
    cpu = another_cpu()
    others = [KernelCache(None, target=target_here(cpu)), KernelCache(None, target=target_here(cpu, "+avx2"))]
    assert len({c.key(ADD_ONE) for c in (cache, *others)}) == 3


def test_no_target_takes_the_files_of_another_architecture(directory: Path, code: dict[str, bytes]) -> None:
    fill(directory, code)
    here = KernelCache(directory)
    other = KernelCache(directory, target=replace(here.target, architecture="riscv64"))
    assert other.key(ADD_ONE) != here.key(ADD_ONE)
    with pytest.raises(CompileFailed, match="for riscv64 cannot be compiled on"):
        other.load([ADD_ONE])
    with pytest.raises(CompileFailed, match="for riscv64 cannot be compiled on"):
        other.warm([ADD_ONE])


@pytest.mark.parametrize(("place", "value"), [("sys.platform", "plan9"), ("sys.byteorder", "middle")])
def test_no_machine_takes_the_files_of_another_kind_of_machine(
    directory: Path, code: dict[str, bytes], place: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(directory, code)
    target = host_target()
    cache = KernelCache(directory, target=target)
    key = cache.key(ADD_ONE)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(f"cellar.engine.backend.kernel_cache.{place}", value)
        assert cache.key(ADD_ONE) != key
        forbid_compiling(elsewhere)
        with pytest.raises(CompileFailed):
            KernelCache(directory, target=target).load([ADD_ONE])
    assert cache.key(ADD_ONE) == key


def test_the_digest_of_the_engine_covers_its_packages(tmp_path: Path) -> None:
    engine = Path(cellar.engine.__file__).parent
    folder = tmp_path / "engine"
    shutil.copytree(engine, folder, ignore=shutil.ignore_patterns("__pycache__"))
    found = [engine_digest(engine), engine_digest(folder)]
    assert found[0] == found[1]
    (folder / "another").mkdir()
    for text in ("", "x = 1", "x = 2"):
        (folder / "another" / "__init__.py").write_text(text)
        found.append(engine_digest(folder))
    (folder / "another").rename(folder / "steps")
    found.append(engine_digest(folder))
    (folder / "steps" / "notes.txt").write_text("no code")
    assert engine_digest(folder) == found[-1]
    assert len(set(found)) == 5


def test_a_second_cache_compiles_nothing(
    directory: Path, code: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(directory, code)
    forbid_compiling(monkeypatch)
    cache = KernelCache(directory)
    one, two = cache.load([ADD_ONE, ADD_TWO])
    assert (one(1), two(1)) == (2, 3)
    assert cache.load([ADD_ONE]) == [one]
    assert cache.warm([ADD_ONE, ADD_TWO]) == 0
    with pytest.raises(CompileFailed):
        cache.load([TEXT.format(number=3)])


def test_a_second_process_compiles_nothing(directory: Path, code: dict[str, bytes]) -> None:
    fill(directory, code)
    done = child(directory, "forbid compiling", [ADD_ONE])
    assert done.stdout == "[41]\n", done.stderr


def test_kernels_compiled_with_the_installation(
    directory: Path, code: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(directory, code)
    directory.chmod(0o555)
    forbid_compiling(monkeypatch)
    cache = KernelCache(tmp_path / "own", beforehand=directory)
    (function,) = cache.load([ADD_ONE])
    assert function(41) == 42
    assert list((tmp_path / "own").iterdir()) == []
    with pytest.raises(CompileFailed, match="cannot be read"):
        KernelCache(None, beforehand=tmp_path / "missing")
    directory.chmod(0o775)
    with pytest.raises(CompileFailed, match="may be written by others"):
        KernelCache(None, beforehand=directory)


def test_a_kernel_in_memory_needs_no_file(code: dict[str, bytes], directory: Path) -> None:
    fill(directory, code)
    cache = KernelCache(directory)
    (one,) = cache.load([ADD_ONE])
    for path in directory.iterdir():
        path.unlink()
    assert cache.load([ADD_ONE]) == [one]


@pytest.mark.parametrize("damage", [b"", b"short", None], ids=["empty", "short", "one bit"])
def test_a_damaged_file_is_compiled_again(directory: Path, code: dict[str, bytes], damage: bytes | None) -> None:
    name, data = f"{KernelCache(None).key(ADD_ONE)}.o", code[f"{KernelCache(None).key(ADD_ONE)}.o"]
    flipped = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    (directory / name).write_bytes(flipped if damage is None else damage)
    (function,) = KernelCache(directory).load([ADD_ONE])
    assert function(41) == 42
    assert (directory / name).read_bytes() == data


def test_processes_that_compile_at_once_and_one_that_is_killed(directory: Path, code: dict[str, bytes]) -> None:
    doing: list[tuple[How, list[str]]] = [
        ("undisturbed", [ADD_ONE, ADD_TWO]),
        ("undisturbed", [ADD_TWO]),
        ("die writing", [ADD_ONE]),
    ]
    with ThreadPoolExecutor(len(doing)) as threads:
        done = list(threads.map(lambda args: child(directory, *args), doing))
    assert [process.returncode for process in done] == [0, 0, -signal.SIGKILL], done
    assert [process.stdout for process in done] == ["[41, 42]\n", "[42]\n", ""]
    (left,) = directory.glob("*.part")
    assert left.read_bytes() == code[f"{KernelCache(None).key(ADD_ONE)}.o"]
    KernelCache(directory)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == code


def test_a_file_that_somebody_writes_stays(directory: Path) -> None:
    with (directory / "new.part").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        KernelCache(directory)
        assert (directory / "new.part").exists()


def test_a_full_disk_costs_the_next_process_its_compilation(directory: Path) -> None:
    done = child(directory, "disk full", [ADD_ONE])
    assert done.stdout == "[41]\n", done.stderr
    assert list(directory.iterdir()) == []


def test_threads_wait_for_the_one_that_compiles(directory: Path) -> None:
    cache = KernelCache(directory)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: cache.load([ADD_ONE]), range(4)))
    assert all(functions == found[0] for functions in found)


def test_a_directory_that_cannot_be_written(code: dict[str, bytes]) -> None:
    """No user may make files in this one, root included."""
    (function,) = KernelCache(Path("/proc/self/fdinfo")).load([ADD_ONE])
    assert function(41) == 42


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_may_write_to_is_refused(directory: Path, mode: int) -> None:
    directory.chmod(mode)
    with pytest.raises(CompileFailed, match="may be written by others, and its files are code"):
        KernelCache(directory)


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CompileFailed, match="cannot be made"):
        KernelCache(tmp_path / "file" / "kernels")


def test_kernels_of_the_installation_are_used_and_new_ones_kept_apart(
    directory: Path, tmp_path: Path, code: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    beforehand = tmp_path / "installed"
    beforehand.mkdir(mode=0o500)
    forbid_compiling(monkeypatch)
    own = KernelCache(directory, beforehand=beforehand)
    with pytest.raises(CompileFailed):
        own.load([ADD_ONE])
    beforehand.chmod(0o700)
    fill(beforehand, code)
    (one,) = own.load([ADD_ONE])
    assert one(41) == 42
    assert not list(directory.iterdir())


def test_warming_compiles_what_is_missing_for_any_processor(directory: Path, code: dict[str, bytes]) -> None:
    cache = KernelCache(directory)
    fill(directory, dict(list(code.items())[:1]))
    assert cache.warm([ADD_ONE, ADD_TWO]) == 1
    assert cache.warm([ADD_ONE, ADD_TWO]) == 0
    other = KernelCache(directory, target=target_here(another_cpu()))
    assert other.warm([ADD_ONE]) == 1
    assert len(list(directory.iterdir())) == 3


def test_a_missing_installation_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CompileFailed, match="cannot be read"):
        KernelCache(None, beforehand=tmp_path / "nothing")


def test_a_kernel_that_fails_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = KernelCache(None)
    with pytest.raises(CompileFailed, match="SyntaxError"):
        cache.load([ADD_ONE, "def cellar_kernel(d: return 0", ADD_TWO])
    forbid_compiling(monkeypatch)
    one, two = cache.load([ADD_ONE, ADD_TWO])
    assert (one(41), two(41)) == (42, 43)


def test_no_module_of_the_working_directory_is_run(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('foreign')")
    program = "import sys; from cellar.engine import KernelCache; KernelCache(None).load([sys.stdin.read()])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run(
        [sys.executable, "-P", "-c", program], input=ADD_ONE, text=True, cwd=tmp_path, env=environment, check=True
    )


def test_a_directory_keeps_what_was_used_last(
    directory: Path, code: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(directory, code)
    kept_key, old_key = KernelCache(directory).key(ADD_ONE), KernelCache(directory).key(ADD_TWO)
    for key in (kept_key, old_key):
        os.utime(directory / f"{key}.o", (1, 1))
    KernelCache(directory).load([ADD_ONE])  # used now
    size = (directory / f"{kept_key}.o").stat().st_size
    monkeypatch.setattr("cellar.engine.backend.kernel_cache.KEPT_FILE_BYTES", 2 * size + size // 2)
    KernelCache(directory).load([ADD_ONE.replace("+ 1", "+ 3")])
    assert (directory / f"{kept_key}.o").exists()
    assert not (directory / f"{old_key}.o").exists()
