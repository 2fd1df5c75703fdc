"""Readings by name in a service of two processes that are killed: no step is lost, none is made twice."""

import json
import os
import signal
from typing import Any

import httpx
from websockets.sync.client import connect

from tests.e2e.replica import Replica, serving
from tests.nn.readings.tables import fitted, network_of, weather
from tests.waiting import wait_until

COLUMNS: list[dict[str, Any]] = [
    {"kind": "number", "name": "temp", "lags": [2], "since": True},
    {"kind": "time", "name": "at", "calendar": ["hour"], "elapsed": True},
]
ROWS: list[dict[str, Any]] = [
    {"temp": None if step % 3 == 1 else 15 + step / 8, "at": f"2026-01-01T{step:02}:30:00+01:00"} for step in range(16)
]


def send(service: Replica, session: str, step: int) -> Any:
    """Send a numbered step until it is answered; return its output."""

    def answered() -> "httpx.Response | None":
        try:
            body = {"input": ROWS[step], "step": step, "score": True}
            answer = httpx.post(f"{service.url}/v1/sessions/{session}/step", json=body, timeout=30)
        except httpx.TransportError:
            return None
        return None if answer.status_code == 503 else answer

    answer = wait_until(answered, 60, "the step is answered")
    assert answer.status_code == 200, answer.text
    return answer.json()["output"], answer.json()["score"]


def test_a_killed_process_loses_no_reading_and_a_stream_has_the_same_bits(private: dict[str, str]) -> None:
    gru = {"type": "recurrent", "cell": "gru", "hidden_size": 3}
    forecast = {"type": "forecast", "targets": [{"name": "temp", "shift": 15}], "head": {"distribution": "gaussian"}}
    network = network_of(fitted(COLUMNS, weather()), gru, {"type": "dense", "out_size": 2}, forecast).document
    with serving(private | {"CELLAR_PROCESSES": "2"}) as service:
        for path, body in (
            ("models", {"name": "weather", "network": network}),
            *(("sessions", {"session": name, "model": "weather"}) for name in ("killed", "stream", "whole")),
        ):
            httpx.post(f"{service.url}/v1/{path}", json=body, timeout=60).raise_for_status()
        answers = []
        for step in range(len(ROWS)):
            if step in (5, 10):
                os.kill(service.children("api")[step // 10], signal.SIGKILL)
            answers.append(send(service, "killed", step))
            assert send(service, "killed", step) == answers[-1]
        outputs, scores = map(list, zip(*answers, strict=True))
        assert [score is None for (score,) in scores] == [step % 3 == 1 or step == 0 for step in range(len(ROWS))]
        body = {"inputs": ROWS, "score": True}
        whole = httpx.post(f"{service.url}/v1/sessions/whole/sequence", json=body, timeout=60)
        assert (whole.json()["outputs"], whole.json()["score"]) == (outputs, scores)
        with connect(service.url.replace("http", "ws", 1) + "/v1/sessions/stream/stream") as stream:
            stream.recv(timeout=30)
            for step, row in enumerate(ROWS):
                stream.send(json.dumps({"input": row, "step": step, "id": step, "score": True}))
            replies = [json.loads(stream.recv(timeout=60)) for _ in ROWS]
            assert [(reply["output"], reply["score"]) for reply in replies] == answers
