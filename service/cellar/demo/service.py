"""Runs `cellar serve` with its own data as a child process that can be killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from typing import Self

import httpx

from cellar.errors import StartupError
from cellar.settings import Settings

HOST = "127.0.0.1"

READY_S = 60.0
"""The longest time for a start."""

POLL_S = 0.05
"""Pause between two checks whether the service has started or ended."""


class Service:
    """A `cellar serve` that shares neither port nor data with another service.

    A context manager that starts it, waits until it is ready, and stops it at the end.
    """

    def __init__(self, settings: Settings) -> None:
        self.port = settings.port if settings.port and _is_free(settings.port) else _free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._environment = os.environ | own_settings(settings, self.port)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it and wait until it is ready. Raise StartupError if it does not become ready."""
        try:
            self.start()
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Start it without waiting."""
        # In its own process session, so that Ctrl-C in the terminal reaches only the demo, which stops the service.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cellar.cli", "serve"], env=self._environment, start_new_session=True
        )

    def wait_until_ready(self) -> None:
        """Wait until it can serve requests. Raise StartupError."""
        assert self._process
        deadline_s = time.monotonic() + READY_S
        while not self._is_ready():
            if self._process.poll() is not None:
                raise StartupError(f"the service ended with exit code {self._process.returncode}")
            if time.monotonic() > deadline_s:
                raise StartupError(f"the service was not ready within {READY_S:g} s")
            time.sleep(POLL_S)

    def kill(self) -> None:
        """Kill it with SIGKILL. Its children die with it; wait until their port is free."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        while not _is_free(self.port):
            time.sleep(POLL_S)

    def wait(self) -> None:
        """Wait until it ends by itself."""
        assert self._process
        self._process.wait()

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        if self._process:
            self._process.terminate()
            self._process.wait()

    def _is_ready(self) -> bool:
        # Without TLS no certificates are read, which would take the processor from a service that starts.
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=READY_S, verify=False).is_success  # noqa: S501  # plain HTTP
        return False


def own_settings(settings: Settings, port: int) -> dict[str, str]:
    """Return the environment of a service that shares no data with the one that `settings` describe.

    If `settings` name a Redis, it is used with another key prefix; otherwise the private Redis has another directory.
    """
    own = {
        "CELLAR_HOST": HOST,
        "CELLAR_PORT": str(port),
        "CELLAR_KEY_PREFIX": f"{settings.key_prefix}-demo",
        "CELLAR_DATA_DIR": str(settings.data_dir / "demo"),
        "CELLAR_WORKER": "true",
    }
    if "log_level" not in settings.model_fields_set:
        own["CELLAR_LOG_LEVEL"] = "warning"  # the demo prints what happens
    if settings.runtime_dir:
        own["CELLAR_RUNTIME_DIR"] = str(settings.runtime_dir / "demo")
    return own


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
