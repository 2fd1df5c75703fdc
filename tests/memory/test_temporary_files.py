"""Temporary files: in the directory of the service, without a name, deleted if a killed process left one."""

import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from cellar.errors import StoreUnavailable
from cellar.memory import temporary_files
from cellar.memory.temporary_files import PREFIX, SMALL_BYTES, TemporaryFiles


def device(file: Any) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_nlink


def without_nameless_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "O_TMPFILE", 0, raising=False)


@pytest.mark.parametrize("nameless", [True, False])
def test_files_have_no_name(tmp_path: Path, nameless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not nameless:
        without_nameless_files(monkeypatch)
    files = TemporaryFiles(tmp_path / "data" / "tmp")
    assert not (tmp_path / "data").exists()  # it is made when it is needed
    with files.open() as file:
        file.write(b"abc")
        file.flush()
        assert device(file) == (files.directory.stat().st_dev, 0)
        assert list(files.directory.iterdir()) == []
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    assert files.directory == tmp_path / "data" / "tmp"
    assert stat.S_IMODE(files.directory.stat().st_mode) == 0o700


def test_memory_in_files(tmp_path: Path) -> None:
    files = TemporaryFiles(tmp_path)
    for size in (0, 1, SMALL_BYTES, SMALL_BYTES + 1):
        array = files.allocate(size)
        array[:] = 1
        assert array.sum() == size
    assert list(tmp_path.iterdir()) == []


def test_names_that_a_killed_process_left_are_deleted_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}abc").write_bytes(b"weights")
    (tmp_path / "other").write_bytes(b"not ours")
    TemporaryFiles(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_without_a_directory_that_can_be_written_the_system_has_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    files = TemporaryFiles(tmp_path / "file" / "tmp")
    with files.open() as file:
        assert device(file)[1] == 0
    assert files.directory == Path(tempfile.gettempdir())
    assert "cannot be used for temporary files" in caplog.text


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    files = TemporaryFiles(tmp_path)
    monkeypatch.setattr(temporary_files, "map_file", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        files.allocate(SMALL_BYTES)


def test_the_data_directory_that_is_made_is_of_this_user_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert TemporaryFiles(data / "tmp").directory == data / "tmp"
    assert [stat.S_IMODE(each.stat().st_mode) for each in (data, data / "tmp")] == [0o700, 0o700]
