"""Scores of readings over HTTP: their distance from the forecast before them, the same when a request is repeated."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

pytestmark = pytest.mark.anyio

HALF: dict[str, Any] = {"type": "recurrent", "cell": {"equations": "h = 0.5 * h + 0.5 * x"}, "hidden_size": 1}
FORECAST: dict[str, Any] = {
    "type": "forecast",
    "targets": [{"name": "temp", "shift": 1}],
    "residuals": {"levels": [0.1, 0.9], "values": [-0.5, 0.5]},
}
POINT = {name: value for name, value in FORECAST.items() if name != "residuals"}
WIDE: dict[str, Any] = {**FORECAST, "horizon": 2, "residuals": {"levels": [0.1, 0.9], "values": [-1, 1, -9, 9]}}
MODELS: dict[str, tuple[int, list[Any]]] = {
    "kiln": (1, [HALF, FORECAST]),
    "point": (1, [HALF, POINT]),
    "wide": (1, [HALF, {"type": "dense", "out_size": 2}, WIDE]),
    "two": (2, [{"type": "dense", "out_size": 1}, FORECAST]),
    "none": (1, [HALF]),
}


@pytest.fixture(scope="module")
async def service(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Return a client of a service with the models."""
    for name, (in_size, layers) in MODELS.items():
        body = {"name": name, "network": {"in_size": in_size, "layers": layers}, "seed": 3}
        assert (await client.post("/v1/models", json=body)).status_code == 201
    return client


async def begin(client: httpx.AsyncClient, name: str, model: str, **members: Any) -> str:
    """Create a session, and return its path."""
    answer = await client.post("/v1/sessions", json={"session": name, "model": model, **members})
    assert answer.status_code == 201, answer.text
    return f"/v1/sessions/{name}"


async def post(client: httpx.AsyncClient, path: str, **body: Any) -> Any:
    """Return the document of an answer."""
    answer = await client.post(path, json=body)
    assert answer.is_success, answer.text
    return answer.json()


async def test_a_score_is_the_distance_from_the_forecast_in_half_widths(service: httpx.AsyncClient) -> None:
    """It is null before the first forecast, and stays away where nobody asks for it."""
    path = await begin(service, "scored", "kiln")
    first = await post(service, f"{path}/step", input=[3], score=True)
    assert (first["output"], first["score"]) == ([2.5], [None])
    second = await post(service, f"{path}/step", input=[4], score=True, step=1)
    assert (second["output"], second["score"]) == ([3.75], [3.0])
    assert "score" not in await post(service, f"{path}/step", input=[4])
    repeated = await service.post(f"{path}/step", json={"input": [4], "score": True, "step": 1})
    assert (repeated.headers["idempotent-replayed"], repeated.json()) == ("true", second)
    plain = await post(service, f"{path}/step", input=[4], step=1)
    assert plain == {name: value for name, value in second.items() if name != "score"}
    unasked = await post(service, f"{path}/step", input=[4], step=3)
    repeated = await service.post(f"{path}/step", json={"input": [4], "score": True, "step": 3})
    assert repeated.json() == {**unasked, "score": None}


async def test_a_sequence_has_the_scores_of_its_steps(service: httpx.AsyncClient) -> None:
    """Rows that are reset or left out have none, and a row that was left out is measured against its last forecast."""
    path = await begin(service, "single", "wide", batch_size=2)
    inputs = [[[3], [1]], [[4], [2]], [[5], None], [[1], [9]], [[2], [7]]]
    resets = [[False, False]] * 4 + [[True, False]]
    steps = [
        await post(service, f"{path}/step", input=each, score=True, reset=reset)
        for each, reset in zip(inputs, resets, strict=True)
    ]
    scores = [step["score"] for step in steps]
    assert [[row[0] is None for row in step] for step in scores] == [
        [True, True],
        [False, False],
        [False, True],
        [False, False],
        [True, False],
    ]
    forecasts = np.array([[np.nan if row[0] is None else row[0] for row in step["output"]] for step in steps])
    assert scores[1][0][0] == pytest.approx(abs(4 - forecasts[0, 0]))
    assert scores[3][1][0] == pytest.approx(abs(9 - forecasts[1, 1]))
    path = await begin(service, "sequence", "wide", batch_size=2)
    whole = await post(service, f"{path}/sequence", inputs=inputs, reset=resets, score=True, step=0)
    assert whole["score"] == scores
    assert whole == await post(service, f"{path}/sequence", inputs=inputs, reset=resets, score=True, step=0)
    columns = await begin(service, "columns", "wide", batch_size=2)
    by_row = [[[3], [4]], [[1], [2]]]
    turned = await post(service, f"{columns}/sequence", inputs=by_row, layout="BTF", score=True)
    assert turned["score"] == [[step[row] for step in scores[:2]] for row in (0, 1)]
    some = await post(service, f"{columns}/step", input=[[5]], rows=[0], score=True)
    assert some["score"] == [scores[2][0]]


async def test_lines_answer_scores(service: httpx.AsyncClient) -> None:
    await begin(service, "lines", "kiln")
    lines = [{"session": "lines", "input": [value], "score": value == 4, "step": at} for at, value in enumerate((3, 4))]
    for _ in range(2):
        body = "\n".join(map(json.dumps, lines))
        answer = await service.post("/v1/steps", content=body, headers={"Content-Type": "application/x-ndjson"})
        found = [json.loads(line) for line in answer.text.splitlines()]
        assert [line.get("score") for line in found] == [None, [3.0]], answer.text
        assert [line["output"] for line in found] == [[2.5], [3.75]]


@pytest.mark.parametrize("model", ["point", "two", "none"])
async def test_a_model_without_intervals_or_readings_of_a_target_has_no_scores(
    service: httpx.AsyncClient, model: str
) -> None:
    path = await begin(service, f"refused-{model}", model)
    size = MODELS[model][0]
    answer = await service.post(f"{path}/step", json={"input": [1] * size, "score": True})
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (422, "invalid_input"), answer.text
    assert answer.json()["pointer"] == "/score"
    assert (await post(service, f"{path}/step", input=[1] * size))["step"] == 1
