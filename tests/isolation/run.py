"""A run: one tenant owns things of every kind, and another asks for them by their names.

python -m tests.isolation.run --count 100000

A probe is answered exactly as a request for a thing that does not exist, and at the end the owner has what it had.
"""

import argparse
import asyncio
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cellar.embedded.binary import find_binaries
from cellar.keys.administration import KeyAdministration
from cellar.keys.pepper import Pepper
from cellar.ports import SCOPES
from cellar.ports.clock import SystemClock
from cellar.store.catalogue.keys import RedisKeys
from cellar.store.topology.factory import sync_client
from tests.e2e.replica import environment, serving
from tests.isolation.owner import MODEL, Owner
from tests.isolation.probes import Probe, Probes
from tests.redis_process import RedisProcess

PEPPER = "the pepper of tests"
INTRUDER = "intruder"
"""The tenant that sends the probes."""
AT_ONCE = 16
ANSWER_S = 60.0
VARYING = ("date", "content-length", "request-id", "x-request-id", "cellar-request-id", "server-timing")
"""Headers that differ between two answers to the same request, or with the length of a name."""
MADE = re.compile(r'"(?:deletion|created|ended|expires)": ?(?:"[^"]*"|null|[0-9.]+)')
"""Members that differ between two answers to the same request."""


@dataclass(frozen=True)
class Answer:
    """An answer without what differs between two answers to the same request."""

    status: int
    headers: frozenset[tuple[str, str]]
    body: str


class Intruder:
    """Sends probes with a key of another tenant."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._headers = url, {"authorization": f"Bearer {key}"}
        self.http = httpx.AsyncClient(base_url=url, headers=self._headers, timeout=None)

    async def answer(self, probe: Probe) -> Answer:
        """Return the answer without the names of the probe. One that does not end is an answer too."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await (self._socket(probe) if probe.is_socket else self._http_answer(probe))
        except TimeoutError:
            return Answer(0, frozenset(), "the answer does not end")

    async def _http_answer(self, probe: Probe) -> Answer:
        found = await self.http.request(
            probe.method, probe.path, params=probe.params, headers=probe.headers, content=probe.content or None
        )
        headers = frozenset((name, probe.plain(value)) for name, value in found.headers.items() if name not in VARYING)
        return Answer(found.status_code, headers, MADE.sub("", probe.plain(found.content.decode(errors="replace"))))

    async def _socket(self, probe: Probe) -> Answer:
        """Return what a WebSocket answers to one message, after its greeting."""
        address = f"{self._url.replace('http', 'ws', 1)}{probe.path}?{urlencode(probe.params)}"
        try:
            async with connect(address, additional_headers=self._headers) as socket:
                await socket.send(probe.content.decode())
                messages = [str(await socket.recv())]  # the greeting, or the problem
                if '"type"' not in messages[0]:
                    messages.append(str(await socket.recv()))
            return Answer(101, frozenset(), probe.plain("\n".join(messages)))
        except ConnectionClosed as closed:
            end = closed.rcvd
            return Answer(end.code if end else 0, frozenset(), probe.plain(end.reason if end else ""))
        except InvalidStatus as refused:
            return Answer(refused.response.status_code, frozenset(), probe.plain(refused.response.body.decode()))


@dataclass
class Report:
    """What probes have found."""

    statuses: Counter[str]
    found: list[str]
    lasted_s: float = 0.0

    def lines(self) -> Iterator[str]:
        """Yield the lines that a run prints."""
        yield f"{sum(self.statuses.values())} probes in {self.lasted_s:.0f} s, {len(self.found)} answered"
        yield from (f"{count:8} {what}" for what, count in sorted(self.statuses.items()))
        yield from self.found[:20]


async def probe_all(intruders: Sequence[Intruder], probes: Iterator[Probe], report: Report, ids: Sequence[str]) -> None:
    """Send probes, each with its twin, and report those whose answers differ or name a thing that was not asked for."""

    async def work() -> None:
        for probe in probes:
            intruder = intruders[sum(report.statuses.values()) % len(intruders)]
            answer, expected = await intruder.answer(probe), await intruder.answer(probe.twin())
            kind = "socket" if probe.is_socket else probe.method
            report.statuses[f"{kind} {answer.status}"] += 1
            leaked = [name for name in ids if name in answer.body]
            if answer != expected or leaked:
                told = f"names {leaked}" if leaked else f"{answer} instead of {expected}"
                report.found.append(f"{kind} {probe.path} {probe.params}: {told}")

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def carry_out(url: str, administration: KeyAdministration, count: int, seed: int) -> Report:
    """Make what is owned, probe, and check that the owner has what it had."""
    keys = {scope: administration.create(INTRUDER, "", [scope]).text for scope in SCOPES}
    report, started = Report(Counter(), []), time.monotonic()
    owner_key = administration.create("owner", "", ["admin"]).text
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {owner_key}"}, timeout=60) as http:
        await asyncio.to_thread(_wait_for_key, http)
        owner = Owner(http, secrets.token_hex(8))
        owned = await asyncio.to_thread(owner.make)
        before = await asyncio.to_thread(owner.read)
        intruders = [Intruder(url, keys[scope]) for scope in (*SCOPES, "admin", "admin", "admin")]
        await _prepare(intruders[-1].http)
        probes = islice(Probes(owned, "own", "own-model", "own-data", seed), count)
        await probe_all(intruders, iter(probes), report, [*owned.ids])
        after = await asyncio.to_thread(owner.read)
    report.found += [f"changed: {path}" for path in before if MADE.sub("", before[path]) != MADE.sub("", after[path])]
    report.lasted_s = time.monotonic() - started
    for intruder in intruders:
        await intruder.http.aclose()
    return report


def _wait_for_key(http: httpx.Client) -> None:
    """Wait until the service knows the keys."""
    end_s = time.monotonic() + 30
    while http.get("/v1/models").status_code != 200:
        assert time.monotonic() < end_s, "the service does not know the key"
        time.sleep(0.05)


async def _prepare(http: httpx.AsyncClient) -> None:
    """Make the dataset, the model and the session that the asking tenant owns."""
    kept = await http.post("/v1/datasets?name=own-data", content=b"a\n1\n2\n3\n", headers={"content-type": "text/csv"})
    assert kept.is_success, kept.text
    for path, body in (
        ("/v1/models", {"name": "own-model", "network": MODEL}),
        ("/v1/sessions", {"session": "own", "model": "own-model", "log": 9, "history": 4}),
    ):
        made = await http.post(path, json=body)
        assert made.is_success, made.text


def main() -> None:
    """Run with a Redis and a service of two processes of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    redis = RedisProcess(list(find_binaries())[-1].path)
    redis.start()
    try:
        settings = environment(
            redis_url=redis.url, authentication="keys", key_pepper=PEPPER, processes="2", worker="false"
        )
        keys = KeyAdministration(RedisKeys(sync_client(redis.url), "cellar"), Pepper(PEPPER), SystemClock())
        with serving(settings) as service:
            report = asyncio.run(carry_out(service.url, keys, given.count, given.seed))
    finally:
        redis.close()
    print("\n".join(report.lines()))
    raise SystemExit(bool(report.found))


if __name__ == "__main__":
    main()
