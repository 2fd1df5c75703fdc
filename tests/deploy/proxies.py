"""The examples of nginx and Caddy in `deploy/`, run with other addresses, and with a header that names the service."""

import os
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.test_tls import certificate
from tests.ports import free_port
from tests.waiting import wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"

SERVICES = ("10.0.0.1:8080", "10.0.0.2:8080")

SERVED_BY = "x-served-by"
"""The header of an answer that names the address of the service."""


@dataclass
class Front:
    """A running proxy, and what trusts its certificate."""

    url: str
    trusted: ssl.SSLContext

    def client(self) -> httpx.Client:
        """Return a client of it."""
        return httpx.Client(base_url=self.url, verify=self.trusted, timeout=30)


@contextmanager
def nginx(ports: Sequence[int]) -> Iterator[Front]:
    """Run nginx with the example in front of services on these ports."""

    def command(folder: Path, port: int, text: str) -> list[str]:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        changes = {
            "listen 443": f"listen 127.0.0.1:{port}",
            "http {\n": f"http {{\n    access_log off;\n{paths}",
            "proxy_pass http://cellar;\n": f"proxy_pass http://cellar;\n    add_header {SERVED_BY} $upstream_addr;\n",
        }
        text = _replaced(text, changes)
        (folder / "nginx.conf").write_text(f"pid {folder}/pid;\n{text}")
        return ["nginx", "-p", str(folder), "-c", f"{folder}/nginx.conf", "-e", "stderr", "-g", "daemon off;"]

    with _running(DEPLOY / "nginx" / "nginx.conf", ports, command) as front:
        yield front


@contextmanager
def caddy(ports: Sequence[int]) -> Iterator[Front]:
    """Run Caddy with the example in front of services on these ports."""

    def command(folder: Path, port: int, text: str) -> list[str]:
        named = f"\t\theader_down {SERVED_BY} {{http.reverse_proxy.upstream.hostport}}\n"
        last = "\t\t\tflush_interval -1\n"
        text = _replaced(text, {"cellar.example {": f"https://localhost:{port} {{", last: last + named})
        (folder / "Caddyfile").write_text(
            f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tgrace_period 1s\n}}\n{text}"
        )
        return ["caddy", "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]

    with _running(DEPLOY / "caddy" / "Caddyfile", ports, command) as front:
        yield front


@contextmanager
def _running(example: Path, ports: Sequence[int], command: Callable[[Path, int, str], list[str]]) -> Iterator[Front]:
    port = free_port()
    services = dict(zip(SERVICES, (f"127.0.0.1:{service}" for service in ports), strict=True))
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        file, key = certificate(folder, "proxy")
        files = {"/etc/cellar/chain.pem": file, "/etc/cellar/key.pem": key}
        text = _replaced(example.read_text(), services | files)
        own = os.environ | {"HOME": name, "XDG_DATA_HOME": name, "XDG_CONFIG_HOME": name}
        front = Front(f"https://localhost:{port}", ssl.create_default_context(cafile=file))
        process = subprocess.Popen(command(folder, port, text), env=own, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: _answers(front, process), 30, "the proxy answers")
            yield front
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()
                process.wait()


def _replaced(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def _answers(front: Front, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "the proxy has ended"
    try:
        with front.client() as client:
            return client.get("/healthz").status_code == 200
    except httpx.HTTPError:
        return False
