"""A stream of a real service that is stopped, and of the one that comes after it."""

import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.e2e.replica import serving

NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 3}]}


def receive(stream: ClientConnection) -> dict[str, Any]:
    """Return the next message."""
    return dict(json.loads(stream.recv(timeout=20)))


def test_a_service_that_stops_says_where_to_resume_and_another_one_goes_on(shared: dict[str, str]) -> None:
    with serving(shared) as service:
        made = httpx.post(f"{service.url}/v1/models", json={"name": "model", "network": NETWORK}, timeout=60)
        assert made.is_success, made.text
        httpx.post(f"{service.url}/v1/sessions", json={"model": "model", "session": "s"}).raise_for_status()
        with connect(service.url.replace("http", "ws", 1) + "/v1/sessions/s/stream") as stream:
            begin = receive(stream)["position"]
            for seq in (1, 2):
                stream.send(json.dumps({"input": [seq], "writer": "w", "seq": seq}))
            answers = [receive(stream), receive(stream)]
            service.process.terminate()
            assert receive(stream) == {"stopping": {"s": answers[-1]["position"]}}
            with pytest.raises(ConnectionClosed):
                stream.recv(timeout=20)
            assert stream.close_code == 1012
        assert service.process.wait(timeout=30) == 0
    with serving(shared) as service, connect(service.url.replace("http", "ws", 1) + "/v1/stream") as stream:
        receive(stream)
        stream.send(json.dumps({"session": "s", "resume": begin, "writer": "w"}))
        told = [receive(stream), receive(stream)]
        assert [(each["seq"], each["output"]) for each in told] == [
            (seq, answer["output"]) for seq, answer in enumerate(answers, 1)
        ]
        assert receive(stream)["position"] == answers[-1]["position"]
        stream.send(json.dumps({"session": "s", "input": [3], "writer": "w", "seq": 3}))
        assert receive(stream)["step"] == 3
