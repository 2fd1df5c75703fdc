"""Steps and sequences as npy: the bits of JSON, the same identities, and errors that say where."""

import gzip
import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.wire.arrays.layout import from_tbf

pytestmark = pytest.mark.anyio

NPY = {"content-type": "application/x-npy"}
WANTED = {**NPY, "accept": "application/x-npy"}
INPUTS = np.random.default_rng(1).standard_normal((5, 3, 2)).astype(np.float32)


def file_of(array: NDArray[Any]) -> bytes:
    """Return an array as an npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def outputs_of(answer: httpx.Response) -> NDArray[np.float32]:
    """Return the array of an npy answer."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-npy"
    found: NDArray[np.float32] = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert found.dtype == np.float32
    return found


@pytest.fixture(scope="module", autouse=True)
async def model(client: httpx.AsyncClient) -> None:
    """Create a model."""
    network = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}
    assert (await client.post("/v1/models", json={"name": "gru", "network": network})).status_code == 201


async def begin(client: httpx.AsyncClient, rows: int = 1) -> str:
    """Return the path of a new session."""
    answer = await client.post("/v1/sessions", json={"model": "gru", "batch_size": rows})
    return str(answer.headers["location"])


@pytest.fixture(scope="module")
async def expected(client: httpx.AsyncClient) -> NDArray[np.float32]:
    """Return the outputs (T, B, F) as JSON gives them."""
    path = await begin(client, rows=3)
    answer = await client.post(f"{path}/sequence", json={"inputs": INPUTS.tolist()})
    return np.array(answer.json()["outputs"], dtype=np.float32)


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
async def test_the_bits_are_those_of_json(
    client: httpx.AsyncClient, kind: str, order: str, expected: NDArray[np.float32]
) -> None:
    path = await begin(client, rows=3)
    for number, (inputs, outputs) in enumerate(zip(INPUTS, expected, strict=True), 1):
        # the kind or order is a variable
        array = np.asarray(inputs.astype(kind), order=order)  # type: ignore[call-overload]
        answer = await client.post(f"{path}/step", content=file_of(array), headers=WANTED)
        assert outputs_of(answer).tobytes() == outputs.tobytes()
        assert answer.headers["cellar-step"] == str(number)
    path = await begin(client, rows=3)
    # the kind or order is a variable
    sequence = file_of(np.asarray(INPUTS.astype(kind), order=order))  # type: ignore[call-overload]
    answer = await client.post(f"{path}/sequence", content=sequence, headers=WANTED)
    assert outputs_of(answer).tobytes() == expected.tobytes()


@pytest.mark.parametrize("layout", ["BTF", "FBT"])
async def test_a_layout_stands_in_the_query(
    client: httpx.AsyncClient, layout: str, expected: NDArray[np.float32]
) -> None:
    path = await begin(client, rows=3)
    content = file_of(from_tbf(INPUTS, layout))
    answer = await client.post(f"{path}/sequence?layout={layout}", content=content, headers=WANTED)
    assert outputs_of(answer).tolist() == from_tbf(expected, layout).tolist()


async def test_one_row_needs_no_axis(client: httpx.AsyncClient, expected: NDArray[np.float32]) -> None:
    path = await begin(client)
    answer = await client.post(f"{path}/step", content=file_of(INPUTS[0, 0]), headers=WANTED)
    assert outputs_of(answer).tolist() == expected[0, 0].tolist()
    answer = await client.post(f"{path}/sequence", content=file_of(INPUTS[1:, 0]), headers=WANTED)
    assert outputs_of(answer).tolist() == expected[1:, 0].tolist()


async def test_types_of_body_and_answer_are_chosen_apart(
    client: httpx.AsyncClient, expected: NDArray[np.float32]
) -> None:
    path = await begin(client, rows=3)
    answer = await client.post(f"{path}/step", content=file_of(INPUTS[0]), headers=NPY)
    assert np.array(answer.json()["output"], dtype=np.float32).tobytes() == expected[0].tobytes()
    answer = await client.post(f"{path}/step", json={"input": INPUTS[1].tolist()}, headers={"accept": WANTED["accept"]})
    assert outputs_of(answer).tobytes() == expected[1].tobytes()


async def test_an_encoded_body_is_the_plain_one(client: httpx.AsyncClient, expected: NDArray[np.float32]) -> None:
    path = await begin(client, rows=3)
    for step, (kind, content) in enumerate(
        (
            ("application/json", json.dumps({"input": INPUTS[0].tolist()}).encode()),
            (WANTED["accept"], file_of(INPUTS[1])),
        )
    ):
        headers = {"content-type": kind, "content-encoding": "gzip", "accept": WANTED["accept"]}
        answer = await client.post(f"{path}/step", content=gzip.compress(content), headers=headers)
        assert outputs_of(answer).tobytes() == expected[step].tobytes()


async def test_the_position_comes_in_a_header_and_goes_back_in_the_query(client: httpx.AsyncClient) -> None:
    path = await begin(client)
    content = file_of(INPUTS[0, 0])
    first = await client.post(f"{path}/step?step=0", content=content, headers=WANTED)
    second = await client.post(
        f"{path}/step", params={"position": first.headers["cellar-position"]}, content=content, headers=WANTED
    )
    again = await client.post(
        f"{path}/step", params={"position": first.headers["cellar-position"]}, content=content, headers=WANTED
    )
    assert "idempotent-replayed" not in second.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["cellar-position"] == second.headers["cellar-position"]
    assert again.content == second.content
    as_json = await client.post(
        f"{path}/step", json={"input": INPUTS[0, 0].tolist(), "position": first.headers["cellar-position"]}
    )
    assert as_json.headers["idempotent-replayed"] == "true", "the body is the same, whatever its type"
    assert as_json.json()["position"] == second.headers["cellar-position"]
    taken = await client.post(f"{path}/step?step=1", content=file_of(INPUTS[1, 0]), headers=WANTED)
    assert (taken.status_code, taken.json()["type"]) == (409, "urn:cellar:problem:step_taken")
    assert taken.headers["content-type"] == "application/problem+json"


async def test_writers_are_told_apart_by_the_query(client: httpx.AsyncClient) -> None:
    path = await begin(client)
    steps = []
    for writer, seq in (("a", 1), ("b", 1), ("a", 2), ("a", 1), ("b", 1)):
        answer = await client.post(
            f"{path}/step?writer={writer}&seq={seq}", content=file_of(INPUTS[0, 0]), headers=WANTED
        )
        steps.append((answer.headers["cellar-step"], "idempotent-replayed" in answer.headers))
    assert steps == [("1", False), ("2", False), ("3", False), ("1", True), ("2", True)]
    as_json = await client.post(f"{path}/step", json={"input": INPUTS[0, 0].tolist(), "writer": "a", "seq": 2})
    assert (as_json.json()["step"], as_json.headers["idempotent-replayed"]) == (3, "true")


async def test_rows_are_reset_by_the_query(client: httpx.AsyncClient) -> None:
    content = file_of(INPUTS[0])
    paths = [await begin(client, rows=3) for _ in range(2)]
    for path, again in zip(paths, ("step?reset=010", "step"), strict=True):
        await client.post(f"{path}/sequence", content=file_of(INPUTS), headers=WANTED)
        answer = await client.post(f"{path}/{again}", content=content, headers=WANTED)
        rows = outputs_of(answer)
        if path is paths[0]:
            reset = rows
    fresh = outputs_of(await client.post(f"{await begin(client, rows=3)}/step", content=content, headers=WANTED))
    assert reset.tolist() == [rows[0].tolist(), fresh[1].tolist(), rows[2].tolist()]
    whole = await client.post(f"{paths[0]}/sequence?reset=true", content=file_of(INPUTS[:1]), headers=WANTED)
    assert outputs_of(whole)[0].tolist() == fresh.tolist()


async def test_an_idempotency_key_recognises_an_npy_body(client: httpx.AsyncClient) -> None:
    path = await begin(client)
    headers = {**WANTED, "idempotency-key": "one"}
    first = await client.post(f"{path}/step", content=file_of(INPUTS[0, 0]), headers=headers)
    again = await client.post(f"{path}/step", content=file_of(INPUTS[0, 0]), headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content


async def test_an_output_that_was_not_kept_is_null_in_json(client: httpx.AsyncClient) -> None:
    path = await begin(client)
    content = file_of(np.zeros((1000, 2), dtype=np.float32))
    first = await client.post(f"{path}/sequence?step=0", content=content, headers=WANTED)
    again = await client.post(f"{path}/sequence?step=0", content=content, headers=WANTED)
    assert outputs_of(first).shape == (1000, 3)
    assert again.headers["content-type"] == "application/json"
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == {"outputs": None, "step": 1000, "position": first.headers["cellar-position"]}


async def test_nothing_happens_if_the_answer_could_not_be_accepted(client: httpx.AsyncClient) -> None:
    path = await begin(client)
    for name in ("step", "sequence"):
        answer = await client.post(
            f"{path}/{name}", content=file_of(INPUTS[:, 0]), headers={**NPY, "accept": "text/html"}
        )
        assert (answer.status_code, answer.json()["type"]) == (406, "urn:cellar:problem:not_acceptable")
    assert (await client.get(path)).json()["step"] == 0


GOOD = file_of(INPUTS[0, 0])
NAN = file_of(np.array([[0, 1], [np.nan, 1]]))


@pytest.mark.parametrize(
    ("target", "content", "status", "problem"),
    [
        ("step", b"", 400, {"type": "malformed_body", "offset": 0}),
        ("step", b'{"input": [1, 2]}', 400, {"type": "malformed_body", "offset": 0}),
        ("step", GOOD[:-1], 400, {"type": "malformed_body"}),
        ("step", GOOD + b"x", 400, {"type": "malformed_body"}),
        ("step", file_of(np.array([1, 2], dtype=object)), 422, {"type": "invalid_input", "pointer": ""}),
        ("step", file_of(np.zeros(3)), 422, {"type": "shape_mismatch", "pointer": ""}),
        ("step", file_of(np.zeros((2, 2))), 422, {"type": "shape_mismatch", "pointer": ""}),
        ("step", file_of(np.zeros((1, 1, 2))), 422, {"type": "shape_mismatch", "pointer": ""}),
        ("sequence", file_of(np.zeros(2)), 422, {"type": "shape_mismatch", "pointer": ""}),
        ("sequence", file_of(np.zeros((0, 2))), 422, {"type": "shape_mismatch", "pointer": ""}),
        ("sequence", file_of(np.zeros((1001, 2))), 422, {"type": "shape_mismatch", "pointer": ""}),
        ("sequence", NAN, 422, {"type": "not_finite", "pointer": "/1/0"}),
        ("sequence?layout=TB", NAN, 422, {"type": "invalid_parameter", "parameter": "layout"}),
        ("sequence?layout=TBF", NAN, 422, {"type": "shape_mismatch", "pointer": ""}),
        ("sequence?layout=xyz", NAN, 422, {"type": "invalid_parameter", "parameter": "layout"}),
        ("step?layout=TF", GOOD, 422, {"type": "invalid_parameter", "parameter": "layout"}),
        ("step?step=-1", GOOD, 422, {"type": "invalid_parameter", "parameter": "step"}),
        ("step?step=x", GOOD, 422, {"type": "invalid_parameter", "parameter": "step"}),
        ("step?step=", GOOD, 422, {"type": "invalid_parameter", "parameter": "step"}),
        ("step?step=0&step=0", GOOD, 422, {"type": "invalid_parameter", "parameter": "step"}),
        ("step?position=x", GOOD, 422, {"type": "invalid_parameter", "parameter": "position"}),
        (
            f"step?step=1&position={'0' * 16}.0.{'0' * 32}",
            GOOD,
            422,
            {"type": "invalid_parameter", "parameter": "step"},
        ),
        ("step?reset=2", GOOD, 422, {"type": "invalid_parameter", "parameter": "reset"}),
        ("step?reset=01", GOOD, 422, {"type": "invalid_parameter", "parameter": "reset"}),
        ("step?writer=a", GOOD, 422, {"type": "invalid_parameter", "parameter": "seq"}),
        ("step?writer=a&seq=0", GOOD, 422, {"type": "invalid_parameter", "parameter": "seq"}),
        ("step?writer=a%0A&seq=1", GOOD, 422, {"type": "invalid_parameter", "parameter": "writer"}),
        ("step?writer=a&seq=2", GOOD, 409, {"type": "writer_unknown"}),
        ("step?stp=0", GOOD, 422, {"type": "invalid_parameter", "parameter": "stp"}),
    ],
)
async def test_what_is_wrong_is_refused_with_its_place(
    client: httpx.AsyncClient, target: str, content: bytes, status: int, problem: dict[str, Any]
) -> None:
    path = await begin(client)
    answer = await client.post(f"{path}/{target}", content=content, headers=WANTED)
    found = answer.json()
    assert answer.status_code == status, found
    assert found == {**found, **problem, "type": f"urn:cellar:problem:{problem['type']}"}
    assert problem["type"] != "invalid_parameter" or found["location"] == "query"
    assert (await client.get(path)).json()["step"] == 0


async def test_a_query_beside_a_json_body_is_not_overlooked(client: httpx.AsyncClient) -> None:
    path = await begin(client)
    for name, body in (("step", {"input": [1, 2]}), ("sequence", {"inputs": [[1, 2]]})):
        answer = await client.post(f"{path}/{name}?step=7", json=body)
        assert (answer.status_code, answer.json()["parameter"]) == (422, "step")
