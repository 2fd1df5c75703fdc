"""Measures what a session keeps for its Idempotency-Keys, and checks that repeated requests are not applied again."""

from collections.abc import Sequence

import httpx

from benchmarks.scaling.scene import Row, Scene
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import READY_S, create_sessions
from benchmarks.serving.copies import PREFIX, TENANT
from benchmarks.serving.http import post
from benchmarks.serving.model import CASE
from cellar.ports import SessionKey
from cellar.store.keys import SessionKeys
from cellar.store.sessions.keyed_answer import MOST_ANSWERS

SESSION = "keyed"

COUNTS = (200, 4_000, 8_000)
"""Requests after which it is measured. From some 6,000 on, a session forgets a key for each new one."""

LIMIT_KB = 97.0
"""The memory that 200 requests took when all of a day were kept. No session may take more, however many it has."""

REPEATED, OLDER = 20, 1_000
"""Requests of each kind that are repeated, and how many other requests came after the older ones."""

BODY = {"input": CASE.in_size * [0.5]}


def measure(scene: Scene) -> Row:
    """Step one session with a new key in each request, and repeat some requests after each count."""
    create_sessions(scene.cellar, [SESSION])
    lines, bars, sent = [], [], 0
    with httpx.Client(base_url=scene.cellar.url, timeout=READY_S) as client:
        for count in COUNTS:
            cpu_us = scene.send([_keyed(number) for number in range(sent, count)])
            sent = count
            kept_kb = _kept_bytes(scene) / 1e3
            lines.append(f"idempotency: {count:,} requests with a key: {kept_kb:.1f} KB, {cpu_us:.1f} us of CPU each")
            bars.append(Bar(f"idempotency_{count}_kb", kept_kb, LIMIT_KB, at_most=True, means="kept for keys"))
            _repeat(client, range(count - MOST_ANSWERS // 2, count)[-REPEATED:], httpx.codes.OK)
            if count > OLDER:
                _repeat(client, range(count - OLDER, count)[:REPEATED], httpx.codes.CONFLICT)
        step = client.get(f"/v1/sessions/{SESSION}").raise_for_status().json()["step"]
    bars.append(Bar("idempotency_twice", step - sent, 0, at_most=True, means="repeated requests that were applied"))
    return Row(lines, bars)


def _keyed(number: int) -> bytes:
    """Return the request for a step with a key of its own."""
    head, body = post(f"/v1/sessions/{SESSION}/step", BODY).split(b"\r\n\r\n")
    return b"%b\r\nIdempotency-Key: request-%d\r\n\r\n%b" % (head, number, body)


def _repeat(client: httpx.Client, numbers: Sequence[int], status: int) -> None:
    """Send requests again, and check that the last ones get their answers, and earlier ones the error for them."""
    for number in numbers:
        headers = {"Idempotency-Key": f"request-{number}"}
        answer = client.post(f"/v1/sessions/{SESSION}/step", json=BODY, headers=headers)
        assert answer.status_code == status, answer.text
        if status == httpx.codes.OK:
            assert answer.headers["Idempotent-Replayed"] == "true", answer.text
        else:
            assert answer.json()["type"].endswith(":replay_expired"), answer.text


def _kept_bytes(scene: Scene) -> int:
    """Return the memory of all keys of the store that the session has for its Idempotency-Keys, bytes."""
    answers = SessionKeys(PREFIX).answers(SessionKey(TENANT, SESSION))
    with scene.redis.client() as client:
        kept = client.scan_iter(answers + b"*", count=10_000)
        return sum(int(client.memory_usage(name, samples=0) or 0) for name in kept)
