"""Steps of a model with readings: by name, with missing readings, in every form and exactly once."""

import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.nn.readings.table import encode
from tests.nn.readings.tables import fitted, network_of, weather

pytestmark = pytest.mark.anyio

COLUMNS: list[dict[str, Any]] = [
    {"kind": "number", "name": "temp", "lags": [2]},
    {"kind": "number", "name": "rain", "log": 1.0},
    {"kind": "category", "name": "sky", "missing": "carry"},
    {"kind": "time", "name": "at", "elapsed": True},
]
LINES, NPY = {"content-type": "application/x-ndjson"}, {"content-type": "application/x-npy"}
SPEC = fitted(COLUMNS, weather())
ROWS: NDArray[np.float32] = encode(SPEC.layout, weather(seed=5), [slice(0, 6), slice(200, 206)])


@pytest.fixture(scope="module", autouse=True)
async def models(client: httpx.AsyncClient) -> None:
    """Create two models of the same columns and one of others, and one of plain numbers."""
    recurrent = {"type": "recurrent", "cell": "gru", "hidden_size": 3}
    other = fitted([COLUMNS[0], COLUMNS[1], COLUMNS[2] | {"categories": ["c", "b"]}, COLUMNS[3]], weather())
    for name, spec in (("weather", SPEC), ("again", fitted(COLUMNS, weather(seed=9))), ("other", other)):
        network = network_of(spec, recurrent).document
        answer = await client.post("/v1/models", json={"name": name, "network": network})
        assert answer.status_code == 201, answer.text
    plain = {"in_size": 5, "layers": [recurrent]}
    assert (await client.post("/v1/models", json={"name": "plain", "network": plain})).status_code == 201


async def begin(client: httpx.AsyncClient, model: str = "weather", **options: Any) -> str:
    """Return the path of a new session."""
    answer = await client.post("/v1/sessions", json={"model": model, **options})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


async def post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Any:
    """Return the answer to a request that succeeds."""
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def by_name(row: NDArray[np.float32]) -> dict[str, Any]:
    """Return a row as a client writes it."""
    temp, rain, sky, day, second = row.astype(float).tolist()
    named = {"temp": temp, "rain": rain, "sky": None if np.isnan(sky) else "abc"[int(sky)]}
    return {name: None if value != value else value for name, value in named.items()} | {"at": day * 86400 + second}


def in_order(row: NDArray[np.float32]) -> list[Any]:
    """Return a row as an array of numbers and null."""
    return [None if np.isnan(value) else value for value in row.astype(float).tolist()]


def npy_of(array: NDArray[Any]) -> bytes:
    """Return an array as an npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.fixture(scope="module")
async def expected(client: httpx.AsyncClient) -> list[Any]:
    """Return the outputs of the first series, step by step by name."""
    path = await begin(client)
    return [(await post(client, f"{path}/step", {"input": by_name(row)}))["output"] for row in ROWS[:, 0]]


async def test_every_form_gives_the_same_bits(client: httpx.AsyncClient, expected: list[Any]) -> None:
    path = await begin(client)
    assert [(await post(client, f"{path}/step", {"input": in_order(row)}))["output"] for row in ROWS[:, 0]] == expected
    for inputs in ([by_name(row) for row in ROWS[:, 0]], [in_order(row) for row in ROWS[:, 0]]):
        answer = await post(client, f"{await begin(client)}/sequence", {"inputs": inputs})
        assert answer["outputs"] == expected
    answer = await client.post(f"{await begin(client)}/sequence", content=npy_of(ROWS[:, 0]), headers=NPY)
    assert answer.json()["outputs"] == expected
    text = "\n".join(json.dumps({"input": by_name(row)}) for row in ROWS[:, 0])
    path = await begin(client)
    answer = await client.post(f"{path}/sequence/stream?outputs=all", content=text, headers=LINES)
    assert _outputs(answer.text) == expected
    path = await begin(client)
    answer = await client.post(f"{path}/sequence/stream?outputs=all", content=npy_of(ROWS[:, 0]), headers=NPY)
    assert _outputs(answer.text) == expected


def _outputs(text: str) -> list[Any]:
    """Return the outputs in the answer to a long sequence of one row."""
    return [step[0] for line in text.splitlines()[:-1] for step in json.loads(line)["outputs"]]


async def test_rows_share_a_session_and_may_be_left_out(client: httpx.AsyncClient, expected: list[Any]) -> None:
    path = await begin(client, batch_size=2)
    inputs = [[by_name(ROWS[step, 0]), None if step == 2 else by_name(ROWS[step, 1])] for step in range(6)]
    found = await post(client, f"{path}/sequence", {"inputs": inputs})
    assert [row[0] for row in found["outputs"]] == expected
    assert found["outputs"][2][1] == [None] * 3
    path = await begin(client, batch_size=2)
    for step in range(6):
        body = {"input": inputs[step]} if step % 2 else {"input": inputs[step][:1], "rows": [0]}
        assert (await post(client, f"{path}/step", body))["output"][0] == expected[step]


async def test_bulk_lines_are_steps_of_many_sessions(client: httpx.AsyncClient, expected: list[Any]) -> None:
    names = [(await begin(client)).rpartition("/")[2] for _ in range(3)]
    text = "\n".join(json.dumps({"session": name, "input": by_name(ROWS[0, 0])}) for name in names)
    answer = await client.post("/v1/steps", content=text, headers=LINES)
    assert [json.loads(line)["output"] for line in answer.text.splitlines()] == 3 * [expected[0]]


async def test_a_repeated_step_is_answered_and_another_one_refused(client: httpx.AsyncClient) -> None:
    path, key = await begin(client), {"idempotency-key": "one"}
    first, same, other = by_name(ROWS[0, 0]), dict(reversed(by_name(ROWS[0, 0]).items())), by_name(ROWS[1, 0])
    answers = [await client.post(f"{path}/step", json={"input": row}, headers=key) for row in (first, same, other)]
    assert [answer.status_code for answer in answers] == [200, 200, 422]
    assert answers[0].content == answers[1].content
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert answers[2].json()["type"].endswith(":fingerprint_mismatch")
    position = answers[0].json()["position"]
    again = [await client.post(f"{path}/step", json={"input": other, "position": position}) for _ in range(2)]
    assert again[0].content == again[1].content
    missing = [await client.post(f"{path}/step", json={"input": [None, 1, 0, 20000, 0], "step": 2}) for _ in range(2)]
    assert missing[0].content == missing[1].content


async def test_forks_rewinds_and_replays_have_what_was_read(client: httpx.AsyncClient, expected: list[Any]) -> None:
    path = await begin(client, history=8, log=8)
    for row in ROWS[:4, 0]:
        await post(client, f"{path}/step", {"input": by_name(row)})
    answer = await client.post(f"{path}/fork", json={"names": ["twin"]})
    assert answer.status_code == 200, answer.text
    found = await post(client, "/v1/sessions/twin/step", {"input": by_name(ROWS[4, 0])})
    assert found["output"] == expected[4]
    await post(client, f"{path}/rewind", {"step": 2})
    assert (await post(client, f"{path}/step", {"input": by_name(ROWS[2, 0])}))["output"] == expected[2]


async def test_a_log_is_replayed_on_a_version_with_other_scales(client: httpx.AsyncClient) -> None:
    path = await begin(client, log=8)
    for row in ROWS[:3, 0]:
        await post(client, f"{path}/step", {"input": by_name(row)})
    answer = await client.post(f"{path}/migrate", json={"model": "again", "how": "replay"})
    assert answer.status_code == 200, answer.text
    fresh = await begin(client, "again")
    wanted = [(await post(client, f"{fresh}/step", {"input": by_name(row)}))["output"] for row in ROWS[:4, 0]]
    assert (await post(client, f"{path}/step", {"input": by_name(ROWS[3, 0])}))["output"] == wanted[3]
    refused = await client.post(f"{path}/migrate", json={"model": "other", "how": "replay"})
    assert (refused.status_code, "columns" in refused.json()["detail"]) == (409, True)


@pytest.mark.parametrize(
    ("body", "slug", "pointer", "words"),
    [
        ({"input": {"tmp": 1, "at": 0}}, "id_unknown", "/input/tmp", "temp, rain, sky, at"),
        ({"input": {"temp": "a", "at": 0}}, "type_mismatch", "/input/temp", "a number"),
        ({"input": {"rain": -2, "at": 0}}, "type_mismatch", "/input/rain", "logarithm"),
        ({"input": {"temp": 1}}, "type_mismatch", "/input/at", "ISO 8601"),
        ({"input": [1, 2, 0, 20000, 86500]}, "type_mismatch", "/input/3", "second of the day"),
        ({"input": [1, 2, 9, 20000, 0]}, "id_unknown", "/input/2", "a, b, c"),
        ({"input": [1, 2, 3]}, "shape_mismatch", "/input", "temp, rain, sky, at (day and second)"),
        ({"input": [[1, None, 3]]}, "shape_mismatch", "/input/0", "temp, rain, sky, at"),
    ],
)
async def test_what_is_no_reading_is_refused_with_its_place(
    client: httpx.AsyncClient, body: Any, slug: str, pointer: str, words: str
) -> None:
    path = await begin(client)
    answer = await client.post(f"{path}/step", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["type"], problem["pointer"]) == (422, f"urn:cellar:problem:{slug}", pointer)
    assert words in f"{problem['detail']} {problem['expected']}"
    assert (await client.get(path)).json()["step"] == 0


@pytest.mark.parametrize(
    ("value", "slug", "pointer"),
    [
        ([1, None, 3, 4, 5], "shape_mismatch", "/input"),
        ({"temp": 1}, "shape_mismatch", "/input"),
        ([1, "a", 3, 4, 5], "invalid_input", "/input/1"),
    ],
)
async def test_a_model_of_plain_numbers_takes_no_readings(
    client: httpx.AsyncClient, value: Any, slug: str, pointer: str
) -> None:
    path = await begin(client, "plain")
    await post(client, f"{path}/step", {"input": [1, 2, 3, 4, 5]})
    answer = await client.post(f"{path}/step", json={"input": value})
    assert answer.status_code == 422, answer.text
    assert answer.json()["pointer"].startswith("/input"), answer.text
    answer = await client.post(f"{path}/step", content=npy_of(np.array([1, np.nan, 3, 4, 5])), headers=NPY)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:cellar:problem:not_finite")


async def test_what_was_fitted_can_be_read(client: httpx.AsyncClient) -> None:
    model = (await client.get("/v1/models/weather")).json()
    assert model["network"]["layers"][0]["columns"][0]["fitted"]["readings"] > 300
    assert model["readings"]["features"] == [*SPEC.features]
    assert model["readings"]["columns"][0].startswith("temp: number; by mean 19.8")
    assert "readings" not in (await client.get("/v1/models/plain")).json()
