"""A server with FastAPI, PyTorch and Redis: `python -m benchmarks.peers.torch_redis SOCKET`.

It reads the state of a session from Redis, steps it and writes it back, without protection against lost or doubled
steps. `BENCHMARK_WEIGHTS` names the weights, `BENCHMARK_REDIS` the socket of Redis.
"""

import os
import socket
import sys
from typing import Any

import numpy as np
import orjson
import torch
from fastapi import FastAPI, Response
from pydantic import BaseModel
from redis.asyncio import Redis
from torch import nn

from benchmarks.serving.baselines import serve


class Step(BaseModel):
    """The body of a request."""

    input: list[float]


def load_cell(path: str) -> Any:
    """Return an `nn.LSTMCell` with the weights in an .npz file, by PyTorch's names."""
    weights = np.load(path)
    cell = nn.LSTMCell(weights["weight_ih"].shape[1], weights["weight_hh"].shape[1])
    cell.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
    return cell.eval()


def create_app(cell: Any, redis: "Redis") -> FastAPI:
    """Return the application."""
    app = FastAPI()
    start = np.zeros((2, 1, cell.hidden_size), np.float32).tobytes()

    @app.post("/v1/sessions/{session}/step")
    async def step(session: str, body: Step) -> Response:
        key = f"state:{session}"
        saved: Any = await redis.get(key) or start
        state = torch.frombuffer(bytearray(saved), dtype=torch.float32).view(2, 1, -1)
        with torch.inference_mode():
            h, c = cell(torch.tensor([body.input]), (state[0], state[1]))
        await redis.set(key, torch.stack((h, c)).numpy().tobytes())
        return Response(orjson.dumps({"output": h[0].tolist()}), media_type="application/json")

    return app


if __name__ == "__main__":
    torch.set_num_threads(1)
    client = Redis(unix_socket_path=os.environ["BENCHMARK_REDIS"])
    serve(create_app(load_cell(os.environ["BENCHMARK_WEIGHTS"]), client), socket.socket(fileno=int(sys.argv[1])))
