"""What things may be called, and that all who read names agree on it."""

import json
import random
import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from benchmarks.frames import pack_steps, unpack_answers
from cellar.ports import MODEL_NAME, NAME, SNAPSHOT_NAME, is_name, is_prefix
from cellar.settings import Settings
from cellar.wire.arrays import npy
from cellar.wire.frames import frames
from tests.api.conftest import with_own_keys
from tests.api.connections import Connection, connected, request, step
from tests.api.websocket.conftest import Served, serving
from tests.device_names import ALLOWED, REFUSED, some_names

pytestmark = pytest.mark.anyio

DOTS = (".", "..")
LINES = {"content-type": "application/x-ndjson"}
DEVICES = (
    *("aa:bb:cc:dd:ee:ff", "site/1/temp", "user@x", "urn:dev:mac:0024befffe804ff1", "a b", " ", "{}", "a}:t", "%2F"),
    *("a%2Fb", '"a"', "a\\b", "a?b#c", "a&b=c+d;e", "~", "../..", "a/", "温度", "😀" * 64, "a" * 256, "\ufffd"),
)
FRAMES = {"content-type": frames.MEDIA_TYPE, "accept": frames.MEDIA_TYPE}
INPUT = np.ones((1, 1, 2), np.float32)


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server that the tests of this file share."""
    async with serving(with_own_keys(settings)) as served:
        yield served


@pytest.mark.parametrize("name", ALLOWED)
def test_names(name: str) -> None:
    assert is_name(name)
    assert is_prefix(name)
    assert re.fullmatch(NAME, name)


@pytest.mark.parametrize("name", REFUSED)
def test_no_names(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize("name", ["a", "a.", ".a", "...", "a.b", "-", "_", "a:b", ":", "a" * 128, "." * 128])
def test_names_of_models_and_snapshots(name: str) -> None:
    assert re.fullmatch(SNAPSHOT_NAME, name)
    assert (re.fullmatch(MODEL_NAME, name) is not None) is (":" not in name)


@pytest.mark.parametrize("name", ["", *DOTS, "a" * 129, "a b", "a/b", "ä", "a@1", "{a}", "a\n", "%2e"])
def test_no_names_of_models_and_snapshots(name: str) -> None:
    assert not re.fullmatch(SNAPSHOT_NAME, name)
    assert not re.fullmatch(MODEL_NAME, name)


@pytest.mark.parametrize("name", DOTS)
async def test_nothing_is_called_by_dots(served: Served, name: str) -> None:
    """It could be made, and then neither be reached nor be deleted."""
    session = await served.begin()
    network = {"in_size": 1, "layers": [{"type": "dense", "out_size": 1}]}
    for path, body, pointer in (
        ("/v1/sessions", {"session": name, "model": "gru"}, "/session"),
        ("/v1/models", {"name": name, "network": network}, "/name"),
        ("/v1/jobs", {"model": name, "data": {"inputs": [1], "targets": [1], "layout": "T"}}, "/model"),
        (f"/v1/sessions/{session}/snapshots", {"snapshot": name}, "/snapshot"),
        (f"/v1/sessions/{session}/fork", {"names": [name]}, "/names/0"),
    ):
        answer = await served.http.post(path, json=body)
        assert (answer.status_code, answer.json()["pointer"]) == (422, pointer)
        assert "and not . or .." in answer.json()["expected"]
    answer = await served.http.post("/v1/steps", json={"session": name, "input": [1, 2]}, headers=LINES)
    assert answer.json()["pointer"] == "/session"
    async with connected(served) as client:
        for _ in range(2):
            client.writer.write(request(name, step(1, 2)))
            answered = await client.answer()
            assert (answered.status, answered.body["parameter"]) == (422, "session")


@pytest.mark.parametrize("name", [name for name in REFUSED if name and name not in DOTS and len(name) < 1000])
async def test_what_is_no_name_is_refused_at_every_door(served: Served, name: str) -> None:
    session = await served.begin()
    content = {"content-type": "application/json"}
    for path, members in (
        ("/v1/sessions", {"session": name, "model": "gru"}),
        (f"/v1/sessions/{session}/fork", {"names": [name]}),
        (f"/v1/sessions/{session}/step", {"input": [1, 2], "writer": name, "seq": 1}),
    ):
        answer = await served.http.post(path, content=json.dumps(members), headers=content)
        assert answer.status_code == 422, answer.text
        assert answer.json()["type"] == "urn:cellar:problem:invalid_input"
        assert answer.json()["pointer"] in ("/session", "/names/0", "/writer")
    line = json.dumps({"session": name, "input": [1, 2]})
    problem = (await served.http.post("/v1/steps", content=line, headers=LINES)).json()
    assert (problem["status"], problem["pointer"]) == (422, "/session")
    if not re.search("[\ud800-\udfff]", name):
        frame = pack_steps([frames.Step(name, INPUT), frames.Step(session, INPUT, writer=name, seq=1)])
        reply = await served.http.post("/v1/steps", content=frame, headers=FRAMES)
        assert [answer.status for answer in unpack_answers(reply.content)] == [422, 422]
    async with served.stream(session) as stream:
        await stream.receive()
        assert (await stream.ask(input=[1, 2], writer=name, seq=1))["problem"]["status"] == 422


# --- every way to a session -----------------------------------------------------------------------------------------


class Doors:
    """All ways to the session of a name, each of which takes one step."""

    def __init__(self, served: Served, fast: Connection, name: str) -> None:
        self.served = served
        self.http: httpx.AsyncClient = served.http
        self.fast = fast
        self.name = name
        self.segment = quote(name, safe="")
        self.path = f"/v1/sessions/{self.segment}"
        self.incarnation = ""
        self.steps = 0

    async def check(self) -> None:
        """Go through all of them."""
        made = await self.http.post("/v1/sessions", json={"model": "gru", "session": self.name, "events": 9, "log": 99})
        assert (made.status_code, made.json()["session"]) == (201, self.name), made.text
        self.incarnation = made.json()["position"].partition(".")[0]
        there = await self.http.get(made.headers["location"])
        assert (there.status_code, there.json()["session"]) == (200, self.name)
        await self._over_http()
        await self._in_bulk()
        await self._over_streams()
        await self._beside()
        assert (await self.http.get(self.path)).json()["step"] == self.steps
        assert (await self.http.delete(self.path)).status_code == 204
        assert (await self.http.get(self.path)).status_code == 404

    def _next(self) -> int:
        self.steps += 1
        return self.steps

    async def _over_http(self) -> None:
        for segment in (self.segment, quote(self.name, safe=":@!$&'()*+,;=~"), self.segment, self.segment.lower()):
            encoded = (
                segment if segment != self.segment.lower() else re.sub("%..", lambda at: at[0].lower(), self.segment)
            )
            self.fast.writer.write(request(encoded, step(1, 2)))
            answer = await self.fast.answer()
            assert (answer.status, answer.body.get("step")) == (200, self._next()), answer
        for headers in ({"x-more": "1"}, {"idempotency-key": "k"}, {}):
            answered = await self.http.post(f"{self.path}/step", json={"input": [1, 2]}, headers=headers)
            assert answered.json().get("step") == self._next(), answered.text
        written = {"writer": self.name, "seq": "1"}
        content = npy.header((1, 2)) + INPUT[0].tobytes()
        answered = await self.http.post(
            f"{self.path}/step", content=content, params=written, headers={"content-type": npy.MEDIA_TYPE}
        )
        assert answered.json().get("step") == self._next(), answered.text
        writer = await self.http.get(f"{self.path}/writers/{self.segment}")
        assert (writer.json()["writer"], writer.json()["seq"]) == (self.name, 1)

    async def _in_bulk(self) -> None:
        line = {"session": self.name, "input": [1, 2], "writer": self.name, "seq": 2}
        answer = await self.http.post("/v1/steps", json=line, headers=LINES)
        assert (answer.json().get("session"), answer.json().get("step")) == (self.name, self._next())
        records = [frames.Step(self.name, INPUT, tag=tag) for tag in range(5)]
        for frame in (records[:1], records, [records[0]._replace(writer=self.name, seq=3)]):
            reply = await self.http.post("/v1/steps", content=pack_steps(frame), headers=FRAMES)
            for answered in unpack_answers(reply.content):
                assert answered.position is not None, answered
                assert answered.position.step == self._next()

    async def _over_streams(self) -> None:
        async with self.served.stream(self.segment) as stream:
            assert (await stream.receive())["step"] == self.steps
            assert (await stream.ask(input=[1, 2]))["step"] == self._next()
            assert (await stream.ask(input=[1, 2], session=self.name, writer=self.name, seq=4))["step"] == self._next()
        async with self.served.stream() as stream:
            await stream.receive()
            answer = await stream.ask(input=[1, 2], session=self.name, id=7)
            assert (answer["step"], answer["session"], answer["id"]) == (self._next(), self.name, 7)
            refused = await stream.ask(input=[1, "\ud800"], session=self.name, id=8)
            assert (refused["problem"]["status"], refused["session"], refused["id"]) == (422, self.name, 8)
        async with self.served.stream() as stream:
            await stream.receive()
            records = [frames.Step(self.name, INPUT, tag=tag) for tag in range(5)]
            for frame in (records[:1], records):
                await stream.send_frame(*frame)
                for answered in await stream.receive_frames(len(frame)):
                    assert answered.position is not None, answered
                    assert answered.position.step == self._next()
        since = {"last-event-id": f"{self.incarnation}-0"}
        async with self.http.stream("GET", f"{self.path}/events", headers=since) as events:
            assert events.status_code == 200
            async for line in events.aiter_lines():
                if line.startswith("id: "):
                    break

    async def _beside(self) -> None:
        """Snapshots, forks, replays, listings and the rest of what belongs to a session."""
        taken = await self.http.post(f"{self.path}/snapshots", json={"snapshot": "noon"})
        assert taken.json()["session"] == self.name
        assert (await self.http.get(taken.headers["location"])).json()["step"] == self.steps
        assert (await self.http.get(f"{self.path}/log", params={"limit": 1})).status_code == 200
        child = f"{self.name}{self.name}" if is_name(f"{self.name}{self.name}") else "a/child"
        forked = await self.http.post(f"{self.path}/fork", json={"names": [child]})
        assert [each["session"] for each in forked.json()["children"]] == [child], forked.text
        assert (await self.http.get(f"/v1/sessions/{quote(child, safe='')}")).json()["session"] == child
        assert (await self.http.delete(f"/v1/sessions/{quote(child, safe='')}")).status_code == 204
        replayed = await self.http.post(f"{self.path}/replay", json={"model": "gru", "session": child})
        assert replayed.status_code == 201, replayed.text
        assert (await self.http.get(replayed.headers["location"])).json()["session"] == child
        assert await self._listed(self.name) >= {name for name in (self.name, child) if name.startswith(self.name)}
        assert (await self.http.delete(f"/v1/sessions/{quote(child, safe='')}")).status_code == 204

    async def _listed(self, prefix: str) -> set[str]:
        found, cursor = set(), ""
        while True:
            page = await self.http.get("/v1/sessions", params={"prefix": prefix, "limit": 1, "cursor": cursor})
            assert page.status_code == 200, page.text
            found |= {each["session"] for each in page.json()["sessions"]}
            cursor = page.json()["cursor"]
            assert re.fullmatch("[A-Za-z0-9._:~-]*", cursor)  # may be pasted into a URL
            if not cursor:
                return found


@pytest.mark.parametrize("name", DEVICES)
async def test_a_session_is_reached_by_every_way(served: Served, name: str) -> None:
    async with connected(served) as fast:
        await Doors(served, fast, name).check()


async def test_a_session_of_any_name_is_reached_by_every_way(served: Served) -> None:
    async with connected(served) as fast:
        for name in some_names(20, seed=8):
            await Doors(served, fast, name).check()


async def test_names_that_look_alike_are_different_sessions(served: Served) -> None:
    names = [*ALLOWED, *some_names(100, seed=9)]
    for number, name in enumerate(dict.fromkeys(names)):
        made = await served.http.post("/v1/sessions", json={"model": "gru", "session": name})
        assert made.status_code == 201, (number, name, made.text)
    for number, name in enumerate(dict.fromkeys(names)):
        answer = await served.http.post(f"/v1/sessions/{quote(name, safe='')}/step", json={"input": [number, 0]})
        assert answer.json().get("step") == 1, (name, answer.text)
    for name in dict.fromkeys(names):
        assert (await served.http.delete(f"/v1/sessions/{quote(name, safe='')}")).status_code == 204


# --- two readers of paths -------------------------------------------------------------------------------------------


def _segments(chance: random.Random) -> str:
    parts = ("%", "%2", "%2F", "%2f", "%41", "%00", "%0A", "%FF", "%C3%A4", "%C0%AF", "%ED%A0%80", "%E2%80%A8", "%25")
    return "".join(chance.choices((*parts, *"ab.:;@/?{}[]|^`~'\"<>$&+,!*()=\\", "a" * 100), k=chance.randint(1, 6)))


async def test_a_step_is_decided_alike_with_and_without_asgi(served: Served) -> None:
    """A header that no plain step has takes the request to ASGI."""
    chance = random.Random(10)
    await served.begin(session="ab")
    segments = ["ab", "%61b", *(_segments(chance) for _ in range(300))]
    async with connected(served) as client:
        found = set()
        for segment in segments:
            answers = []
            for more in ((), (), (b"X-More: 1",), (b"X-More: 1", b"Connection: keep-alive")):
                client.writer.write(request(segment, b"{}", *more))
                answer = await client.answer()
                answers.append((answer.status, answer.body))
            assert all(answer == answers[0] for answer in answers), (segment, answers)
            found.add(answers[0][0])
    assert found >= {400, 404, 422}


@pytest.mark.parametrize("segment", ["%FF", "%C0%AF", "%ED%A0%80", "%F8%80%80%80%80", "%zz", "%", "%2"])
async def test_a_path_is_utf_8(served: Served, segment: str) -> None:
    async with connected(served) as client:
        for method, path in (("GET", f"/v1/sessions/{segment}"), ("GET", f"/v1/models/{segment}")):
            client.writer.write(f"{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            answer = await client.answer()
            assert (answer.status, answer.body["type"]) == (400, "urn:cellar:problem:malformed_request")


async def test_a_query_is_utf_8(served: Served) -> None:
    answer = await served.http.get("/v1/sessions?prefix=%FF&limit=1")
    assert (answer.status_code, answer.json()["parameter"]) == (422, "prefix")
    assert (await served.http.get("/v1/sessions?prefix=%EF%BF%BD")).status_code == 200


async def test_models_are_reached_with_an_encoded_version(served: Served) -> None:
    assert (await served.http.get("/v1/models/gru%401")).status_code == 200
    assert (await served.http.get("/v1/models/g%72u")).status_code == 200
    assert (await served.http.get("/v1/models/g%2Fu")).status_code == 422
