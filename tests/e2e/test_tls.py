"""The service with a certificate: HTTPS, WebSockets, a new certificate on SIGHUP, and files that cannot be used."""

import asyncio
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.e2e.replica import environment, serving

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")

NETWORK = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}


def certificate(folder: Path, name: str) -> tuple[str, str]:
    """Make a certificate for localhost and its key; return their paths."""
    files = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
    options = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*command, *options, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


def served_name(port: int, trusted: str) -> str:
    """Return the common name of the certificate that a service shows."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        ssl.create_default_context(cafile=trusted).wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        found = secure.getpeercert()
        assert found is not None
        subject: Any = found["subject"]
        return str({name: value for part in subject for name, value in part}["commonName"])


async def stepped(url: str, trusted: ssl.SSLContext) -> int:
    """Make a step over a WebSocket, and return its number."""
    async with connect(f"{url.replace('https', 'wss')}/v1/sessions/s/stream", ssl=trusted) as stream:
        await stream.recv()
        await stream.send('{"input": [1, 2]}')
        return int(str(await stream.recv()).partition('"step":')[2].partition(",")[0])


def test_a_service_with_a_certificate(tmp_path: Path, redis_url: str, kernel_directory: Path) -> None:
    file, key = certificate(tmp_path, "first")
    settings = {"tls_certificate": file, "tls_key": key, "worker": "false", "cache_dir": str(kernel_directory)}
    with serving(environment(redis_url=redis_url, key_prefix=f"test-{os.urandom(8).hex()}", **settings)) as service:
        assert service.url.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=file)
        with httpx.Client(base_url=service.url, verify=trusted, timeout=60) as client:
            assert client.post("/v1/models", json={"name": "m", "network": NETWORK}).status_code == 201
            assert client.post("/v1/sessions", json={"session": "s", "model": "m"}).status_code == 201
            steps = [client.post("/v1/sessions/s/step", json={"input": [1, 2]}).json()["step"] for _ in range(4)]
            large = client.post("/v1/sessions/s/sequence", json={"inputs": [[0.5, 0.25]] * 20_000})
        assert steps == [1, 2, 3, 4]
        assert len(large.json()["outputs"]) == 20_000
        assert asyncio.run(stepped(service.url, trusted)) == 20_005
        with pytest.raises(httpx.TransportError):
            httpx.get(service.url.replace("https", "http") + "/readyz")

        port = int(service.url.rpartition(":")[2])
        other, other_key = certificate(tmp_path, "second")
        shutil.copy(other, file)
        shutil.copy(other_key, key)
        service.process.send_signal(signal.SIGHUP)
        deadline_s, name = time.monotonic() + 60, ""
        while name != "second" and time.monotonic() < deadline_s:
            try:
                name = served_name(port, other)
            except (ssl.SSLError, OSError):
                time.sleep(0.1)
        assert name == "second"


@pytest.mark.parametrize("fault", ["missing", "other key", "no certificate", "password", "half"])
def test_files_that_cannot_be_used_are_refused_before_anything_starts(tmp_path: Path, fault: str) -> None:
    file, key = certificate(tmp_path, "first")
    if fault == "missing":
        Path(key).unlink()
    elif fault == "other key":
        key = certificate(tmp_path, "second")[1]
    elif fault == "no certificate":
        Path(file).write_text("no certificate\n")
    elif fault == "password":
        subprocess.run(
            ["openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", key, "-out", f"{key}.locked"],
            check=True,
            capture_output=True,
        )
        key = f"{key}.locked"
    own = environment(data_dir=str(tmp_path / "data"), tls_certificate=file, tls_key=key)
    own.pop("CELLAR_REDIS_URL", None)
    if fault == "half":
        del own["CELLAR_TLS_KEY"]
    done = subprocess.run(
        [sys.executable, "-m", "cellar.cli", "serve"], env=own, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 78, done.stderr
    assert "CELLAR_TLS_CERTIFICATE" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_process_that_accepts_for_another_one_speaks_https_too(
    tmp_path: Path, redis_url: str, kernel_directory: Path
) -> None:
    file, key = certificate(tmp_path, "first")
    settings = {"tls_certificate": file, "tls_key": key, "worker": "false", "cache_dir": str(kernel_directory)}
    prefix = f"test-{os.urandom(8).hex()}"
    with serving(environment(redis_url=redis_url, key_prefix=prefix, processes="2", **settings)) as service:
        trusted = ssl.create_default_context(cafile=file)
        os.kill(service.child("api"), signal.SIGKILL)
        time.sleep(0.3)  # the parent tells the other one
        for _ in range(16):  # a new connection each, before the killed process is back
            assert httpx.get(f"{service.url}/healthz", verify=trusted, timeout=30).status_code == 200
