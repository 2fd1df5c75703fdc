"""Whatever is wrong with a request: a problem document that says where, and a session that has not moved."""

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import MAX_BODY_BYTES
from tests.api.test_openapi import DOCUMENT

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}
NETWORK = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}
ROWS = 2


@dataclass(frozen=True, slots=True)
class Bad:
    """A request that is refused. In `path`, {one} is a session of one row and {two} one of two rows."""

    method: str
    path: str
    body: Any
    status: int
    slug: str
    pointer: str | None = None

    def __str__(self) -> str:
        shown = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return f"{self.method} {self.path} {shown[:60]}"


STEP, SEQUENCE, STATE, RESET = (f"/v1/sessions/{{one}}/{name}" for name in ("step", "sequence", "state", "reset"))
TWO_STEP, TWO_SEQUENCE, TWO_STATE = (f"/v1/sessions/{{two}}/{name}" for name in ("step", "sequence", "state"))

NUMBERS = [
    ("true", "invalid_input"),
    ('"1.5"', "invalid_input"),
    ("null", "invalid_input"),
    ("{}", "invalid_input"),
    ("NaN", "not_finite"),
    ("Infinity", "not_finite"),
    ("-Infinity", "not_finite"),
    ("1e400", "not_finite"),
    ("3.5e38", "not_finite"),
    ("-3.5e38", "not_finite"),
    ("1" + "0" * 39, "not_finite"),
    ("1" + "0" * 400, "not_finite"),
]
"""Texts that stand where a number should, and what they are called."""

WRONG_NUMBERS = [
    *(Bad("POST", STEP, f'{{"input": [0, {text}]}}', 422, slug, "/input/1") for text, slug in NUMBERS),
    *(Bad("POST", TWO_STEP, f'{{"input": [[0, 1], [{text}, 1]]}}', 422, slug, "/input/1/0") for text, slug in NUMBERS),
    *(
        Bad("POST", SEQUENCE, f'{{"inputs": [[0, 1], [{text}, 1]]}}', 422, slug, "/inputs/1/0")
        for text, slug in NUMBERS
    ),
    *(
        Bad("PUT", STATE, f'{{"layers": [{{"layer": 0, "h": [[0, 1, {text}]]}}]}}', 422, slug, "/layers/0/h/0/2")
        for text, slug in NUMBERS
    ),
    *(
        Bad(
            "POST",
            "/v1/jobs",
            f'{{"model": "{{model}}", "data": {{"inputs": [[0, 1]], "targets": [[{text}, 0, 0]], "layout": "TF"}}}}',
            422,
            slug,
            "/data/targets/0/0",
        )
        for text, slug in NUMBERS
    ),
]

SHAPES = [
    Bad("POST", STEP, {"input": []}, 422, "shape_mismatch", "/input"),
    Bad("POST", STEP, {"input": [1]}, 422, "shape_mismatch", "/input"),
    Bad("POST", STEP, {"input": [1, 2, 3]}, 422, "shape_mismatch", "/input"),
    Bad("POST", STEP, {"input": [[1, 2], [3, 4]]}, 422, "shape_mismatch", "/input"),
    Bad("POST", STEP, {"input": [1, [2]]}, 422, "shape_mismatch", "/input/1"),
    Bad("POST", STEP, {"input": [[1, 2], 3]}, 422, "shape_mismatch", "/input/1"),
    Bad("POST", STEP, {"input": [[[1, 2]]]}, 422, "shape_mismatch", "/input/0/0"),
    Bad("POST", STEP, {"input": 1}, 422, "invalid_input", "/input"),
    Bad("POST", STEP, {"input": {"0": 1}}, 422, "invalid_input", "/input"),
    Bad("POST", STEP, {"input": None}, 422, "invalid_input", "/input"),
    Bad("POST", TWO_STEP, {"input": [1, 2]}, 422, "shape_mismatch", "/input"),
    Bad("POST", TWO_STEP, {"input": [[1, 2]]}, 422, "shape_mismatch", "/input"),
    Bad("POST", TWO_STEP, {"input": [[1, 2], [3]]}, 422, "shape_mismatch", "/input/1"),
    Bad("POST", TWO_STEP, {"input": [[1, 2], [3, 4], [5, 6]]}, 422, "shape_mismatch", "/input"),
    Bad("POST", SEQUENCE, {"inputs": []}, 422, "shape_mismatch", "/inputs"),
    Bad("POST", SEQUENCE, {"inputs": [[]]}, 422, "shape_mismatch", "/inputs/0"),
    Bad("POST", SEQUENCE, {"inputs": [1, 2]}, 422, "shape_mismatch", "/inputs/0"),
    Bad("POST", SEQUENCE, {"inputs": [[1, 2], [3]]}, 422, "shape_mismatch", "/inputs/1"),
    Bad("POST", SEQUENCE, {"inputs": [[1, 2, 3]]}, 422, "shape_mismatch", "/inputs"),
    Bad("POST", SEQUENCE, {"inputs": [[1, 2]] * 1001}, 422, "shape_mismatch", "/inputs"),
    Bad("POST", SEQUENCE, {"inputs": [[1, 2]], "layout": "TBF"}, 422, "shape_mismatch", "/inputs/0/0"),
    Bad("POST", SEQUENCE, {"inputs": [[1, 2]], "layout": "FT"}, 422, "shape_mismatch", "/inputs"),
    Bad("POST", SEQUENCE, {"inputs": [[1, 2]], "layout": "TT"}, 422, "invalid_input", "/layout"),
    Bad("POST", SEQUENCE, {"inputs": [[1, 2]], "layout": "tf"}, 422, "invalid_input", "/layout"),
    Bad("POST", SEQUENCE, {"inputs": [[1, 2]], "layout": "TB"}, 422, "invalid_input", "/layout"),
    Bad("POST", SEQUENCE, {"inputs": [[1, 2]], "layout": ""}, 422, "invalid_input", "/layout"),
    Bad("POST", SEQUENCE, {"inputs": [[1, 2]], "layout": 3}, 422, "invalid_input", "/layout"),
    Bad("POST", TWO_SEQUENCE, {"inputs": [[1, 2]]}, 422, "shape_mismatch", "/inputs"),
    Bad("POST", TWO_SEQUENCE, {"inputs": [[[1, 2]]]}, 422, "shape_mismatch", "/inputs"),
    Bad("PUT", STATE, {"layers": []}, 422, "invalid_input", "/layers"),
    Bad("PUT", STATE, {"layers": [{"layer": 0}]}, 422, "invalid_input", "/layers"),
    Bad("PUT", STATE, {"layers": [{"layer": 1, "h": [[0, 0, 0]]}]}, 422, "invalid_input", "/layers"),
    Bad("PUT", STATE, {"layers": [{"layer": 0, "hh": [[0, 0, 0]]}]}, 422, "invalid_input", "/layers"),
    Bad("PUT", STATE, {"layers": [{"layer": 0, "h": [[0, 0, 0]], "c": [[0]]}]}, 422, "invalid_input", "/layers"),
    Bad("PUT", STATE, {"layers": [{"layer": 0, "h": [[0, 0, 0]]}] * 2}, 422, "invalid_input", "/layers/1/h"),
    Bad("PUT", STATE, {"layers": [{"layer": 0, "h": [0, 0, 0]}]}, 422, "shape_mismatch", "/layers/0/h/0"),
    Bad("PUT", STATE, {"layers": [{"layer": 0, "h": 0}]}, 422, "invalid_input", "/layers/0/h"),
    Bad("PUT", STATE, {"layers": [{"layer": 0, "h": [[0, 0]]}]}, 422, "shape_mismatch", "/layers"),
    Bad("PUT", STATE, {"layers": [{"layer": 0, "h": [[0, 0, 0]] * 2}]}, 422, "shape_mismatch", "/layers"),
    Bad("PUT", STATE, {"layers": [{"layer": -1, "h": [[0, 0, 0]]}]}, 422, "invalid_input", "/layers/0/layer"),
    Bad("PUT", STATE, {"layers": [{"layer": True, "h": [[0, 0, 0]]}]}, 422, "invalid_input", "/layers/0/layer"),
    Bad("PUT", STATE, {"layers": {"0": {}}}, 422, "invalid_input", "/layers"),
    Bad("PUT", TWO_STATE, {"layers": [{"layer": 0, "h": [[0, 0, 0]]}]}, 422, "shape_mismatch", "/layers"),
]

MEMBERS = [
    Bad("POST", STEP, {}, 422, "invalid_input", "/input"),
    Bad("POST", STEP, [], 422, "invalid_input", ""),
    Bad("POST", STEP, None, 422, "invalid_input", ""),
    Bad("POST", STEP, {"input": [1, 2], "positon": "x"}, 422, "invalid_input", "/positon"),
    Bad("POST", STEP, {"input": [1, 2], "position": "x"}, 422, "invalid_input", "/position"),
    Bad("POST", STEP, {"input": [1, 2], "position": 1}, 422, "invalid_input", "/position"),
    Bad("POST", STEP, {"input": [1, 2], "step": "0"}, 422, "invalid_input", "/step"),
    Bad("POST", STEP, {"input": [1, 2], "step": -1}, 422, "invalid_input", "/step"),
    Bad("POST", STEP, {"input": [1, 2], "step": True}, 422, "invalid_input", "/step"),
    Bad("POST", STEP, {"input": [1, 2], "step": 2**53 + 1}, 422, "invalid_input", "/step"),
    Bad("POST", STEP, {"input": [1, 2], "step": 1.0}, 422, "invalid_input", "/step"),
    Bad("POST", SEQUENCE, {"input": [[1, 2]]}, 422, "invalid_input", "/inputs"),
    Bad("POST", RESET, {"position": "0.0.0"}, 422, "invalid_input", "/position"),
    Bad("POST", RESET, {"step": 1}, 422, "invalid_input", "/step"),
    Bad("PUT", STATE, {}, 422, "invalid_input", "/layers"),
    Bad("POST", "/v1/sessions", {}, 422, "invalid_input", "/model"),
    Bad("POST", "/v1/sessions", {"model": ""}, 422, "invalid_input", "/model"),
    Bad("POST", "/v1/sessions", {"model": "a b"}, 422, "invalid_input", "/model"),
    Bad("POST", "/v1/sessions", {"model": "x@0"}, 422, "invalid_input", "/model"),
    Bad("POST", "/v1/sessions", {"model": "{model}@99"}, 404, "model_unknown"),
    Bad("POST", "/v1/sessions", {"model": "nobody"}, 404, "model_unknown"),
    Bad("POST", "/v1/sessions", {"model": "{model}", "session": "a/b"}, 422, "invalid_input", "/session"),
    Bad("POST", "/v1/sessions", {"model": "{model}", "session": "x" * 129}, 422, "invalid_input", "/session"),
    Bad("POST", "/v1/sessions", {"model": "{model}", "session": "a\n"}, 422, "invalid_input", "/session"),
    Bad("POST", "/v1/sessions", {"model": "{model}", "session": "ä"}, 422, "invalid_input", "/session"),
    Bad("POST", "/v1/sessions", {"model": "{model}", "batch_size": 0}, 422, "invalid_input", "/batch_size"),
    Bad("POST", "/v1/sessions", {"model": "{model}", "batch_size": 65}, 422, "invalid_input", "/batch_size"),
    Bad("POST", "/v1/sessions", {"model": "{model}", "batch_size": "2"}, 422, "invalid_input", "/batch_size"),
    Bad("POST", "/v1/sessions", {"model": "{model}", "ttl_s": 0}, 422, "invalid_input", "/ttl_s"),
    Bad("POST", "/v1/sessions", {"model": "{model}", "ttl_s": 1e400}, 422, "not_finite", "/ttl_s"),
    Bad("POST", "/v1/sessions", {"model": "{model}", "ttl_s": 2**31}, 422, "invalid_input", "/ttl_s"),
    Bad("POST", "/v1/sessions", {"model": "{model}", "session": "{one}", "batch_size": 3}, 409, "already_exists"),
]


def model(**changes: Any) -> dict[str, Any]:
    """Return a model request that is good but for the changes."""
    return {"name": "new", "network": NETWORK, **changes}


def layer(**changes: Any) -> dict[str, Any]:
    """Return a model request whose one layer is good but for the changes."""
    return model(network={"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3, **changes}]})


def own(text: str, **changes: Any) -> dict[str, Any]:
    """Return a model request with a cell of one's own."""
    return layer(cell={"equations": text, **changes})


LAYER = "/network/layers/0"
TEXT = f"{LAYER}/cell/equations"

MODELS = [
    Bad("POST", "/v1/models", {}, 422, "invalid_input", "/name"),
    Bad("POST", "/v1/models", model(name="a@1"), 422, "invalid_input", "/name"),
    Bad("POST", "/v1/models", model(name="x" * 129), 422, "invalid_input", "/name"),
    Bad("POST", "/v1/models", model(name="{model}", seed=99), 409, "already_exists"),
    Bad("POST", "/v1/models", model(seed=-1), 422, "invalid_input", "/seed"),
    Bad("POST", "/v1/models", model(seed=1.5), 422, "invalid_input", "/seed"),
    Bad("POST", "/v1/models", model(seed=2**64), 422, "invalid_input", "/seed"),
    Bad("POST", "/v1/models", model(network=[]), 422, "invalid_input", "/network"),
    Bad("POST", "/v1/models", model(network={"in_size": 2, "layers": []}), 422, "invalid_input", "/network/layers"),
    Bad("POST", "/v1/models", model(network={**NETWORK, "in_size": 0}), 422, "invalid_input", "/network/in_size"),
    Bad("POST", "/v1/models", model(network={**NETWORK, "in_size": True}), 422, "invalid_input", "/network/in_size"),
    Bad("POST", "/v1/models", layer(hidden_size=1 << 20), 422, "invalid_input", f"{LAYER}/hidden_size"),
    Bad("POST", "/v1/models", layer(hidden_size=16_384), 422, "invalid_input", "/network"),
    Bad("POST", "/v1/models", layer(type="convolution"), 422, "invalid_input", LAYER),
    Bad("POST", "/v1/models", layer(cell="gruu"), 422, "invalid_input", f"{LAYER}/cell"),
    Bad("POST", "/v1/models", layer(cell=3), 422, "invalid_input", f"{LAYER}/cell"),
    Bad("POST", "/v1/models", layer(width=3), 422, "invalid_input", f"{LAYER}/width"),
    Bad("POST", "/v1/models", layer(activation="relu"), 422, "invalid_input", f"{LAYER}/activation"),
    Bad("POST", "/v1/models", layer(init={"Wi_q": "zeros"}), 422, "invalid_input", f"{LAYER}/init/Wi_q"),
    Bad("POST", "/v1/models", own("h = tanh(Wxh @ x"), 422, "cell_syntax", TEXT),
    Bad("POST", "/v1/models", own("h = tanh(Wxh @ x) + hh"), 422, "cell_name", TEXT),
    Bad("POST", "/v1/models", own("h = Wxh @ x * x + h"), 422, "cell_shape", TEXT),
    Bad("POST", "/v1/models", own("h = h" + " + h" * 65), 422, "cell_limit", TEXT),
    Bad("POST", "/v1/models", own("h = __import__(x)"), 422, "cell_name", TEXT),
    Bad("POST", "/v1/models", own("__class__ = Wxh @ x"), 422, "cell_name", TEXT),
    Bad("POST", "/v1/models", own("h = x.__class__"), 422, "cell_syntax", TEXT),
    Bad("POST", "/v1/models", own("layer = tanh(Wx @ x + Wh @ layer)"), 422, "cell_name", TEXT),
    Bad("POST", "/v1/models", own("cell = tanh(Wx @ x + Wh @ cell)"), 422, "cell_name", TEXT),
    Bad(
        "POST",
        "/v1/models",
        own("h = tanh(Wx @ x + Wh @ h)", sizes={"k": "3"}),
        422,
        "invalid_input",
        f"{LAYER}/cell/sizes/k",
    ),
]

SIZES = {"in": 2, "hidden": 3}

CELLS = [
    Bad("POST", "/v1/cells", {}, 422, "invalid_input", "/equations"),
    Bad("POST", "/v1/cells", {"equations": 1, "sizes": SIZES}, 422, "invalid_input", "/equations"),
    Bad("POST", "/v1/cells", {"equations": "h = x", "sizes": {"in": 0}}, 422, "invalid_input", "/sizes/in"),
    Bad("POST", "/v1/cells", {"equations": "h = x", "sizes": {"in": "2"}}, 422, "invalid_input", "/sizes/in"),
    Bad("POST", "/v1/cells", {"equations": "", "sizes": SIZES}, 422, "cell_syntax", "/equations"),
    Bad("POST", "/v1/cells", {"equations": "h = tanh(", "sizes": SIZES}, 422, "cell_syntax", "/equations"),
    Bad(
        "POST", "/v1/cells", {"equations": "h = tanh(Wx @ x + Wh @ hh)", "sizes": SIZES}, 422, "cell_name", "/equations"
    ),
    Bad("POST", "/v1/cells", {"equations": "h = x * h + W @ x", "sizes": SIZES}, 422, "cell_shape", "/equations"),
    Bad(
        "POST",
        "/v1/cells",
        {"equations": "h = tanh(Wx @ x + Wh @ h)", "sizes": {"hidden": 3}},
        422,
        "cell_name",
        "/equations",
    ),
    Bad("POST", "/v1/cells", {"equations": "h = h" + " + h" * 65, "sizes": SIZES}, 422, "cell_limit", "/equations"),
    Bad(
        "POST",
        "/v1/cells",
        {"equations": "h = " + "(" * 40 + "x" + ")" * 40, "sizes": SIZES},
        422,
        "cell_limit",
        "/equations",
    ),
    Bad("POST", "/v1/cells", {"equations": "#" * 5000, "sizes": SIZES}, 422, "cell_limit", "/equations"),
    Bad("POST", "/v1/cells", {"equations": "h = eval(x)", "sizes": SIZES}, 422, "cell_name", "/equations"),
]


def job(**changes: Any) -> dict[str, Any]:
    """Return a job request that is good but for the changes."""
    data = {"inputs": [[0, 1], [1, 0]], "targets": [[0, 0, 0], [1, 1, 1]], "layout": "TF"}
    return {"model": "{model}", "data": data, **changes}


def data(**changes: Any) -> dict[str, Any]:
    """Return a job request whose data are good but for the changes."""
    return job(data={**job()["data"], **changes})


JOBS = [
    Bad("POST", "/v1/jobs", {}, 422, "invalid_input", "/model"),
    Bad("POST", "/v1/jobs", job(model="nobody"), 404, "model_unknown"),
    Bad("POST", "/v1/jobs", job(model="no body"), 422, "invalid_input", "/model"),
    Bad("POST", "/v1/jobs", job(data=[]), 422, "invalid_input", "/data"),
    Bad("POST", "/v1/jobs", job(epochs=0), 422, "invalid_input", "/epochs"),
    Bad("POST", "/v1/jobs", job(epochs="3"), 422, "invalid_input", "/epochs"),
    Bad("POST", "/v1/jobs", job(epoch=3), 422, "invalid_input", "/epoch"),
    Bad("POST", "/v1/jobs", job(optimiser="adma"), 422, "invalid_input", "/optimiser"),
    Bad("POST", "/v1/jobs", job(optimiser={"type": "sgd", "beta1": 1}), 422, "invalid_input", "/optimiser/beta1"),
    Bad(
        "POST",
        "/v1/jobs",
        job(optimiser={"type": "sgd", "learning_rate": -1}),
        422,
        "invalid_input",
        "/optimiser/learning_rate",
    ),
    Bad(
        "POST",
        "/v1/jobs",
        job(optimiser={"type": "sgd", "learning_rate": True}),
        422,
        "invalid_input",
        "/optimiser/learning_rate",
    ),
    Bad("POST", "/v1/jobs", job(loss="msee"), 422, "invalid_input", "/loss"),
    Bad("POST", "/v1/jobs", job(state="keep"), 422, "invalid_input", "/state"),
    Bad("POST", "/v1/jobs", job(window=2, skip=2), 422, "invalid_input", ""),
    Bad("POST", "/v1/jobs", job(early_stopping={}), 422, "invalid_input", "/early_stopping/patience"),
    Bad("POST", "/v1/jobs", data(layout="TTF"), 422, "invalid_input", "/data/layout"),
    Bad("POST", "/v1/jobs", data(inputs=[[0, 1], [1]]), 422, "shape_mismatch", "/data/inputs/1"),
    Bad("POST", "/v1/jobs", data(inputs=[]), 422, "shape_mismatch", "/data/inputs"),
    Bad("POST", "/v1/jobs", data(inputs=3), 422, "shape_mismatch", "/data/inputs"),
    Bad("POST", "/v1/jobs", data(validation={"inputs": [[0, 1]]}), 422, "invalid_input", "/data/validation/targets"),
    Bad(
        "POST",
        "/v1/jobs",
        data(validation={"inputs": [[0, "1"]], "targets": [[0, 0, 0]]}),
        422,
        "invalid_input",
        "/data/validation/inputs/0/1",
    ),
]

PLACES = [
    Bad("GET", "/v1/models/nobody", None, 404, "model_unknown"),
    Bad("GET", "/v1/models/{model}@7", None, 404, "model_unknown"),
    Bad("GET", "/v1/models/a%20b", None, 422, "invalid_parameter"),
    Bad("DELETE", "/v1/models/nobody", None, 404, "model_unknown"),
    Bad("DELETE", "/v1/models/{model}@1", None, 422, "invalid_parameter"),
    Bad("GET", "/v1/sessions/nobody", None, 404, "session_unknown"),
    Bad("GET", "/v1/sessions/a%20b", None, 422, "invalid_parameter"),
    Bad("GET", f"/v1/sessions/{'x' * 129}", None, 422, "invalid_parameter"),
    Bad("DELETE", "/v1/sessions/nobody", None, 404, "session_unknown"),
    Bad("GET", "/v1/sessions/nobody/state", None, 404, "session_unknown"),
    Bad("POST", "/v1/sessions/nobody/reset", {}, 404, "session_unknown"),
    Bad("POST", "/v1/sessions/nobody/step", {"input": [1, 2]}, 404, "session_unknown"),
    Bad("POST", "/v1/sessions/a%20b/step", {"input": [1, 2]}, 422, "invalid_parameter"),
    Bad("POST", "/v1/sessions/nobody/sequence", {"inputs": [[1, 2]]}, 404, "session_unknown"),
    Bad("PUT", "/v1/sessions/nobody/state", {"layers": [{"layer": 0, "h": [[0, 0, 0]]}]}, 404, "session_unknown"),
    Bad("GET", "/v1/sessions?limit=0", None, 422, "invalid_parameter"),
    Bad("GET", "/v1/sessions?limit=many", None, 422, "invalid_parameter"),
    Bad("GET", "/v1/sessions?cursor=nowhere", None, 422, "invalid_parameter"),
    Bad("GET", "/v1/jobs?limit=100000", None, 422, "invalid_parameter"),
    Bad("GET", "/v1/jobs/nobody", None, 404, "job_unknown"),
    Bad("GET", "/v1/jobs/a%20b", None, 422, "invalid_parameter"),
    Bad("POST", "/v1/jobs/nobody/cancel", None, 404, "job_unknown"),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the requests of this file go: a model, and sessions of one and two rows that have made a step."""

    client: httpx.AsyncClient
    names: dict[str, str]

    def fill(self, text: str) -> str:
        """Put the names where the braces are."""
        for name, value in self.names.items():
            text = text.replace("{" + name + "}", value)
        return text

    async def positions(self) -> list[str]:
        """Return where the sessions are."""
        answers = [await self.client.get(f"/v1/sessions/{self.names[name]}") for name in ("one", "two")]
        return [answer.json()["position"] for answer in answers]

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """Post JSON."""
        return await self.client.post(self.fill(path), json=body, headers=headers)


@pytest.fixture(scope="module")
async def place(client: httpx.AsyncClient) -> Place:
    """Return a place whose sessions have moved, so that a change of their state would show."""
    names = {name: uuid.uuid4().hex for name in ("model", "one", "two")}
    place = Place(client, names)
    assert (await place.post("/v1/models", {"name": names["model"], "network": NETWORK})).status_code == 201
    for name, rows in (("one", 1), ("two", ROWS)):
        body = {"session": names[name], "model": names["model"], "batch_size": rows}
        assert (await place.post("/v1/sessions", body)).status_code == 201
        assert (await place.post(f"/v1/sessions/{{{name}}}/step", {"input": [[1, -1]] * rows})).status_code == 200
    return place


@pytest.mark.parametrize("bad", WRONG_NUMBERS + SHAPES + MEMBERS + MODELS + CELLS + JOBS + PLACES, ids=str)
async def test_it_is_refused_and_nothing_moves(place: Place, bad: Bad) -> None:
    before = await place.positions()
    has_body = bad.method in ("POST", "PUT") and not bad.path.endswith("/cancel")
    content = bad.body if isinstance(bad.body, str) else json.dumps(bad.body)
    answer = await place.client.request(
        bad.method,
        place.fill(bad.path),
        content=place.fill(content) if has_body else None,
        headers=JSON if has_body else None,
    )
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (bad.status, f"urn:cellar:problem:{bad.slug}"), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == bad.status
    assert problem.get("pointer") == bad.pointer
    assert problem["title"]
    assert problem["detail"]
    if bad.slug.startswith("cell_"):
        assert problem["line"] >= 1
        assert problem["column"] >= 1
    if bad.slug == "invalid_parameter":
        assert {problem["location"], problem["parameter"]} <= {
            "path",
            "query",
            "model",
            "session",
            "job",
            "limit",
            "cursor",
        }
    assert await place.positions() == before
    assert bad.slug in declared(bad)


def declared(bad: Bad) -> str:
    """Return what the OpenAPI document says of that status at that operation."""
    path = re.sub(r"^/v1/(model|session|job)s/[^/]+", r"/v1/\1s/{\1}", bad.path.partition("?")[0])
    text: str = DOCUMENT["paths"][path][bad.method.lower()]["responses"][str(bad.status)]["description"]
    return text


@pytest.mark.parametrize("key", ["", "ä", "x" * 256, "a\tb"])
@pytest.mark.parametrize("path", [STEP, SEQUENCE, RESET])
async def test_keys_are_printable_ascii(place: Place, path: str, key: str) -> None:
    before = await place.positions()
    body = {STEP: {"input": [1, 2]}, SEQUENCE: {"inputs": [[1, 2]]}, RESET: {}}[path]
    answer = await place.client.post(place.fill(path), json=body, headers=[(b"Idempotency-Key", key.encode())])
    assert answer.status_code == 422, answer.text
    assert (answer.json()["location"], answer.json()["parameter"]) == ("header", "Idempotency-Key")
    assert await place.positions() == before


@pytest.mark.parametrize("path", [STEP, SEQUENCE, RESET])
async def test_bodies_are_json_of_a_bounded_size(place: Place, path: str) -> None:
    before = await place.positions()
    for content, headers, status in (
        (b"{}", {}, 415),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{", JSON, 400),
        (b'{"input": [1, 2],}', JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b'{"a":' * 20_000, JSON, 400),
        (b" " * (MAX_BODY_BYTES + 1), JSON, 413),
        (b'{"input": [' + b"0," * MAX_BODY_BYTES + b"0]}", JSON, 413),
    ):
        answer = await place.client.post(place.fill(path), content=content, headers=headers)
        assert answer.status_code == status, (content[:20], answer.text)
    assert await place.positions() == before


ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "input": ITEMS | st.lists(st.floats(width=32) | st.integers(), min_size=2, max_size=2),
        "position": ITEMS,
        "step": ITEMS,
        "layout": ITEMS,
    },
)


@given(body=ITEMS | BODIES, rows=st.sampled_from(["one", "two"]), name=st.sampled_from(["step", "sequence"]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_body_is_answered_or_refused(place: Place, body: Any, rows: str, name: str) -> None:
    if name == "sequence" and isinstance(body, dict) and "input" in body:
        body = {("inputs" if member == "input" else member): value for member, value in body.items()}
    before = await place.positions()
    answer = await place.client.post(
        place.fill(f"/v1/sessions/{{{rows}}}/{name}"), content=json.dumps(body), headers=JSON
    )
    assert answer.status_code in {200, 409, 422}, answer.text
    if answer.status_code != 200:
        assert answer.json()["type"].startswith("urn:cellar:problem:")
        assert await place.positions() == before
