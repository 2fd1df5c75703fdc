"""Listening sockets of several processes: distributed by the kernel, one port, private paths, nothing left behind."""

import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest

from cellar.embedded.listeners import listen, listeners, peer_listeners
from cellar.errors import StartupError

HOST = "127.0.0.1"


def test_the_kernel_distributes_connections_among_the_sockets_of_one_port() -> None:
    with listeners(HOST, 0, 4) as found:
        assert len({each.getsockname() for each in found}) == 1
        for each in found:
            each.setblocking(False)
        clients = [socket.create_connection(found[0].getsockname()) for _ in range(200)]
        accepted = [_accept_all(each) for each in found]
        for client in clients:
            client.close()
    assert sum(accepted) == 200
    assert min(accepted) >= 20


def _accept_all(listener: socket.socket) -> int:
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_without_the_option_all_share_one_socket() -> None:
    with listeners(HOST, 0, 4, reuse_port=False) as found:
        assert len(found) == 1


@pytest.mark.parametrize(("first", "second"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_a_second_service_on_the_port_is_refused(first: int, second: int) -> None:
    with listeners(HOST, 0, first) as found:
        port = found[0].getsockname()[1]
        with pytest.raises(StartupError, match=f"port {port}"), listeners(HOST, port, second):
            pass
    with listeners(HOST, port, second) as again:
        assert again[0].getsockname()[1] == port


def test_a_name_that_is_not_known() -> None:
    with pytest.raises(StartupError, match=r"cannot listen on nowhere\.invalid"):
        listen("nowhere.invalid", 0)


def test_sockets_of_peers_are_private_and_removed(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    with peer_listeners(tmp_path, runtime, 3) as found, peer_listeners(tmp_path, runtime, 2) as others:
        paths = [Path(each.getsockname()) for each in found]
        assert [path.name for path in paths] == ["0.sock", "1.sock", "2.sock"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
        assert stat.S_IMODE(paths[0].parent.stat().st_mode) == 0o700
        assert Path(others[0].getsockname()).parent != paths[0].parent
        with closing(socket.socket(socket.AF_UNIX)) as client:
            client.connect(str(paths[1]))
            found[1].accept()[0].close()
    assert list(runtime.iterdir()) == []


def test_the_default_directory_is_removed_too(tmp_path: Path) -> None:
    with peer_listeners(tmp_path, None, 2) as found:
        parent = Path(found[0].getsockname()).parents[1]
        assert parent.is_relative_to("/tmp")
    assert not parent.exists()


def test_directories_of_killed_services_are_removed(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    left = runtime / "api-left"
    left.mkdir(parents=True, mode=0o700)
    runtime.chmod(0o700)
    (left / "0.sock").touch()
    with peer_listeners(tmp_path, runtime, 2):
        assert not left.exists()


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    runtime = tmp_path / ("long" * 25)
    with pytest.raises(StartupError, match="CELLAR_RUNTIME_DIR"), peer_listeners(tmp_path, runtime, 2):
        pass
    assert list(runtime.iterdir()) == []
