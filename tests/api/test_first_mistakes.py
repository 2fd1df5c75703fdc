"""What somebody does wrong who uses the service for the first time, and what the answer says to do instead."""

import io
import uuid
from typing import Any

import httpx
import numpy as np
import pytest

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}
NPY = {"content-type": "application/x-npy"}
GRU = {"type": "recurrent", "cell": "gru", "hidden_size": 3}
DATA = {"layout": "TF", "inputs": [[1, 2]] * 4, "targets": [[1, 2, 3]] * 4}
STEP, SEQUENCE, STATE = (f"/v1/sessions/{{name}}/{part}" for part in ("step", "sequence", "state"))

Parts = dict[str, Any]


def npy(array: np.ndarray[Any, Any]) -> bytes:
    """Return an array as a file of NumPy's."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.fixture(scope="module")
async def name(client: httpx.AsyncClient) -> str:
    """Return the name of a model, and of a session of it."""
    name = f"first-{uuid.uuid4().hex}"
    made = await client.post("/v1/models", json={"name": name, "network": {"in_size": 2, "layers": [GRU]}})
    assert made.status_code == 201, made.text
    assert (await client.post("/v1/sessions", json={"session": name, "model": name})).status_code == 201
    return name


def network(*layers: Parts) -> Parts:
    """Return a request for a model."""
    return {"json": {"name": "new", "network": {"in_size": 2, "layers": layers}}}


def cell(equations: str) -> Parts:
    """Return a request for a model of an own cell."""
    return network({"type": "recurrent", "cell": {"equations": equations}, "hidden_size": 3})


def job(**fields: Any) -> Parts:
    """Return a request for a job."""
    return {"json": {"model": "{name}", "data": DATA, **fields}}


def text(body: str) -> Parts:
    """Return a body that is said to be JSON."""
    return {"content": body, "headers": JSON}


LAYER = "/network/layers/0"

MISTAKES: list[tuple[str, str, Parts, int, str | None, str]] = [
    # words of other frameworks
    ("POST", "/v1/models", network({**GRU, "type": "LSTM"}), 422, f"{LAYER}/type", '"recurrent" with "cell": "lstm"'),
    ("POST", "/v1/models", network({**GRU, "cell": "LSTM"}), 422, f"{LAYER}/cell", "did you mean 'lstm'?"),
    ("POST", "/v1/models", network({**GRU, "cell": "GRUCell"}), 422, f"{LAYER}/cell", "did you mean 'gru'?"),
    ("POST", "/v1/models", network({**GRU, "cell": "Elman"}), 422, f"{LAYER}/cell", "did you mean 'rnn'?"),
    ("POST", "/v1/models", network({**GRU, "units": 3}), 422, f"{LAYER}/units", "did you mean `hidden_size`?"),
    ("POST", "/v1/models", network({**GRU, "num_layers": 2}), 422, f"{LAYER}/num_layers", "entries in `layers`"),
    ("POST", "/v1/models", network({**GRU, "init": {"wi_r": "ones"}}), 422, f"{LAYER}/init/wi_r", "mean 'Wi_r'?"),
    ("POST", "/v1/models", cell("h = tanh(W * x + U @ h)"), 422, f"{LAYER}/cell/equations", "'W @ x'"),
    ("POST", "/v1/models", cell("h = tanh(W @ x + U @ h_prev)"), 422, f"{LAYER}/cell/equations", "write 'h'"),
    ("POST", "/v1/jobs", job(optimizer="adam"), 422, "/optimizer", "did you mean `optimiser`?"),
    ("POST", "/v1/jobs", job(lr=0.1), 422, "/lr", "did you mean `optimiser.learning_rate`?"),
    ("POST", "/v1/jobs", job(optimiser="Adam"), 422, "/optimiser", 'did you mean "adam"?'),
    ("POST", "/v1/jobs", job(loss="MSELoss"), 422, "/loss", 'did you mean "mse"?'),
    ("POST", "/v1/jobs", job(epochs="3"), 422, "/epochs", "3 without quotes"),
    # data
    ("POST", "/v1/jobs", job(window=5), 422, "/window", "a window of 5 steps, and there are 4 to train on"),
    ("POST", "/v1/jobs", job(window=4, warmup=1), 422, "/window", "there are 3 to train on besides those that warm up"),
    ("POST", "/v1/jobs", job(window=4, validation=0.5), 422, "/window", "there are 2 to train on besides those that"),
    (
        "POST",
        "/v1/jobs",
        job(data={**DATA, "targets": [[1, 2, 3]] * 3}),
        422,
        "/data/targets",
        "4 steps, as many as the inputs; found 3",
    ),
    (
        "POST",
        "/v1/jobs",
        job(data={**DATA, "inputs": [[1]] * 4}),
        422,
        "/data/inputs",
        "expected 2 features along the axis F of `layout`; found 1",
    ),
    ("POST", "/v1/jobs", job(data={**DATA, "layout": "BTF"}), 422, "/data/inputs/0/0", "an array for each letter"),
    # steps
    ("POST", STEP, {"json": {"inputs": [1, 2]}}, 422, "/input", "did you mean `input`?"),
    ("POST", STEP, {"json": {"x": [1, 2]}}, 422, "/input", "did you mean `input`?"),
    ("POST", STEP, {"json": {"input": [1]}}, 422, "/input", "a step of this session is 2 numbers, not 1 number"),
    ("POST", STEP, {"json": {"input": [[1, 2]] * 2}}, 422, "/input", "is 2 numbers, not 2 rows of 2"),
    ("POST", STEP, {"json": {"input": ["1", "2"]}}, 422, "/input/0", "a number has no quotes"),
    ("POST", SEQUENCE, {"json": {"input": [[1, 2]]}}, 422, "/inputs", "did you mean `inputs`?"),
    ("POST", SEQUENCE, {"json": {"inputs": [["1", 2]]}}, 422, "/inputs/0/0", "a number has no quotes"),
    ("POST", SEQUENCE, {"json": {"inputs": [1, 2]}}, 422, "/inputs/0", "layout 'TF' nests an array for each letter"),
    (
        "PUT",
        STATE,
        {"json": {"layers": [{"layer": 0, "hidden": [[0, 0, 0]]}]}},
        422,
        "/layers",
        "'hidden' of layer 0 is none",
    ),
    ("POST", STEP, text("{'input': [1, 2]}"), 400, None, "strings and names stand in double quotes"),
    ("POST", STEP, text("{input: [1, 2]}"), 400, None, "names stand in double quotes"),
    ("POST", STEP, text('{"input": [1, 2], "reset": True}'), 400, None, "JSON writes true, false and null"),
    ("POST", STEP, text('{"input": [NaN, 2]}'), 422, "/input/0", "expected a finite number, found NaN"),
    ("POST", STEP, text(""), 400, None, "send a JSON document"),
    ("POST", STEP, {"content": "{}", "headers": {"content-type": "text/plain"}}, 415, None, "-H 'Content-Type: appl"),
    ("POST", STEP, {"content": npy(np.array(["a"])), "headers": NPY}, 422, None, "array.astype('float32')"),
    ("POST", STEP, {"content": npy(np.ones((1, 3))), "headers": NPY}, 422, None, "is 2 numbers, not 3 numbers"),
    ("POST", STEP, {"content": npy(np.ones((1, 1, 2))), "headers": NPY}, 422, None, "(1, 1, 2): expected 1 or 2 axes"),
    ("POST", STEP, text(" " * 300_000), 413, None, "CELLAR_MAX_BODY_BYTES"),
    # what there is not
    ("POST", "/v1/sessions/nobody/step", {"json": {"input": [1, 2]}}, 404, None, "POST /v1/sessions creates one"),
    ("POST", "/v1/sessions", {"json": {"model": "X{name}"}}, 404, None, "did you mean '{name}'?"),
    ("POST", "/v1/sessions", {"json": {"model": "{name}@7"}}, 404, None, "the newest is {name}@1"),
    (
        "POST",
        "/v1/sessions",
        {"json": {"model": "{name}", "batch_size": 65}},
        422,
        "/batch_size",
        "CELLAR_MAX_BATCH_SIZE",
    ),
    ("POST", SEQUENCE, {"json": {"inputs": [[1, 2]] * 1001}}, 422, "/inputs", "CELLAR_MAX_SEQUENCE_STEPS"),
    ("GET", "/models", {}, 404, None, "did you mean /v1/models?"),
    ("POST", "/v1/session", {}, 404, None, "did you mean /v1/sessions?"),
    ("POST", "/v1/sessions/{name}/predict", {}, 404, None, "did you mean /v1/sessions/{name}/step?"),
    ("POST", "/v1/train", {}, 404, None, "did you mean /v1/jobs?"),
    ("GET", "/health", {}, 404, None, "did you mean /healthz?"),
    ("GET", "/some/thing", {}, 404, None, "/openapi.json"),
    ("GET", STEP, {}, 405, None, "this path takes POST"),
    ("DELETE", "/v1/jobs", {}, 405, None, "this path takes GET, HEAD, POST"),
    ("GET", "/v1/jobs?stat=failed", {}, 422, None, "did you mean state?"),
]


def filled(part: Any, name: str) -> Any:
    """Put a name where `{name}` stands in a request."""
    if isinstance(part, str):
        return part.replace("{name}", name)
    if isinstance(part, dict):
        return {key: filled(value, name) for key, value in part.items()}
    return part


@pytest.mark.parametrize(("method", "path", "request_parts", "status", "pointer", "said"), MISTAKES)
async def test_a_first_mistake_is_answered_with_what_to_do(
    client: httpx.AsyncClient,
    name: str,
    method: str,
    path: str,
    request_parts: Parts,
    status: int,
    pointer: str | None,
    said: str,
) -> None:
    answer = await client.request(method, filled(path, name), **filled(request_parts, name))
    problem = answer.json()
    assert answer.status_code == status, problem
    assert filled(said, name) in problem["detail"]
    assert pointer is None or problem["pointer"] == pointer


async def test_files_of_float64_are_taken(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.post(f"/v1/sessions/{name}/step", content=npy(np.ones(2)), headers=NPY)
    assert answer.status_code == 200, answer.text


async def test_what_is_wrong_is_told_in_few_words_however_long_it_is(client: httpx.AsyncClient) -> None:
    long = "x" * 50_000
    for body in ({long: 1}, {"name": long}, {"name": "n", "network": {"in_size": 1, "layers": [{"type": long}]}}):
        answer = await client.post("/v1/models", json=body)
        assert answer.status_code == 422
        problem = answer.json()
        assert len(problem.get("actual") or "") <= 60
