"""Measures what API keys cost: steps of a service that needs keys beside those of one that does not."""

from contextlib import ExitStack
from dataclasses import replace

from benchmarks.scaling import sessions
from benchmarks.scaling.scene import Row, Scene, grown
from benchmarks.serving.contestants import MODEL, create_model, start_cellars
from benchmarks.serving.copies import PREFIX
from benchmarks.serving.http import post
from cellar.keys.administration import KeyAdministration
from cellar.keys.pepper import Pepper
from cellar.ports.clock import SystemClock
from cellar.store.catalogue.keys import RedisKeys
from cellar.store.topology.factory import sync_client

LIMIT = 1.05

COUNT = 200
"""Sessions, and with keys as many clients with a key of their own."""

PEPPER = "the pepper of the benchmark"

KEYED_PREFIX = f"{PREFIX}-keys"


def measure(scene: Scene) -> Row:
    """Step sessions of both services, each request with the header of one of many keys."""
    keys = KeyAdministration(RedisKeys(sync_client(scene.redis.url), KEYED_PREFIX), Pepper(PEPPER), SystemClock())
    texts = [f"Bearer {keys.create('default', '', ['admin']).text}" for _ in range(COUNT)]
    headers = [f"Authorization: {text}" for text in texts]
    with ExitStack() as stack:
        cores = scene.cores.service, scene.cores.outside
        (service,) = start_cellars(
            stack, cores, scene.redis, 1, authentication="keys", key_pepper=PEPPER, key_prefix=KEYED_PREFIX
        )
        service.process.pin(scene.cores.service)
        keyed = replace(scene, cellar=service)
        create_model(service, headers={"authorization": texts[0]})
        names = [f"key-{index}" for index in range(COUNT)]
        bodies = [post("/v1/sessions", {"session": name, "model": MODEL}) for name in names]
        steps = [post(f"/v1/sessions/{name}/step", sessions.BODY) for name in names]
        scene.send(bodies)
        keyed.send([with_header(body, header) for body, header in zip(bodies, headers, strict=True)])
        rounds = scene.extent.requests // COUNT
        plain = steps * rounds
        shown = [with_header(step, header) for step, header in zip(steps, headers, strict=True)] * rounds
        found = scene.interleaved({"without": lambda: scene.send(plain), "with": lambda: keyed.send(shown)})
    return grown("keys", found, {"with": LIMIT})


def with_header(request: bytes, header: str) -> bytes:
    """Return a request with one more header."""
    line, rest = request.split(b"\r\n", 1)
    return line + b"\r\n" + header.encode() + b"\r\n" + rest
