"""A service that is killed while a file of readings comes leaves nothing of it, and goes on when it starts again."""

import resource
import socket
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.e2e.replica import environment, serving
from tests.waiting import wait_until

ROWS = b"2024-01-01,20.5\n"
SENT_BYTES = 3 * 1024 * 1024


def bytes_held(directory: Path) -> int:
    """Return the bytes of the files in a directory that processes have open, with or without a name."""
    found = 0
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()).startswith(str(directory)):
                found += link.stat().st_size
        except OSError:  # the file was closed meanwhile, or the process has another owner
            continue
    return found


def test_a_killed_upload_leaves_nothing(redis_url: str, kernel_directory: Path, tmp_path: Path) -> None:
    kept, data = tmp_path / "datasets", tmp_path / "data"
    settings = environment(
        redis_url=redis_url, cache_dir=str(kernel_directory), key_prefix=f"test-{uuid.uuid4().hex}",
        dataset_dir=str(kept), data_dir=str(data),
    )  # fmt: skip
    with serving(settings) as replica:
        place = urlsplit(replica.url)
        with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
            head = "POST /v1/datasets?name=readings HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
            connection.sendall(f"{head}Content-Length: {10 * SENT_BYTES}\r\n\r\n".encode() + b"at,temp\n")
            connection.sendall(ROWS * (SENT_BYTES // len(ROWS)))
            wait_until(lambda: bytes_held(data) > SENT_BYTES // 3 or None, 60, "the beginning of the file")
            replica.kill()
        replica.process.wait(60)
    assert [path for path in (*kept.rglob("*"), *(data / "tmp").rglob("*")) if path.is_file()] == []
    with serving(settings) as replica, httpx.Client(base_url=replica.url, timeout=60) as client:
        assert client.get("/v1/datasets").json()["datasets"] == []
        headers = {"Content-Type": "text/csv"}
        content = b"at,temp\n2024-01-01,20.5\n"
        made = client.post("/v1/datasets", params={"name": "readings"}, content=content, headers=headers)
        assert (made.status_code, made.json()["rows"]) == (201, 1)
    assert len([path for path in kept.rglob("*") if path.is_file()]) == 1


def test_a_full_disk_refuses_an_upload_and_nothing_else(redis_url: str, kernel_directory: Path, tmp_path: Path) -> None:
    """The file is too large for the disk, then its table is, then a client goes away; nothing is left each time."""
    kept, data = tmp_path / "datasets", tmp_path / "data"
    settings = environment(
        redis_url=redis_url, cache_dir=str(kernel_directory), key_prefix=f"test-{uuid.uuid4().hex}",
        dataset_dir=str(kept), data_dir=str(data),
    )  # fmt: skip
    narrow, wide = b"at,temp\n" + ROWS * (SENT_BYTES // len(ROWS)), b"a,b,c,d\n" + b"1,2,3,4\n" * (SENT_BYTES // 8)
    with serving(settings) as replica, httpx.Client(base_url=replica.url, timeout=60) as client:

        def add(name: str, content: bytes) -> httpx.Response:
            """Send a file."""
            kind = {"Content-Type": "text/csv"}
            return client.post("/v1/datasets", params={"name": name}, content=content, headers=kind)

        def left() -> list[Path]:
            """Return the files in both directories, and wait until no process has another one open."""
            wait_until(lambda: not bytes_held(data) or None, 60, "temporary files are closed")
            return [path for path in (*kept.rglob("*"), *(data / "tmp").rglob("*")) if path.is_file()]

        for content, room in ((narrow, SENT_BYTES // 2), (wide, SENT_BYTES + SENT_BYTES // 4)):
            resource.prlimit(replica.child("api"), resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            refused = add("large", content)
            assert (refused.status_code, refused.json()["outcome"]) == (503, "not_applied")
            assert "File too large" in refused.json()["detail"]
            assert int(refused.headers["Retry-After"]) >= 1
            assert left() == []
            assert add("small", b"a,b\n1,2\n").status_code == 201
            assert client.delete("/v1/datasets/small").status_code == 204
        infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(replica.child("api"), resource.RLIMIT_FSIZE, infinite)
        place = urlsplit(replica.url)
        with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
            head = "POST /v1/datasets?name=cut HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
            connection.sendall(f"{head}Content-Length: {10 * SENT_BYTES}\r\n\r\n".encode() + narrow)
            wait_until(lambda: bytes_held(data) > SENT_BYTES // 3 or None, 60, "the beginning of the file")
        assert left() == []
        assert [each["dataset"] for each in client.get("/v1/datasets").json()["datasets"]] == []
        assert add("large", wide).status_code == 201
