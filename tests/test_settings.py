"""Settings: what the environment may say, and how a wrong value is named."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from cellar.errors import SettingsInvalid
from cellar.settings import Settings


def test_defaults_need_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", "/home/someone")
    settings = Settings.load()
    assert settings.data_dir == Path("/data/cellar")
    assert settings.cache_dir == Path("/home/someone/.cache/cellar/kernels")
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.embedded
    assert settings.local_workers == 1


def test_a_given_redis_brings_no_worker_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLAR_REDIS_URL", "redis://somewhere:6379/0")
    assert not Settings.load().embedded
    assert Settings.load().local_workers == 0
    monkeypatch.setenv("CELLAR_WORKER", "true")
    assert Settings.load().local_workers == 1


@pytest.mark.parametrize(("worker", "workers"), [("true", 3), ("false", 2), ("true", 0)])
def test_a_number_of_workers_comes_before_the_question_whether_there_is_one(
    monkeypatch: pytest.MonkeyPatch, worker: str, workers: int
) -> None:
    monkeypatch.setenv("CELLAR_WORKER", worker)
    monkeypatch.setenv("CELLAR_WORKERS", str(workers))
    assert Settings.load().local_workers == workers
    assert Settings.load(workers=5).local_workers == 5, "the command line comes first"


def test_processes_divide_what_is_bounded_for_all() -> None:
    settings = Settings(model_cache_bytes=2**30, max_unfinished_bytes=2**20, compile_queue=3, max_body_bytes=2**15)
    assert settings.divided(1) is settings
    part = settings.divided(4)
    assert (part.model_cache_bytes, part.max_unfinished_bytes, part.compile_queue) == (2**28, 2**18, 1)
    assert part.max_connections == settings.max_connections
    large = Settings(max_unfinished_bytes=2**25, max_body_bytes=2**24)
    assert large.divided(4).max_unfinished_bytes == 2**25, "the largest body has room in each"


def test_lists_have_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLAR_ALLOWED_HOSTS", "cellar.example, fd00::1,")
    monkeypatch.setenv("CELLAR_ALLOWED_ORIGINS", "*")
    settings = Settings.load()
    assert settings.allowed_hosts == ("cellar.example", "fd00::1")
    assert settings.allowed_origins == ("*",)


def test_a_variable_of_an_older_version_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLAR_AHEAD", "neither true nor false")
    assert not hasattr(Settings.load(), "ahead")


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLAR_REDIS_URL", "")
    assert Settings.load().embedded


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CELLAR_PORT", "http"),
        ("CELLAR_PORT", "70000"),
        ("CELLAR_LOG_LEVEL", "loud"),
        ("CELLAR_KEY_PREFIX", "{x}"),
        ("CELLAR_DATA_DIR", "relative"),
        ("CELLAR_ALLOWED_HOSTS", "cellar.example:80"),
        ("CELLAR_ALLOWED_ORIGINS", "app.example.com"),
        ("CELLAR_ALLOWED_ORIGINS", "https://app.example.com/page"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsInvalid, match=variable) as caught:
        Settings.load()
    assert value in caught.value.detail


@pytest.mark.parametrize("scheme", ["redis+cluster", "rediss+cluster"])
def test_a_cluster_carries_no_queue(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    cluster = f"{scheme}://:secret@a:1,b:2"
    monkeypatch.setenv("CELLAR_REDIS_URL", cluster)
    with pytest.raises(SettingsInvalid, match="set CELLAR_QUEUE_URL to one server") as caught:
        Settings.load()
    assert "secret" not in caught.value.detail
    monkeypatch.setenv("CELLAR_QUEUE_URL", cluster)
    with pytest.raises(SettingsInvalid, match="CELLAR_QUEUE_URL names a cluster") as caught:
        Settings.load()
    assert "secret" not in caught.value.detail
    monkeypatch.setenv("CELLAR_QUEUE_URL", "redis+sentinel://a,b/main")
    assert Settings.load().redis_url == cluster


def test_a_url_that_is_none_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLAR_REDIS_URL", "redis+elsewhere://:secret@a")
    with pytest.raises(SettingsInvalid, match="CELLAR_REDIS_URL") as caught:
        Settings.load()
    assert "secret" not in caught.value.detail


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings.load().port = 1  # type: ignore[misc]  # the point of the test


def test_every_field_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_a_faulty_url_is_not_repeated_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLAR_REDIS_URL", "user:secret@localhost:6379")
    with pytest.raises(SettingsInvalid) as caught:
        Settings.load()
    assert "CELLAR_REDIS_URL" in caught.value.detail
    assert "secret" not in caught.value.detail
