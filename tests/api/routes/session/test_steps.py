"""Steps and sequences: the same numbers whichever way they come."""

from itertools import permutations
from typing import Any

import httpx
import numpy as np
import pytest

from cellar.main import create_app
from cellar.ports import StepCommand
from cellar.sessions.requests.request import PendingSteps
from cellar.sessions.service.steps import Steps
from cellar.settings import Settings
from cellar.wire.arrays.layout import from_tbf
from tests.api.conftest import running, with_own_keys

pytestmark = pytest.mark.anyio

STEPS, ROWS, FEATURES = 4, 3, 2
INPUTS = np.random.default_rng(0).standard_normal((STEPS, ROWS, FEATURES)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
async def models(client: httpx.AsyncClient) -> None:
    """Create a model that moves, and one that grows without bound."""
    gru = {"in_size": FEATURES, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}
    relu = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "activation": "relu", "hidden_size": 8}]}
    for name, network in (("gru", gru), ("relu", relu)):
        assert (await client.post("/v1/models", json={"name": name, "network": network})).status_code == 201


async def begin(client: httpx.AsyncClient, model: str = "gru", rows: int = 1) -> str:
    """Return the path of a new session."""
    answer = await client.post("/v1/sessions", json={"model": model, "batch_size": rows})
    return str(answer.headers["location"])


async def post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Any:
    """Return the answer to a request that succeeds."""
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
async def expected(client: httpx.AsyncClient) -> list[Any]:
    """Return the outputs (T, B, F) of a session of three rows, step by step."""
    path = await begin(client, rows=ROWS)
    return [(await post(client, f"{path}/step", {"input": step.tolist()}))["output"] for step in INPUTS]


@pytest.mark.parametrize("layout", ["".join(letters) for letters in permutations("TBF")])
async def test_a_sequence_in_any_layout_is_the_steps_one_by_one(
    client: httpx.AsyncClient, layout: str, expected: list[Any]
) -> None:
    path = await begin(client, rows=ROWS)
    answer = await post(client, f"{path}/sequence", {"inputs": from_tbf(INPUTS, layout).tolist(), "layout": layout})
    assert answer["outputs"] == from_tbf(np.array(expected), layout).tolist()
    assert answer["step"] == STEPS


async def test_a_row_is_what_a_session_of_its_own_would_be(client: httpx.AsyncClient, expected: list[Any]) -> None:
    for row in range(ROWS):
        path = await begin(client)
        answer = await post(client, f"{path}/sequence", {"inputs": INPUTS[:, row].tolist()})
        assert answer["outputs"] == [step[row] for step in expected]


async def test_one_row_may_be_sent_as_rows(client: httpx.AsyncClient, expected: list[Any]) -> None:
    path = await begin(client)
    answer = await post(client, f"{path}/step", {"input": INPUTS[0, :1].tolist()})
    assert answer["output"] == expected[0][:1]


async def test_a_step_that_resets_is_a_reset_and_a_step(client: httpx.AsyncClient) -> None:
    at_once, one_by_one, new = [await begin(client, rows=ROWS) for _ in range(3)]
    for path in (at_once, one_by_one):
        await post(client, f"{path}/step", {"input": INPUTS[0].tolist()})
    await post(client, f"{one_by_one}/reset", {})
    expected = await post(client, f"{one_by_one}/step", {"input": INPUTS[1].tolist()})
    answer = await post(client, f"{at_once}/step", {"input": INPUTS[1].tolist(), "reset": True})
    assert answer["output"] == expected["output"]
    assert answer["output"] == (await post(client, f"{new}/step", {"input": INPUTS[1].tolist()}))["output"]
    assert (answer["step"], expected["step"]) == (2, 1)
    following = {"inputs": INPUTS[2:].tolist()}
    found, wanted = [await post(client, f"{path}/sequence", following) for path in (at_once, one_by_one)]
    assert found["outputs"] == wanted["outputs"]
    assert await states(client, at_once) == await states(client, one_by_one)


async def states(client: httpx.AsyncClient, path: str) -> Any:
    """Return the layers of a session's state."""
    return (await client.get(f"{path}/state")).json()["layers"]


async def test_rows_begin_anew_each_by_itself_and_once(settings: Settings) -> None:
    """A row that is reset goes on as a session of its own would, and the same request again changes nothing."""
    network = {"in_size": FEATURES, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 300}]}
    resets = [[False] * 3, [True, False, False], [False, False, True], [False, True, True]]
    async with running(create_app(with_own_keys(settings))) as client:
        await post_model(client, network)
        path = await begin(client, "large", rows=ROWS)
        own: dict[int, str] = {}
        for number, (step, reset) in enumerate(zip(INPUTS, resets, strict=True)):
            body = {"input": step.tolist(), "reset": reset, "step": number}
            first = await client.post(f"{path}/step", json=body)
            again = await client.post(f"{path}/step", json=body)
            assert (first.json(), again.headers["idempotent-replayed"]) == (again.json(), "true")
            other = await client.post(f"{path}/step", json={**body, "reset": [not each for each in reset]})
            assert other.json()["type"] == "urn:cellar:problem:step_taken"
            for row in range(ROWS):
                if reset[row] or row not in own:
                    own[row] = await begin(client, "large")
                alone = await post(client, f"{own[row]}/step", {"input": step[row].tolist()})
                assert first.json()["output"][row] == alone["output"]
        assert (await client.get(path)).json()["step"] == STEPS


async def post_model(client: httpx.AsyncClient, network: dict[str, Any]) -> None:
    """Create a model `large` of this network."""
    assert (await client.post("/v1/models", json={"name": "large", "network": network})).status_code == 201


async def test_a_sequence_resets_rows_before_its_first_step(client: httpx.AsyncClient, expected: list[Any]) -> None:
    path = await begin(client, rows=ROWS)
    await post(client, f"{path}/step", {"input": INPUTS[3].tolist()})
    body = {"inputs": INPUTS.tolist(), "reset": [True, False, True]}
    first = await client.post(f"{path}/sequence", json=body, headers={"idempotency-key": "again"})
    again = await client.post(f"{path}/sequence", json=body, headers={"idempotency-key": "again"})
    assert again.json() == first.json()
    outputs = np.array(first.json()["outputs"])
    assert outputs[:, [0, 2]].tolist() == np.array(expected)[:, [0, 2]].tolist()
    assert (outputs[:, 1] != np.array(expected)[:, 1]).all()
    other = {**body, "reset": True}
    answer = await client.post(f"{path}/sequence", json=other, headers={"idempotency-key": "again"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:cellar:problem:fingerprint_mismatch")


async def test_outputs_are_the_exact_float32_numbers(expected: list[Any]) -> None:
    assert np.array(expected).astype(np.float32).astype(np.float64).tolist() == expected


async def test_a_large_output_is_not_kept_for_a_replay(client: httpx.AsyncClient) -> None:
    path = await begin(client)
    body = {"inputs": [[0.1, 0.2]] * 1000, "step": 0, "layout": "TF"}
    first = await client.post(f"{path}/sequence", json=body)
    again = await client.post(f"{path}/sequence", json=body)
    assert len(first.json()["outputs"]) == 1000
    assert again.json() == {**first.json(), "outputs": None}
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_large_body_is_answered_like_a_small_one(client: httpx.AsyncClient, expected: list[Any]) -> None:
    path = await begin(client, rows=ROWS)
    content = b" " * 100_000 + f'{{"input": {INPUTS[0].tolist()}}}'.encode()
    answer = await client.post(f"{path}/step", content=content, headers={"content-type": "application/json"})
    assert answer.json()["output"] == expected[0]


async def test_a_state_that_would_not_be_finite_is_not_committed(client: httpx.AsyncClient) -> None:
    path = await begin(client, "relu")
    await post_state(client, path, [[3e38] * 8])
    before = (await client.get(f"{path}/state")).json()
    answer = await client.post(f"{path}/step", json={"input": [1]})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:cellar:problem:state_not_finite")
    assert (await client.get(f"{path}/state")).json() == before


async def post_state(client: httpx.AsyncClient, path: str, rows: list[list[float]]) -> None:
    """Write the state of a session with one state."""
    answer = await client.put(f"{path}/state", json={"layers": [{"layer": 0, "h": rows}]})
    assert answer.status_code == 200, answer.text


async def test_a_network_without_state_answers_steps_too(client: httpx.AsyncClient) -> None:
    network = {
        "in_size": 1,
        "layers": [{"type": "recurrent", "cell": {"equations": "output = 2 * x"}, "hidden_size": 1}],
    }
    assert (await client.post("/v1/models", json={"name": "double", "network": network})).status_code == 201
    path = await begin(client, "double", rows=2)
    assert (await post(client, f"{path}/step", {"input": [[1], [2]]}))["output"] == [[2], [4]]
    answer = await post(client, f"{path}/sequence", {"inputs": [[[1], [2]], [[3], [4]]], "layout": "TBF"})
    assert answer["outputs"] == [[[2], [4]], [[6], [8]]]
    assert (await client.get(f"{path}/state")).json()["step"] == 3
    assert (await post(client, f"{path}/reset", {}))["step"] == 0


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "x", "600001", "9" * 400])
async def test_a_timeout_is_a_number_of_milliseconds(client: httpx.AsyncClient, text: str) -> None:
    path = await begin(client)
    answer = await client.post(f"{path}/step", json={"input": [1, 2]}, headers={"Cellar-Timeout-Ms": text})
    assert (answer.status_code, answer.json()["parameter"]) == (422, "Cellar-Timeout-Ms")
    assert (await client.get(path)).json()["step"] == 0


@pytest.mark.pure
@pytest.mark.parametrize("body", [{"input": [1, 2]}, {"inputs": [[1, 2]]}])
async def test_a_timeout_reaches_the_service(
    client: httpx.AsyncClient, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, found = await begin(client), Steps.submit, []

    def noting(self: Steps, command: StepCommand) -> PendingSteps:
        found.append(command.deadline_s)
        return real(self, command)

    monkeypatch.setattr(Steps, "submit", noting)
    name = "step" if "input" in body else "sequence"
    for headers in ({}, {"Cellar-Timeout-Ms": "60000"}):
        assert (await client.post(f"{path}/{name}", json=body, headers=headers)).status_code == 200
    assert found == [None, 60]
