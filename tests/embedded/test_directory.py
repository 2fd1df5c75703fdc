"""The directories of the private Redis: closed to others, short enough for a socket, and locked."""

import os
import stat
from pathlib import Path

import pytest

from cellar.embedded.binary import Release
from cellar.embedded.directory import SOCKET_PATH_BYTES, Directory
from cellar.errors import StartupError


def test_both_directories_are_closed_to_others(tmp_path: Path) -> None:
    socket = Directory(tmp_path / "a" / "data", tmp_path / "run").new_socket()
    assert stat.S_IMODE((tmp_path / "a" / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


def test_a_directory_within_one_that_is_not_there_yet_leaves_that_one_usable(tmp_path: Path) -> None:
    """The demo's data directory stands in the service's own: whichever comes first, both work."""
    Directory(tmp_path / "cellar" / "demo")
    Directory(tmp_path / "cellar")


def test_an_open_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    with pytest.raises(StartupError, match="chmod 700"):
        Directory(tmp_path / "data")


def test_a_link_in_the_place_of_the_runtime_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path)
    with pytest.raises(StartupError, match="a file or a link"):
        Directory(tmp_path / "data", tmp_path / "run").new_socket()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="file/data"):
        Directory(tmp_path / "file" / "data")


def test_a_socket_path_that_the_kernel_refuses_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="CELLAR_RUNTIME_DIR"):
        Directory(tmp_path / "data", tmp_path / ("x" * SOCKET_PATH_BYTES)).new_socket()


def test_the_default_socket_is_short_and_the_same_for_all(tmp_path: Path) -> None:
    data = tmp_path / ("a long name " * 12)
    first = Directory(data)
    socket = first.new_socket()
    assert len(os.fsencode(socket)) < 60
    assert Directory(data).socket() == socket
    first.remove_socket()
    assert not socket.parent.exists()


def test_what_wrote_the_data_is_remembered(tmp_path: Path) -> None:
    assert Directory(tmp_path / "data").written_by() is None
    Directory(tmp_path / "data").set_written_by(Release("redis", (6, 2)))
    assert Directory(tmp_path / "data").written_by() == Release("redis", (6, 2))


def test_one_server_only(tmp_path: Path) -> None:
    lock = Directory(tmp_path / "data").lock_server()
    assert lock is not None
    assert Directory(tmp_path / "data").lock_server() is None
    os.close(lock)
    again = Directory(tmp_path / "data").lock_server()
    assert again is not None
    os.close(again)


def test_the_last_of_several_users_is_last(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "data")
    users = [directory.join() for _ in range(3)]
    assert [directory.leave(user) for user in users] == [False, False, True]
    for user in users:
        os.close(user)
