"""A service for the demo alone shares no port, key or directory with another one."""

import socket
from pathlib import Path

from cellar.demo.service import HOST, Service, own_settings
from cellar.settings import Settings


def test_a_port_that_is_taken_is_left_alone() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert Service(Settings(port=port)).port != port
    assert Service(Settings(port=port)).port == port


def test_nothing_is_shared_with_a_service_of_the_same_settings(tmp_path: Path) -> None:
    settings = Settings(redis_url="redis://somewhere", data_dir=tmp_path / "data", runtime_dir=tmp_path / "run")
    own = own_settings(settings, 1234)
    assert own["CELLAR_KEY_PREFIX"] != settings.key_prefix
    assert own["CELLAR_DATA_DIR"] != str(settings.data_dir)
    assert own["CELLAR_RUNTIME_DIR"] != str(settings.runtime_dir)
    assert (own["CELLAR_HOST"], own["CELLAR_PORT"], own["CELLAR_WORKER"]) == (HOST, "1234", "true")


def test_it_logs_what_is_wrong_unless_more_is_asked_for() -> None:
    assert own_settings(Settings(), 1)["CELLAR_LOG_LEVEL"] == "warning"
    assert "CELLAR_LOG_LEVEL" not in own_settings(Settings(log_level="debug"), 1)
