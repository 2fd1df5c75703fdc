"""Requests that are refused, each with the place and the name of what is wrong with it."""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

NETWORK = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}


@dataclass(frozen=True, slots=True)
class Bad:
    """A request that is refused. In `path`, {one} is a session of one row and {two} one of two rows."""

    method: str
    path: str
    body: Any = None
    pointer: str | None = None
    slug: str = "invalid_input"
    status: int = 422

    def __str__(self) -> str:
        shown = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return f"{self.method} {self.path} {shown[:60]}"


post, put, patch, get, delete = (partial(Bad, method) for method in ("POST", "PUT", "PATCH", "GET", "DELETE"))

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
    *(post(STEP, f'{{"input": [0, {text}]}}', "/input/1", slug=slug) for text, slug in NUMBERS),
    *(post(TWO_STEP, f'{{"input": [[0, 1], [{text}, 1]]}}', "/input/1/0", slug=slug) for text, slug in NUMBERS),
    *(post(SEQUENCE, f'{{"inputs": [[0, 1], [{text}, 1]]}}', "/inputs/1/0", slug=slug) for text, slug in NUMBERS),
    *(
        put(STATE, f'{{"layers": [{{"layer": 0, "h": [[0, 1, {text}]]}}]}}', "/layers/0/h/0/2", slug=slug)
        for text, slug in NUMBERS
    ),
    *(
        post(
            "/v1/jobs",
            f'{{"model": "{{model}}", "data": {{"inputs": [[0, 1]], "targets": [[{text}, 0, 0]], "layout": "TF"}}}}',
            "/data/targets/0/0",
            slug=slug,
        )
        for text, slug in NUMBERS
        if text != "null"  # a target that is null does not count
    ),
]

SHAPES = [
    post(STEP, {"input": []}, "/input", slug="shape_mismatch"),
    post(STEP, {"input": [1]}, "/input", slug="shape_mismatch"),
    post(STEP, {"input": [1, 2, 3]}, "/input", slug="shape_mismatch"),
    post(STEP, {"input": [[1, 2], [3, 4]]}, "/input", slug="shape_mismatch"),
    post(STEP, {"input": [1, [2]]}, "/input/1", slug="shape_mismatch"),
    post(STEP, {"input": [[1, 2], 3]}, "/input/1", slug="shape_mismatch"),
    post(STEP, {"input": [[[1, 2]]]}, "/input/0/0", slug="shape_mismatch"),
    post(STEP, {"input": 1}, "/input"),
    post(STEP, {"input": {"0": 1}}, "/input"),
    post(STEP, {"input": None}, "/input"),
    post(TWO_STEP, {"input": [1, 2]}, "/input", slug="shape_mismatch"),
    post(TWO_STEP, {"input": [[1, 2]]}, "/input", slug="shape_mismatch"),
    post(TWO_STEP, {"input": [[1, 2], [3]]}, "/input/1", slug="shape_mismatch"),
    post(TWO_STEP, {"input": [[1, 2], [3, 4], [5, 6]]}, "/input", slug="shape_mismatch"),
    post(STEP, {"input": [1, 2], "reset": [True, True]}, "/reset"),
    post(STEP, {"input": [1, 2], "reset": []}, "/reset"),
    post(TWO_STEP, {"input": [[1, 2], [3, 4]], "reset": [False]}, "/reset"),
    post(TWO_STEP, {"input": [[1, 2]], "reset": [True]}, "/input", slug="shape_mismatch"),
    post(TWO_SEQUENCE, {"inputs": [[[1, 2], [3, 4]]], "reset": [True] * 3}, "/reset"),
    post(SEQUENCE, {"inputs": []}, "/inputs", slug="shape_mismatch"),
    post(SEQUENCE, {"inputs": [[]]}, "/inputs/0", slug="shape_mismatch"),
    post(SEQUENCE, {"inputs": [1, 2]}, "/inputs/0", slug="shape_mismatch"),
    post(SEQUENCE, {"inputs": [[1, 2], [3]]}, "/inputs/1", slug="shape_mismatch"),
    post(SEQUENCE, {"inputs": [[1, 2, 3]]}, "/inputs", slug="shape_mismatch"),
    post(SEQUENCE, {"inputs": [[1, 2]] * 1001}, "/inputs", slug="shape_mismatch"),
    post(SEQUENCE, {"inputs": [[1, 2]], "layout": "TBF"}, "/inputs/0/0", slug="shape_mismatch"),
    post(SEQUENCE, {"inputs": [[1, 2]], "layout": "FT"}, "/inputs", slug="shape_mismatch"),
    post(SEQUENCE, {"inputs": [[1, 2]], "layout": "TT"}, "/layout"),
    post(SEQUENCE, {"inputs": [[1, 2]], "layout": "tf"}, "/layout"),
    post(SEQUENCE, {"inputs": [[1, 2]], "layout": "TB"}, "/layout"),
    post(SEQUENCE, {"inputs": [[1, 2]], "layout": ""}, "/layout"),
    post(SEQUENCE, {"inputs": [[1, 2]], "layout": 3}, "/layout"),
    post(TWO_SEQUENCE, {"inputs": [[1, 2]]}, "/inputs", slug="shape_mismatch"),
    post(TWO_SEQUENCE, {"inputs": [[[1, 2]]]}, "/inputs", slug="shape_mismatch"),
    put(STATE, {"layers": []}, "/layers"),
    put(STATE, {"layers": [{"layer": 0}]}, "/layers"),
    put(STATE, {"layers": [{"layer": 1, "h": [[0, 0, 0]]}]}, "/layers"),
    put(STATE, {"layers": [{"layer": 0, "hh": [[0, 0, 0]]}]}, "/layers"),
    put(STATE, {"layers": [{"layer": 0, "h": [[0, 0, 0]], "c": [[0]]}]}, "/layers"),
    put(STATE, {"layers": [{"layer": 0, "h": [[0, 0, 0]]}] * 2}, "/layers/1/h"),
    put(STATE, {"layers": [{"layer": 0, "h": [0, 0, 0]}]}, "/layers/0/h/0", slug="shape_mismatch"),
    put(STATE, {"layers": [{"layer": 0, "h": 0}]}, "/layers/0/h"),
    put(STATE, {"layers": [{"layer": 0, "h": [[0, 0]]}]}, "/layers", slug="shape_mismatch"),
    put(STATE, {"layers": [{"layer": 0, "h": [[0, 0, 0]] * 2}]}, "/layers", slug="shape_mismatch"),
    put(STATE, {"layers": [{"layer": -1, "h": [[0, 0, 0]]}]}, "/layers/0/layer"),
    put(STATE, {"layers": [{"layer": True, "h": [[0, 0, 0]]}]}, "/layers/0/layer"),
    put(STATE, {"layers": {"0": {}}}, "/layers"),
    put(TWO_STATE, {"layers": [{"layer": 0, "h": [[0, 0, 0]]}]}, "/layers", slug="shape_mismatch"),
]

STATES = [
    post(RESET, {"rows": []}, "/rows"),
    post(RESET, {"rows": 0}, "/rows"),
    post(RESET, {"rows": [1]}, "/rows/0"),
    post(RESET, {"rows": [0, -1]}, "/rows/1"),
    post(RESET, {"rows": [0, 10**30]}, "/rows/1"),
    post(RESET, {"rows": ["0"]}, "/rows/0"),
    post(RESET, {"rows": [0.5]}, "/rows/0"),
    post(RESET, {"rows": [0, True]}, "/rows/1"),
    post(RESET, {"rows": [True, False]}, "/rows"),
    patch(STATE, {}, "/layers"),
    patch(STATE, {"layers": [{"layer": 1, "h": [[0, 0, 0]]}]}, "/layers"),
    patch(STATE, {"layers": [{"layer": 0, "hh": [[0, 0, 0]]}]}, "/layers"),
    patch(STATE, {"layers": [{"layer": 0, "h": [[0, 0]]}]}, "/layers", slug="shape_mismatch"),
    patch(STATE, {"layers": [{"layer": 0, "h": [[0, 0, 1e39]]}]}, "/layers/0/h/0/2", slug="not_finite"),
    patch(STATE, {"layers": [{"layer": 0, "h": [[0, 0, 0]]}], "position": ""}, "/position"),
]

MEMBERS = [
    post(STEP, {}, "/input"),
    post(STEP, [], ""),
    post(STEP, None, ""),
    post(STEP, {"input": [1, 2], "positon": "x"}, "/positon"),
    post(STEP, {"input": [1, 2], "position": "x"}, "/position"),
    post(STEP, {"input": [1, 2], "position": 1}, "/position"),
    post(STEP, {"input": [1, 2], "step": "0"}, "/step"),
    post(STEP, {"input": [1, 2], "step": -1}, "/step"),
    post(STEP, {"input": [1, 2], "step": True}, "/step"),
    post(STEP, {"input": [1, 2], "step": 2**53 + 1}, "/step"),
    post(STEP, {"input": [1, 2], "step": 1.5}, "/step"),
    post(STEP, {"input": [1, 2], "step": 10**30}, "/step"),
    post(STEP, '{"input": [1, 2], "step": 1, "step": 2}', "/step"),
    post(STEP, {"input": [1, 2], "reset": 1}, "/reset"),
    post(STEP, {"input": [1, 2], "reset": None}, "/reset"),
    post(STEP, {"input": [1, 2], "reset": ["true"]}, "/reset/0"),
    post(TWO_STEP, {"input": [[1, 2], [3, 4]], "reset": [True, 0]}, "/reset/1"),
    post(SEQUENCE, {"input": [[1, 2]]}, "/inputs"),
    post(RESET, {"position": "0.0.0"}, "/position"),
    post(RESET, {"step": 1}, "/step"),
    put(STATE, {}, "/layers"),
    post("/v1/sessions", {}, "/model"),
    post("/v1/sessions", {"model": ""}, "/model"),
    post("/v1/sessions", {"model": "a b"}, "/model"),
    post("/v1/sessions", {"model": "x@0"}, "/model"),
    post("/v1/sessions", {"model": "{model}@99"}, slug="model_unknown", status=404),
    post("/v1/sessions", {"model": "nobody"}, slug="model_unknown", status=404),
    post("/v1/sessions", {"model": "{model}", "session": "a\0"}, "/session"),
    post("/v1/sessions", {"model": "{model}", "session": "x" * 257}, "/session"),
    post("/v1/sessions", {"model": "{model}", "session": "a\n"}, "/session"),
    post("/v1/sessions", {"model": "{model}", "session": "ä" * 129}, "/session"),
    post("/v1/sessions", {"model": "{model}", "batch_size": 0}, "/batch_size"),
    post("/v1/sessions", {"model": "{model}", "batch_size": 65}, "/batch_size"),
    post("/v1/sessions", {"model": "{model}", "batch_size": "2"}, "/batch_size"),
    post("/v1/sessions", {"model": "{model}", "ttl_s": 0}, "/ttl_s"),
    post("/v1/sessions", {"model": "{model}", "ttl_s": 1e400}, "/ttl_s", slug="not_finite"),
    post("/v1/sessions", {"model": "{model}", "ttl_s": 2**31}, "/ttl_s"),
    post("/v1/sessions", {"model": "{model}", "session": "{one}", "batch_size": 3}, slug="already_exists", status=409),
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
    post("/v1/models", {}, "/name"),
    post("/v1/models", model(name="a@1"), "/name"),
    post("/v1/models", model(name="x" * 129), "/name"),
    post("/v1/models", model(name="{model}", seed=99), slug="already_exists", status=409),
    post("/v1/models", model(seed=-1), "/seed"),
    post("/v1/models", model(seed=1.5), "/seed"),
    post("/v1/models", model(seed=2**64), "/seed"),
    post("/v1/models", model(network=[]), "/network"),
    post("/v1/models", model(network={"in_size": 2, "layers": []}), "/network/layers"),
    post("/v1/models", model(network={**NETWORK, "in_size": 0}), "/network/in_size"),
    post("/v1/models", model(network={**NETWORK, "in_size": True}), "/network/in_size"),
    post("/v1/models", layer(hidden_size=1 << 20), f"{LAYER}/hidden_size"),
    post("/v1/models", layer(init={"b_r": {"uniform": [1, -1]}}), f"{LAYER}/init/b_r/uniform"),
    post("/v1/models", layer(hidden_size=16_384), "/network"),
    post("/v1/models", layer(type="convolution"), f"{LAYER}/type"),
    post("/v1/models", layer(cell="gruu"), f"{LAYER}/cell"),
    post("/v1/models", layer(cell=3), f"{LAYER}/cell"),
    post("/v1/models", layer(width=3), f"{LAYER}/width"),
    post("/v1/models", layer(activation="relu"), f"{LAYER}/activation"),
    post("/v1/models", layer(init={"Wi_q": "zeros"}), f"{LAYER}/init/Wi_q"),
    post("/v1/models", own("h = tanh(Wxh @ x"), TEXT, slug="cell_syntax"),
    post("/v1/models", own("h = tanh(Wxh @ x) + hh"), TEXT, slug="cell_name"),
    post("/v1/models", own("h = Wxh @ x * x + h"), TEXT, slug="cell_shape"),
    post("/v1/models", own("h = h" + " + h" * 65), TEXT, slug="cell_limit"),
    post("/v1/models", own("h = __import__(x)"), TEXT, slug="cell_name"),
    post("/v1/models", own("__class__ = Wxh @ x"), TEXT, slug="cell_name"),
    post("/v1/models", own("h = x.__class__"), TEXT, slug="cell_syntax"),
    post("/v1/models", own("layer = tanh(Wx @ x + Wh @ layer)"), TEXT),
    post("/v1/models", own("cell = tanh(Wx @ x + Wh @ cell)"), TEXT),
    post("/v1/models", own("h = tanh(Wx @ x + Wh @ h)", sizes={"k": "3"}), f"{LAYER}/cell/sizes/k"),
]

SIZES = {"in": 2, "hidden": 3}

CELLS = [
    post("/v1/cells", {}, "/equations"),
    post("/v1/cells", {"equations": 1, "sizes": SIZES}, "/equations"),
    post("/v1/cells", {"equations": "h = x", "sizes": {"in": 0}}, "/sizes/in"),
    post("/v1/cells", {"equations": "h = x", "sizes": {"in": "2"}}, "/sizes/in"),
    post("/v1/cells", {"equations": "", "sizes": SIZES}, "/equations", slug="cell_syntax"),
    post("/v1/cells", {"equations": "h = tanh(", "sizes": SIZES}, "/equations", slug="cell_syntax"),
    post("/v1/cells", {"equations": "h = tanh(Wx @ x + Wh @ hh)", "sizes": SIZES}, "/equations", slug="cell_name"),
    post("/v1/cells", {"equations": "h = x * h + W @ x", "sizes": SIZES}, "/equations", slug="cell_shape"),
    post("/v1/cells", {"equations": "h = h" + " + h" * 65, "sizes": SIZES}, "/equations", slug="cell_limit"),
    post(
        "/v1/cells", {"equations": "h = " + "(" * 40 + "x" + ")" * 40, "sizes": SIZES}, "/equations", slug="cell_limit"
    ),
    post("/v1/cells", {"equations": "h = eval(x)", "sizes": SIZES}, "/equations", slug="cell_name"),
]

PLACELESS = [
    post(
        "/v1/cells", {"equations": "h = tanh(Wx @ x + Wh @ h)", "sizes": {"hidden": 3}}, "/equations", slug="cell_name"
    ),
    post("/v1/cells", {"equations": "#" * 5000, "sizes": SIZES}, "/equations", slug="cell_limit"),
]
"""What is wrong with a cell that is not wrong at a place of its text."""


def job(**changes: Any) -> dict[str, Any]:
    """Return a job request that is good but for the changes."""
    data = {"inputs": [[0, 1], [1, 0]], "targets": [[0, 0, 0], [1, 1, 1]], "layout": "TF"}
    return {"model": "{model}", "data": data, **changes}


def data(loss: str = "mse", **changes: Any) -> dict[str, Any]:
    """Return a job request whose data are good but for the changes."""
    return job(loss=loss, data={**job()["data"], **changes})


JOBS = [
    post("/v1/jobs", {}, "/model"),
    post("/v1/jobs", job(model="nobody"), slug="model_unknown", status=404),
    post("/v1/jobs", job(model="no body"), "/model"),
    post("/v1/jobs", job(data=[]), "/data"),
    post("/v1/jobs", job(epochs=0), "/epochs"),
    post("/v1/jobs", job(epochs="3"), "/epochs"),
    post("/v1/jobs", job(epoch=3), "/epoch"),
    post("/v1/jobs", job(optimiser="adma"), "/optimiser"),
    post("/v1/jobs", job(optimiser={"type": "sgd", "beta1": 1}), "/optimiser/beta1"),
    post("/v1/jobs", job(optimiser={"type": "sgd", "learning_rate": -1}), "/optimiser/learning_rate"),
    post("/v1/jobs", job(optimiser={"type": "sgd", "learning_rate": True}), "/optimiser/learning_rate"),
    post("/v1/jobs", job(loss="msee"), "/loss"),
    post("/v1/jobs", job(state="keep"), "/state"),
    post("/v1/jobs", job(window=2, skip=2), "/skip"),
    post("/v1/jobs", job(recompute=0), "/recompute"),
    post("/v1/jobs", job(early_stopping={}), "/early_stopping/patience"),
    post("/v1/jobs", data(layout="TTF"), "/data/layout"),
    post("/v1/jobs", data(inputs=[[0, 1], [1]]), "/data/inputs/1", slug="shape_mismatch"),
    post("/v1/jobs", data(inputs=[]), "/data/inputs", slug="shape_mismatch"),
    post("/v1/jobs", data(inputs=3), "/data/inputs", slug="shape_mismatch"),
    post("/v1/jobs", data(inputs=[[0], [1]]), "/data/inputs", slug="shape_mismatch"),
    post("/v1/jobs", data(targets=[[0], [1]]), "/data/targets", slug="shape_mismatch"),
    post("/v1/jobs", data(targets=[[1, 0, 0], [2, 0, 0]], loss="binary_cross_entropy"), "/data/targets"),
    post("/v1/jobs", data(targets=[[1, 0, 0], [2, 3, -4]], loss="cross_entropy"), "/data/targets"),
    post("/v1/jobs", data(validation={"inputs": [[0, 1]]}), "/data/validation/targets"),
    post("/v1/jobs", data(validation={"inputs": [[0, "1"]], "targets": [[0, 0, 0]]}), "/data/validation/inputs/0/1"),
]

PLACES = [
    get("/v1/models/nobody", slug="model_unknown", status=404),
    get("/v1/models/{model}@7", slug="model_unknown", status=404),
    get("/v1/models/a%20b", slug="invalid_parameter"),
    delete("/v1/models/nobody", slug="model_unknown", status=404),
    delete("/v1/models/{model}@0", slug="invalid_parameter"),
    delete("/v1/models/{model}@1", slug="model_in_use", status=409),
    get("/v1/sessions/nobody", slug="session_unknown", status=404),
    get("/v1/sessions/a%0Ab", slug="invalid_parameter"),
    get(f"/v1/sessions/{'x' * 257}", slug="invalid_parameter"),
    delete("/v1/sessions/nobody", slug="session_unknown", status=404),
    get("/v1/sessions/nobody/state", slug="session_unknown", status=404),
    post("/v1/sessions/nobody/reset", {}, slug="session_unknown", status=404),
    post("/v1/sessions/nobody/step", {"input": [1, 2]}, slug="session_unknown", status=404),
    post("/v1/sessions/a%0Ab/step", {"input": [1, 2]}, slug="invalid_parameter"),
    post("/v1/sessions/{one}%0A/step", {"input": [1, 2]}, slug="invalid_parameter"),
    post("/v1/sessions/nobody/sequence", {"inputs": [[1, 2]]}, slug="session_unknown", status=404),
    put("/v1/sessions/nobody/state", {"layers": [{"layer": 0, "h": [[0, 0, 0]]}]}, slug="session_unknown", status=404),
    get("/v1/sessions?limit=0", slug="invalid_parameter"),
    get("/v1/sessions?limit=many", slug="invalid_parameter"),
    get("/v1/sessions?cursor=nowhere", slug="invalid_parameter"),
    get("/v1/sessions?cursor=-1.a", slug="invalid_parameter"),
    get(f"/v1/sessions?cursor={'x' * 257}", slug="invalid_parameter"),
    get("/v1/jobs?cursor=1.5", slug="invalid_parameter"),
    get("/v1/jobs?cursor=nan~j1", slug="invalid_parameter"),
    get("/v1/jobs?limit=100000", slug="invalid_parameter"),
    get("/v1/jobs/nobody", slug="job_unknown", status=404),
    get("/v1/jobs/a%20b", slug="invalid_parameter"),
    delete("/v1/jobs/nobody", slug="job_unknown", status=404),
    post("/v1/jobs/nobody/cancel", None, slug="job_unknown", status=404),
]

SNAPSHOTS, RESTORE = (f"/v1/sessions/{{one}}/{name}" for name in ("snapshots", "restore"))

KEPT = [
    post(SNAPSHOTS, {}, "/snapshot"),
    post(SNAPSHOTS, {"snapshot": "a b"}, "/snapshot"),
    post(SNAPSHOTS, {"snapshot": ""}, "/snapshot"),
    post(SNAPSHOTS, {"snapshot": "x" * 129}, "/snapshot"),
    post(SNAPSHOTS, {"snapshot": 1}, "/snapshot"),
    post(SNAPSHOTS, {"snapshot": "a", "position": "0.0.0"}, "/position"),
    post(RESTORE, {}, "/snapshot"),
    post(RESTORE, {"snapshot": "nothing"}, slug="snapshot_unknown", status=404),
    get(f"{SNAPSHOTS}/nothing", slug="snapshot_unknown", status=404),
    delete(f"{SNAPSHOTS}/nothing", slug="snapshot_unknown", status=404),
    get(f"{SNAPSHOTS}/a%20b", slug="invalid_parameter"),
    get("/v1/sessions/nobody/snapshots", slug="session_unknown", status=404),
    get("/v1/sessions/nobody/snapshots/a", slug="session_unknown", status=404),
    delete("/v1/sessions/nobody/snapshots/a", slug="session_unknown", status=404),
    post("/v1/sessions/nobody/snapshots", {"snapshot": "a"}, slug="session_unknown", status=404),
    post("/v1/sessions/nobody/restore", {"snapshot": "a"}, slug="session_unknown", status=404),
]

UPDATES = [
    patch("/v1/sessions/{one}", {}, ""),
    patch("/v1/sessions/{one}", {"ttl_s": None}, ""),
    patch("/v1/sessions/{one}", {"ttl_s": 0}, "/ttl_s"),
    patch("/v1/sessions/{one}", {"ttl_s": 2**31}, "/ttl_s"),
    patch("/v1/sessions/{one}", {"ttl_s": True}, "/ttl_s"),
    patch("/v1/sessions/{one}", {"pinned": 1}, "/pinned"),
    patch("/v1/sessions/{one}", {"batch_size": 1}, "/batch_size"),
    patch("/v1/sessions/nobody", {"ttl_s": 1}, slug="session_unknown", status=404),
]

FORK = "/v1/sessions/{one}/fork"

FORKS = [
    post(FORK, {}, ""),
    post(FORK, {"count": 1, "names": ["a"]}, ""),
    post(FORK, {"names": ["a", "a"]}, ""),
    post(FORK, {"count": 0}, "/count"),
    post(FORK, {"count": 257}, "/count"),
    post(FORK, {"count": True}, "/count"),
    post(FORK, {"names": []}, "/names"),
    post(FORK, {"names": [f"n{number}" for number in range(257)]}, "/names"),
    post(FORK, {"names": ["a", "b\u2028c"]}, "/names/1"),
    post(FORK, {"names": "a"}, "/names"),
    post(FORK, {"count": 1, "ttl_s": 0}, "/ttl_s"),
    post(FORK, {"count": 1, "position": "x"}, "/position"),
    post("/v1/sessions/nobody/fork", {"count": 1}, slug="session_unknown", status=404),
]

LISTS = [
    get("/v1/sessions?model=a%20b", slug="invalid_parameter"),
    get("/v1/sessions?model=a@0", slug="invalid_parameter"),
    get("/v1/sessions?pinned=perhaps", slug="invalid_parameter"),
    get("/v1/sessions?prefix=a%00b", slug="invalid_parameter"),
    get("/v1/sessions?prefix=" + "x" * 257, slug="invalid_parameter"),
]

RESOURCE = LISTS + UPDATES + FORKS + KEPT + STATES
ALL = WRONG_NUMBERS + SHAPES + MEMBERS + RESOURCE + MODELS + CELLS + PLACELESS + JOBS + PLACES
