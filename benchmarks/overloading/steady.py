"""A client that sends steps one by one at a low rate: its 99th percentile is what others must not double."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Self

PAUSE_S = 0.005
"""Pause after each answer: the client stays far within its quota."""

GIVE_UP_S = 30.0


def request(session: str, in_size: int, *headers: str) -> bytes:
    """Return a step as bytes."""
    body = json.dumps({"input": [0.1] * in_size})
    lines = [f"POST /v1/sessions/{session}/step HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    return "\r\n".join([*lines, *headers, f"Content-Length: {len(body)}", "", body]).encode()


async def _step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> tuple[bytes, float]:
    """Send a step; return the status and the time of its answer, seconds."""
    began_s = time.perf_counter()
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    await reader.readexactly(length)
    return head[9:12], time.perf_counter() - began_s


async def _times(port: int, data: bytes, seconds: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found, end_s = list[float](), time.monotonic() + seconds
    while time.monotonic() < end_s:
        status, taken_s = await _step(reader, writer, data)
        found.append(taken_s if status == b"200" else GIVE_UP_S)  # a refused step is as bad as a lost one
        await asyncio.sleep(PAUSE_S)
    writer.close()
    return found


@dataclass(frozen=True, slots=True)
class Latency:
    """Quantiles of the times of steps, seconds."""

    p50_s: float
    p99_s: float

    @classmethod
    def of(cls, times_s: list[float]) -> Self:
        """Return the quantiles of these times."""
        ordered = sorted(times_s)
        return cls(ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)])

    def __str__(self) -> str:
        return f"p50 {self.p50_s * 1000:.2f} ms, p99 {self.p99_s * 1000:.2f} ms"


def measure(port: int, data: bytes, seconds: float) -> Latency:
    """Send steps for some time, and return how long they took."""
    return Latency.of(asyncio.run(_times(port, data, seconds)))


async def _until_normal(port: int, data: bytes, most_s: float) -> float:
    began_s, in_a_row = time.monotonic(), 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while in_a_row < 20 and time.monotonic() - began_s < GIVE_UP_S:
        status, taken_s = await _step(reader, writer, data)
        in_a_row = in_a_row + 1 if status == b"200" and taken_s <= most_s else 0
    writer.close()
    return time.monotonic() - began_s


def normal_again_s(port: int, data: bytes, most_s: float) -> float:
    """Return the time until twenty steps in a row took at most `most_s`, seconds."""
    return asyncio.run(_until_normal(port, data, most_s))
