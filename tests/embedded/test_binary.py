"""Which server is chosen, and that data is never given to one that cannot read it."""

from pathlib import Path

import pytest

from cellar.embedded.binary import Release, choose_binary, find_binaries
from cellar.errors import RedisMissing, StartupError


def make_server(directory: Path, name: str, version: str) -> Path:
    """Make a program that says what a server of that version says."""
    kind = name.removesuffix("-server").capitalize()
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{kind} server v={version} sha=00000000:0 malloc=libc bits=64'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def search_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only directory on PATH, empty."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("Redis server v=6.2.14 sha=40305114:0 malloc=libc bits=64 build=dff", Release("redis", (6, 2))),
        ("Valkey server v=8.1.0 sha=0:0", Release("valkey", (8, 1))),
        ("redis 7.4", Release("redis", (7, 4))),
        ("", None),
        ("KeyDB server v=6.3.4", None),
    ],
)
def test_releases_are_read(text: str, release: Release | None) -> None:
    assert Release.parse(text) == release
    assert release is None or Release.parse(str(release)) == release


@pytest.mark.parametrize(
    ("reader", "writer", "reads"),
    [
        ("redis 6.2", "redis 6.2", True),
        ("redis 7.0", "redis 6.2", True),
        ("redis 6.2", "redis 7.0", False),
        ("valkey 8.0", "redis 7.2", True),
        ("valkey 8.0", "redis 7.4", False),
        ("redis 8.0", "valkey 7.2", False),
        ("valkey 8.1", "valkey 8.0", True),
    ],
)
def test_who_reads_whose_data(reader: str, writer: str, reads: bool) -> None:
    read, written = Release.parse(reader), Release.parse(writer)
    assert read
    assert written
    assert read.reads(written) is reads


def test_the_bundled_server_serves_where_none_is_installed(search_path: Path) -> None:
    assert not list(search_path.iterdir())
    assert choose_binary(None).release == Release("redis", (6, 2))


def test_an_installed_server_comes_first_and_valkey_before_redis(search_path: Path) -> None:
    redis = make_server(search_path, "redis-server", "7.0.15")
    assert choose_binary(None).path == redis
    valkey = make_server(search_path, "valkey-server", "8.0.1")
    assert choose_binary(None).path == valkey


def test_a_server_below_the_floor_is_passed_over(search_path: Path) -> None:
    old = make_server(search_path, "redis-server", "6.0.16")
    assert old not in [binary.path for binary in find_binaries()]


def test_a_newer_server_behind_an_older_one_is_found(search_path: Path) -> None:
    make_server(search_path, "valkey-server", "7.2.5")
    newer = make_server(search_path, "redis-server", "8.0.0")
    assert choose_binary(Release("redis", (7, 4))).path == newer


def test_data_of_a_newer_server_is_refused(search_path: Path) -> None:
    make_server(search_path, "redis-server", "7.0.15")
    with pytest.raises(StartupError, match=r"written by redis 7\.4") as caught:
        choose_binary(Release("redis", (7, 4)))
    assert "redis 7.0" in caught.value.detail


def test_no_server_at_all_says_how_to_get_one(search_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(RedisMissing, match="redis-server") as caught:
        choose_binary(None)
    assert "CELLAR_REDIS_URL" in caught.value.detail
    assert not list(search_path.iterdir())


def test_a_program_that_does_not_run_is_passed_over(search_path: Path) -> None:
    broken = search_path / "redis-server"
    broken.write_bytes(b"not a program")
    broken.chmod(0o755)
    assert broken not in [binary.path for binary in find_binaries()]
