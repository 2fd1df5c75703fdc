"""The command `bench`: a short measurement of a running service, with sessions of its own that it deletes."""

import json
import secrets
import time
from typing import Annotated, Any

import typer

from cellar.cli.console import progress, show_json, show_members
from cellar.cli.options import ApiKey, Json, Url
from cellar.cli.remote.connection import Service, path_of

app = typer.Typer()

NETWORK = {
    "in_size": 8,
    "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 64}, {"type": "dense", "out_size": 1}],
}

SESSIONS = 256
"""Sessions that are stepped together in one request."""

SEQUENCE_STEPS = 1000


@app.command()
def bench(
    seconds: Annotated[float, typer.Option(min=0.1, max=60.0, help="Time for each of the three parts.")] = 2.0,
    url: Url = None,
    api_key: ApiKey = None,
    *,
    as_json: Json = False,
) -> None:
    """Measure the running service for some seconds, from this machine and over its network.

    One session is stepped alone (latency), 256 sessions in one request, and one session in sequences of 1,000 steps.
    The model and the sessions are new, small, and deleted at the end. Other clients are slower meanwhile.
    """
    name = f"bench-{secrets.token_hex(4)}"
    names = [f"{name}-{number}" for number in range(SESSIONS)]
    with Service(url, api_key) as service:
        service.send("POST", "/v1/models", json={"name": name, "network": NETWORK})
        try:
            lines = "\n".join(json.dumps({"session": each, "model": name, "ttl_s": 600}) for each in names)
            headers = {"Content-Type": "application/x-ndjson"}
            service.send_lines("/v1/sessions/bulk", lines, headers)
            with progress("measure", 3) as advance:
                found = _latency(service, names[0], seconds)
                advance(1)
                found |= _together(service, names, headers, seconds)
                advance(1)
                found |= _sequences(service, names[0], seconds)
        finally:
            service.send("DELETE", path_of("models", name), params={"force": "true"})
            service.send("DELETE", "/v1/sessions", params={"prefix": f"{name}-"})
    show_json({"url": service.url, "seconds": seconds, **found}) if as_json else show_members(found)


def _latency(service: Service, session: str, seconds: float) -> dict[str, Any]:
    """Step one session again and again, each step after the answer to the last one."""
    times_ms: list[float] = []
    path, body = path_of("sessions", session, "step"), {"input": [0.5] * 8}
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end or not times_ms:
        service.send("POST", path, json=body)
        times_ms.append(1000 * (time.perf_counter() - begin))
    times_ms.sort()
    places = {"p50": 0.5, "p99": 0.99}
    return {f"step_{name}_ms": round(times_ms[int(place * (len(times_ms) - 1))], 3) for name, place in places.items()}


def _together(service: Service, names: list[str], headers: dict[str, str], seconds: float) -> dict[str, Any]:
    """Step many sessions in each request."""
    lines = "\n".join(json.dumps({"session": each, "input": [0.5] * 8}) for each in names)
    count, begin = 0, time.perf_counter()
    while not count or time.perf_counter() - begin < seconds:
        count += len(service.send_lines("/v1/steps", lines, headers))
    return {"bulk_steps_per_s": round(count / (time.perf_counter() - begin))}


def _sequences(service: Service, session: str, seconds: float) -> dict[str, Any]:
    """Send sequences, each after the answer to the last one."""
    path, body = path_of("sessions", session, "sequence"), {"inputs": [[0.5] * 8] * SEQUENCE_STEPS}
    count, begin = 0, time.perf_counter()
    while not count or time.perf_counter() - begin < seconds:
        service.send("POST", path, json=body)
        count += SEQUENCE_STEPS
    return {"sequence_steps_per_s": round(count / (time.perf_counter() - begin))}
