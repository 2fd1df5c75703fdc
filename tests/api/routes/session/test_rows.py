"""Rows that end, rest or begin anew, in every form of a step: the same outputs, states, and requests."""

import io
import json
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.frames import pack_steps, unpack_answers
from cellar.wire.frames import frames

pytestmark = pytest.mark.anyio

LINES, NPY = "application/x-ndjson", "application/x-npy"
INPUTS = np.random.default_rng(3).standard_normal((4, 3, 2)).astype(np.float32)
NAN = float("nan")

Floats = NDArray[np.float32]


@pytest.fixture(scope="module", autouse=True)
async def models(client: httpx.AsyncClient) -> None:
    """Create a model that is stepped, and one that reads sequences from both ends."""
    gru = {"cell": "gru", "hidden_size": 3}
    for name, layer in (("gru", {"type": "recurrent", **gru}), ("both", {"type": "bidirectional", "layer": gru})):
        network = {"in_size": 2, "layers": [layer]}
        assert (await client.post("/v1/models", json={"name": name, "network": network})).status_code == 201


async def begin(client: httpx.AsyncClient, rows: int = 3, model: str = "gru", **options: Any) -> str:
    """Return the path of a new session."""
    answer = await client.post("/v1/sessions", json={"model": model, "batch_size": rows, **options})
    return str(answer.headers["location"])


def file_of(array: Any) -> bytes:
    """Return an array as an npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


async def posted(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send JSON and return the answer, which is no error."""
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def by_npy(client: httpx.AsyncClient, path: str, inputs: Floats, **query: Any) -> tuple[Floats, str]:
    """Send npy, and return the outputs and the position."""
    headers = {"content-type": NPY, "accept": NPY}
    answer = await client.post(path, content=file_of(inputs), params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content)), answer.headers["cellar-position"]


async def by_line(client: httpx.AsyncClient, line: dict[str, Any]) -> dict[str, Any]:
    """Send a line of a bulk request, and return its answer."""
    answer = await client.post("/v1/steps", content=json.dumps(line) + "\n", headers={"content-type": LINES})
    return dict(json.loads(answer.content))


async def by_frame(client: httpx.AsyncClient, *steps: frames.Step) -> list[frames.Answer]:
    """Send a frame, and return its answers."""
    headers = {"content-type": frames.MEDIA_TYPE}
    answer = await client.post("/v1/steps", content=pack_steps(steps), headers=headers)
    return unpack_answers(answer.content)


async def by_stream(client: httpx.AsyncClient, path: str, content: bytes, kind: str, **query: Any) -> Floats:
    """Send a long sequence in chunks of two steps, and return its outputs."""
    params = {"outputs": "all", "chunk": 2, **query}
    answer = await client.post(
        f"{path}/sequence/stream", content=content, params=params, headers={"content-type": kind}
    )
    found = [json.loads(line) for line in answer.content.splitlines()]
    assert found[-1].get("done"), answer.text
    return numbers([step for line in found[:-1] for step in line["outputs"]])


async def state(client: httpx.AsyncClient, path: str) -> Any:
    """Return the state of a session."""
    return (await client.get(f"{path}/state")).json()["layers"]


def numbers(outputs: Any) -> Floats:
    """Return outputs in JSON as an array, with NaN for null."""
    return np.array(outputs, np.float32)


async def expected(client: httpx.AsyncClient, taken: Sequence[Sequence[int]], resets: set[tuple[int, int]]) -> Any:
    """Return outputs and states of rows that are stepped in sessions of their own, each by its steps."""
    outputs, states = np.full((4, 3, 3), NAN, np.float32), []
    for row, steps in enumerate(taken):
        path = await begin(client, 1)
        for step in steps:
            body = {"input": INPUTS[step, row].tolist(), "reset": (step, row) in resets}
            outputs[step, row] = (await posted(client, f"{path}/step", body))["output"]
        states.append((await state(client, path))[0]["h"][0])
    return outputs, states


@pytest.fixture
async def lengths(client: httpx.AsyncClient) -> Any:
    """Return outputs and states of rows of four, one and three steps, the third of which begins anew at its third."""
    return await expected(client, [[0, 1, 2, 3], [0], [0, 1, 2]], {(2, 2)})


RESET = [[False] * 3, [False] * 3, [False, True, True], [False]]
"""The second row has ended before its reset."""

PADDED = np.where((np.arange(4)[:, None] < [4, 1, 3])[..., None], INPUTS, np.float32(NAN))


async def test_lengths_in_every_form(client: httpx.AsyncClient, lengths: Any) -> None:
    about = {"lengths": [4, 1, 3], "reset": RESET, "step": 0}
    paths = [await begin(client) for _ in range(8)]
    body = {"inputs": INPUTS.tolist(), **about}
    found = [numbers((await posted(client, f"{paths[0]}/sequence", body))["outputs"])]
    query = {"lengths": "4,1,3", "reset": "000,000,011,0", "step": 0}
    found.append((await by_npy(client, f"{paths[1]}/sequence", PADDED, **query))[0])
    found.append(numbers((await by_line(client, {"session": paths[2].split("/")[-1], **body}))["outputs"]))
    flags = np.zeros((4, 3), np.uint8)
    flags[1:, 1] = flags[3, 2] = 2
    flags[2, 2] = 1
    one = frames.Step(paths[3].split("/")[-1], PADDED, sequence=True, step=0, row_flags=flags.tobytes())
    (answer,) = await by_frame(client, one)
    assert answer.outputs is not None
    found.append(np.array(answer.outputs))
    line = {"inputs": INPUTS.tolist(), "lengths": [4, 1, 3], "reset": RESET}
    found.append(await by_stream(client, paths[4], json.dumps(line).encode(), LINES))
    query = {"lengths": "4,1,3", "reset": "000,000,011,0"}
    found.append(await by_stream(client, paths[5], file_of(PADDED), NPY, **query))
    null = [
        {"input": [*INPUTS[0].tolist()]},
        {"input": [INPUTS[1, 0].tolist(), None, INPUTS[1, 2].tolist()]},
        {"input": INPUTS[2, [0, 2]].tolist(), "rows": [0, 2], "reset": [False, True]},
        {"input": INPUTS[3, :1].tolist(), "rows": [0]},
    ]
    found.append(await by_stream(client, paths[6], "\n".join(map(json.dumps, null)).encode(), LINES))
    found.append(await by_stream(client, paths[7], "\n".join(map(json.dumps, null)).encode(), LINES, commit="all"))
    for each in found:
        assert each.tobytes() == lengths[0].tobytes()
    for path in paths:
        assert (await state(client, path))[0]["h"] == lengths[1]


async def test_lengths_of_a_long_npy_file(client: httpx.AsyncClient) -> None:
    outputs, states = await expected(client, [[0, 1, 2, 3], [0], [0, 1, 2]], set())
    for commit in ("chunk", "all"):
        path = await begin(client)
        position = (await client.get(path)).json()["position"]
        query = {"lengths": "4,1,3", "commit": commit, "position": position}
        found = await by_stream(client, path, file_of(PADDED), NPY, **query)
        assert found.tobytes() == outputs.tobytes()
        assert (await state(client, path))[0]["h"] == states
        again = await client.post(
            f"{path}/sequence/stream", content=file_of(PADDED), params=query, headers={"content-type": NPY}
        )
        assert json.loads(again.content.splitlines()[-1])["replayed"]
        assert (await client.get(path)).json()["step"] == 4


async def test_rows_that_rest_in_every_form(client: httpx.AsyncClient) -> None:
    outputs, states = await expected(client, [[0, 2], [1], [0, 1, 2]], set())
    taken = [[0, 2], [1, 2], [0, 2]]
    paths = [await begin(client) for _ in range(6)]
    nulls = [
        [INPUTS[step, row].tolist() if row in rows else None for row in range(3)] for step, rows in enumerate(taken)
    ]
    for path, named in zip(paths, (False, True, False, False, False, False), strict=True):
        found = []
        for step, rows in enumerate(taken):
            name = path.split("/")[-1]
            some = np.ascontiguousarray(INPUTS[step, rows])
            body = {"input": some.tolist(), "rows": rows} if named else {"input": nulls[step]}
            if path == paths[2]:
                output, _ = await by_npy(client, f"{path}/step", some, rows=",".join(map(str, rows)), step=step)
                found.append(output)
            elif path == paths[3]:
                (framed,) = await by_frame(client, frames.Step(name, some[None], step=step, numbers=rows))
                assert framed.outputs is not None
                found.append(framed.outputs[0])
            elif path == paths[4]:
                found.append(numbers((await by_line(client, {"session": name, "step": step, **body}))["output"])[rows])
            elif path == paths[5]:
                flags = bytes(0 if row in rows else 2 for row in range(3))
                one = frames.Step(name, INPUTS[step : step + 1], step=step, row_flags=flags)
                (framed,) = await by_frame(client, one)
                assert framed.outputs is not None
                found.append(framed.outputs[0][rows])
            else:
                output = numbers((await posted(client, f"{path}/step", {"step": step, **body}))["output"])
                found.append(output if named else output[rows])
        assert [each.tobytes() for each in found] == [outputs[step, rows].tobytes() for step, rows in enumerate(taken)]
        assert (await state(client, path))[0]["h"] == states
    whole = await begin(client)
    answer = await posted(client, f"{whole}/sequence", {"inputs": nulls})
    assert numbers(answer["outputs"]).tobytes() == outputs[:3].tobytes()
    by_rows = await begin(client)
    answer = await posted(
        client,
        f"{by_rows}/sequence",
        {"inputs": [[n[r] for n in nulls] for r in (2, 0, 1)], "layout": "BTF", "rows": [2, 0, 1]},
    )
    assert numbers(answer["outputs"]).transpose(1, 0, 2)[:, [1, 2, 0]].tobytes() == outputs[:3].tobytes()


async def test_a_repetition_is_answered_alike_and_another_body_is_refused(client: httpx.AsyncClient) -> None:
    bodies: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("step", {"input": [INPUTS[0, 0].tolist(), None, INPUTS[0, 2].tolist()]}, {"input": INPUTS[0].tolist()}),
        (
            "step",
            {"input": INPUTS[0, [2, 0]].tolist(), "rows": [2, 0]},
            {"input": INPUTS[0, [2, 0]].tolist(), "rows": [2, 1]},
        ),
        (
            "sequence",
            {"inputs": INPUTS.tolist(), "lengths": [4, 1, 2]},
            {"inputs": INPUTS.tolist(), "lengths": [4, 1, 3]},
        ),
        (
            "sequence",
            {"inputs": INPUTS.tolist(), "reset": [[False], [True], [False], [False]]},
            {"inputs": INPUTS.tolist(), "reset": True},
        ),
    ]
    for route, body, other in bodies:
        identities: list[dict[str, Any]] = [{"step": 0}, {"writer": "w", "seq": 1}, {}]
        for identity in identities:
            path = await begin(client, log=10)
            headers = {} if identity else {"idempotency-key": "k"}
            first, again, third = [
                await client.post(f"{path}/{route}", json={**each, **identity}, headers=headers)
                for each in (body, body, other)
            ]
            assert first.status_code == 200, first.text
            assert again.headers["idempotent-replayed"] == "true"
            assert again.json() == first.json()
            assert third.status_code in (409, 422)
            assert (await client.get(path)).json()["position"] == first.json()["position"]


async def test_the_log_has_the_rows_and_a_replay_the_same_bits(client: httpx.AsyncClient) -> None:
    path = await begin(client, log=10, events=10, history=2)
    await posted(client, f"{path}/sequence", {"inputs": INPUTS.tolist(), "lengths": [4, 1, 3], "reset": RESET})
    last = await posted(client, f"{path}/step", {"input": [INPUTS[0, 1].tolist()], "rows": [1], "reset": [True]})
    entries = (await client.get(f"{path}/log")).json()["entries"]
    assert entries[1]["inputs"][1][1] == [None, None]
    assert entries[1]["reset"] == [[False] * 3, [False] * 3, [False, False, True], [False] * 3]
    assert entries[2]["inputs"] == [[[None] * 2, INPUTS[0, 1].tolist(), [None] * 2]]
    assert entries[2]["reset"] == [False, True, False]
    now = await state(client, path)
    replay = await client.post(f"{path}/replay", json={"model": "gru", "session": f"{path.split('/')[-1]}-again"})
    assert replay.status_code in (200, 201), replay.text
    assert await state(client, f"{path}-again") == now
    migrated = await client.post(f"{path}/migrate", json={"model": "gru", "how": "replay"})
    assert migrated.status_code == 200, migrated.text
    assert await state(client, path) == now
    assert (
        last["output"]
        == (await posted(client, f"{await begin(client, 1)}/step", {"input": [INPUTS[0, 1].tolist()]}))["output"]
    )


async def test_rows_of_networks_that_read_from_both_ends(client: httpx.AsyncClient) -> None:
    path = await begin(client, model="both")
    body = {"inputs": INPUTS.tolist(), "lengths": [4, 1, 3], "reset": [[False], [False, False, True], [True], [False]]}
    outputs = numbers((await posted(client, f"{path}/sequence", body))["outputs"])
    for row, parts in enumerate([[(0, 2), (2, 4)], [(0, 1)], [(0, 1), (1, 2), (2, 3)]]):
        for start, end in parts:
            single = await begin(client, 1, model="both")
            its = await posted(client, f"{single}/sequence", {"inputs": INPUTS[start:end, row].tolist()})
            assert numbers(its["outputs"]).tobytes() == outputs[start:end, row].tobytes()


@pytest.mark.parametrize(
    ("route", "body", "pointer"),
    [
        ("step", {"input": [[1, 2]], "rows": [3]}, "/rows/0"),
        ("step", {"input": [[1, 2], [1, 2]], "rows": [0, 0]}, "/rows/1"),
        ("step", {"input": [[1, 2]], "rows": [-1]}, "/rows/0"),
        ("step", {"input": [[1, 2]], "rows": []}, "/rows"),
        ("step", {"input": [[1, 2]], "rows": "0"}, "/rows"),
        ("step", {"input": [[1, 2]], "rows": [0.5]}, "/rows/0"),
        ("step", {"input": [[1, 2]], "rows": [True]}, "/rows/0"),
        ("step", {"input": [[1, 2]], "rows": [0, 1]}, "/input"),
        ("step", {"input": [[1, 2, 3]], "rows": [0]}, "/input"),
        ("step", {"input": [[1, 2], None]}, "/input"),
        ("step", {"input": [[1, 2], None, [1, None]]}, "/input/2/1"),
        ("step", {"input": [None, None, None]}, "/input/0"),
        ("step", {"input": [[1, 2], None, [1]]}, "/input/2"),
        ("step", {"input": [[1, 2], None, [1, 2]], "reset": [False, True, False]}, "/reset"),
        ("step", {"input": [[1, 2]], "rows": [0], "reset": [True, False, False]}, "/reset"),
        ("step", {"input": [[1, 2]] * 3, "reset": [[True]]}, "/reset/0"),
        ("step", {"input": [[1, 2]] * 3, "lengths": [1, 1, 0]}, "/lengths"),
        ("sequence", {"inputs": [[[1, 2]] * 3], "lengths": [2, 1, 1]}, "/lengths/0"),
        ("sequence", {"inputs": [[[1, 2]] * 3], "lengths": [1, -1, 1]}, "/lengths/1"),
        ("sequence", {"inputs": [[[1, 2]] * 3], "lengths": [1, 1]}, "/lengths"),
        ("sequence", {"inputs": [[[1, 2]] * 3], "lengths": 1}, "/lengths"),
        ("sequence", {"inputs": [[[1, 2]] * 3] * 2, "reset": [[True]]}, "/reset"),
        ("sequence", {"inputs": [[[1, 2]] * 3] * 2, "reset": [[True], [True, True]]}, "/reset/1"),
        ("sequence", {"inputs": [[[1, 2]] * 3] * 2, "reset": [[True], 1]}, "/reset/1"),
        ("sequence", {"inputs": [None, [[1, 2]] * 3]}, "/inputs/0"),
        ("sequence", {"inputs": [[[1], None, [2]], [[2]] * 3], "layout": "TFB"}, "/inputs"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_place(
    client: httpx.AsyncClient, route: str, body: dict[str, Any], pointer: str
) -> None:
    path = await begin(client)
    answer = await client.post(f"{path}/{route}", json=body)
    assert (answer.status_code, answer.json().get("pointer")) == (422, pointer), answer.text
    assert (await client.get(path)).json()["step"] == 0


@pytest.mark.parametrize("first", [None, [0.25] * 64])
async def test_long_bodies_may_have_null_too(client: httpx.AsyncClient, first: Any) -> None:
    network = {"in_size": 64, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 2}]}
    await client.post("/v1/models", json={"name": "wide", "network": network})
    draw = np.random.default_rng(2)
    rows = [draw.standard_normal(64).tolist() if number % 10 else None for number in range(60)]
    rows[0] = first
    found = []
    some = [number for number, row in enumerate(rows) if row is not None]
    for body in ({"input": rows}, {"input": [rows[number] for number in some], "rows": some}):
        path = await begin(client, 60, "wide")
        found.append(numbers((await posted(client, f"{path}/step", body))["output"]))
    assert found[0][some].tobytes() == found[1].tobytes()
    assert np.isnan(np.delete(found[0], some, axis=0)).all()


async def test_steps_of_few_rows_of_many(client: httpx.AsyncClient) -> None:
    path = await begin(client, 60)
    body = {"inputs": INPUTS.tolist(), "rows": [59, 0, 7], "lengths": [4, 1, 3]}
    outputs = numbers((await posted(client, f"{path}/sequence", body))["outputs"])
    small = await begin(client)
    expected = await posted(client, f"{small}/sequence", {"inputs": INPUTS.tolist(), "lengths": [4, 1, 3]})
    assert outputs.tobytes() == numbers(expected["outputs"]).tobytes()
    states, few = (await state(client, path))[0]["h"], (await state(client, small))[0]["h"]
    assert [states[row] for row in (59, 0, 7)] == few
    assert not np.any(np.delete(states, [59, 0, 7], axis=0))
