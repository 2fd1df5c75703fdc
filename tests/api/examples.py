"""The examples of `openapi/examples`: played against a running service, and recorded from one.

An example is a list of exchanges, whose bodies are JSON documents, lines of them, or `text`. The service answers as
written, but for what it makes up and how it words details; where a later request has a made-up text of an earlier
answer, it sends what the service really said. Recording keeps the requests and made-up texts, and writes down the rest
of the answers: `python -m tests.api.examples URL [NAME ...]`, on a service without sessions and models for each one.
"""

import asyncio
import json
import sys
from collections.abc import Collection
from functools import reduce
from itertools import zip_longest
from pathlib import Path
from typing import Any

import httpx

from cellar.wire.json import lines

FOLDER = Path(__file__).parents[2] / "openapi" / "examples"

MADE_UP = {
    "position",
    "began",
    "created",
    "expires",
    "started",
    "ended",
    "taken",
    "moved",
    "redis_version",
    "version",
    "durability",
    "id",
    "key",
    "revoked",
    "ticket",
    "build",
}
"""Members whose text differs from one run, machine or release to the next."""

HEADERS = ("location", "idempotent-replayed", "retry-after", "allow")
"""Those that an example shows."""


def load() -> dict[str, dict[str, Any]]:
    """Return the examples by name, in order."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


async def play(client: httpx.AsyncClient, request: dict[str, Any], said: dict[str, str]) -> dict[str, Any]:
    """Send a request and return the answer in the form of the examples."""
    body: dict[str, Any] = {"json": replace(request.get("body"), said)}
    if "lines" in request:
        body = {"content": "".join(json.dumps(line) + "\n" for line in replace(request["lines"], said))}
    if "text" in request:
        body = {"content": request["text"]}
    path = reduce(lambda path, text: path.replace(text, said[text]), said, request["path"])
    answer = await client.request(request["method"], path, headers=request.get("headers"), **body)
    shown = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
    if shown.get("location", "").startswith("/v1/keys/"):  # it ends with a made-up id, which the body has
        del shown["location"]
    return {
        "status": answer.status_code,
        **({"headers": shown} if shown else {}),
        **_content(answer),
    }


def _content(answer: httpx.Response) -> dict[str, Any]:
    """Return the body of an answer, or its lines where it has many documents."""
    if answer.headers.get("content-type") == lines.MEDIA_TYPE:
        return {"lines": [json.loads(line) for line in answer.content.splitlines()]}
    return {"body": answer.json()} if answer.content else {}


def replace(value: Any, said: dict[str, str]) -> Any:
    """Return the value with every made-up text of an example replaced by what the service said instead."""
    if isinstance(value, dict):
        return {name: replace(member, said) for name, member in value.items()}
    if isinstance(value, list):
        return [replace(item, said) for item in value]
    return said.get(value, value) if isinstance(value, str) else value


def learn(example: Any, real: Any, said: dict[str, str]) -> None:
    """Note what the service said for the made-up texts of the example."""
    if isinstance(example, dict) and isinstance(real, dict):
        for name in example.keys() & real.keys():
            if name in MADE_UP and isinstance(example[name], str) and isinstance(real[name], str):
                said[example[name]] = real[name]
            learn(example[name], real[name], said)
    elif isinstance(example, list) and isinstance(real, list):
        for one, other in zip(example, real, strict=False):
            learn(one, other, said)


def plain(value: Any) -> Any:
    """Return the value without what may differ: made-up texts are empty, details are only there."""
    if isinstance(value, dict):
        loose = {name: "" for name in value if name in MADE_UP | {"detail"} and isinstance(value[name], str)}
        return {name: plain(member) for name, member in value.items()} | loose
    return [plain(item) for item in value] if isinstance(value, list) else value


def keep_made_up(example: Any, real: Any) -> Any:
    """Return a real answer with the made-up texts of the example."""
    if isinstance(example, dict) and isinstance(real, dict):
        return {
            name: example[name]
            if name in MADE_UP and isinstance(example.get(name), str) and isinstance(member, str)
            else keep_made_up(example.get(name), member)
            for name, member in real.items()
        }
    if isinstance(example, list) and isinstance(real, list):
        return [keep_made_up(one, other) for one, other in zip_longest(example[: len(real)], real)]
    return real


async def record(url: str, names: Collection[str]) -> None:
    """Write down what the service answers to the requests of these examples, or of all."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        for name, example in load().items():
            if names and name not in names:
                continue
            said: dict[str, str] = {}
            for exchange in example["exchanges"]:
                answer = await play(client, exchange["request"], said)
                learn(exchange.get("response"), answer, said)
                exchange["response"] = keep_made_up(exchange.get("response"), answer)
            (FOLDER / f"{name}.json").write_text(json.dumps(example, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1], sys.argv[2:]))
