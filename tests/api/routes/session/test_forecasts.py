"""Forecasts over HTTP: they do not move the session, equal what its steps give, and name what does not fit."""

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest

pytestmark = pytest.mark.anyio

GRU = {"type": "recurrent", "cell": "gru", "hidden_size": 4}
TEMP = {"name": "temp", "shift": 20, "scale": 4}


def layers(size: int, **forecast: Any) -> list[dict[str, Any]]:
    """Return a GRU with a forecast layer."""
    return [GRU, {"type": "dense", "out_size": size}, {"type": "forecast", "targets": [TEMP], **forecast}]


MODELS: dict[str, tuple[int, list[dict[str, Any]]]] = {
    "next": (1, layers(2, head={"distribution": "gaussian"})),
    "direct": (1, layers(12, horizon=4, head={"quantiles": [0.1, 0.5, 0.9]})),
    "point": (1, layers(1)),
    "plain": (2, [GRU, {"type": "dense", "out_size": 1}]),
}


@pytest.fixture(scope="module")
async def stepped(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Return a client of a service with a session of each model, two of whose steps are made, and of two rows."""
    for name, (in_size, network) in MODELS.items():
        body = {"name": name, "network": {"in_size": in_size, "layers": network}, "seed": 3}
        assert (await client.post("/v1/models", json=body)).status_code == 201
        await client.post("/v1/sessions", json={"session": name, "model": name})
        for value in (0.2, -0.4):
            assert (await client.post(f"/v1/sessions/{name}/step", json={"input": [value] * in_size})).is_success
    await client.post("/v1/sessions", json={"session": "new", "model": "next"})
    await client.post("/v1/sessions", json={"session": "rows", "model": "next", "batch_size": 2})
    await client.post("/v1/sessions/rows/step", json={"input": [[0.1], [0.9]]})
    return client


async def forecast(client: httpx.AsyncClient, session: str, **body: Any) -> Any:
    """Return the answer of a forecast."""
    answer = await client.post(f"/v1/sessions/{session}/forecast", json=body)
    assert answer.is_success, answer.text
    return answer.json()


async def outputs(client: httpx.AsyncClient, session: str, *inputs: list[float]) -> list[list[float]]:
    """Return the outputs of the next steps of a fork of a session."""
    child = (await client.post(f"/v1/sessions/{session}/fork", json={"count": 1})).json()["children"][0]["session"]
    answers = [await client.post(f"/v1/sessions/{child}/step", json={"input": each}) for each in inputs]
    return [answer.json()["output"] for answer in answers]


async def test_a_direct_head_answers_the_last_outputs(stepped: httpx.AsyncClient) -> None:
    """Of all steps ahead or of fewer; quantiles that the head does not have lie between those that it has."""
    await outputs(stepped, "direct")
    answer = await stepped.post("/v1/sessions/direct/step", json={"input": [1]})
    last = np.sort(np.array(answer.json()["output"]).reshape(4, 3), axis=1)
    found = await forecast(stepped, "direct")
    assert (found["horizon"], found["position"]) == (4, answer.json()["position"])
    temp = found["targets"]["temp"]
    assert [temp["quantiles"][name] for name in ("0.1", "0.5", "0.9")] == last.T.tolist()
    assert temp["point"] == temp["quantiles"]["0.5"]
    fewer = (await forecast(stepped, "direct", horizon=2, quantiles=[0.3]))["targets"]["temp"]
    assert all(last[:2, 0] < fewer["quantiles"]["0.3"])
    assert all(fewer["quantiles"]["0.3"] < last[:2, 1])


async def test_a_rolled_forecast_equals_steps_of_a_fork(stepped: httpx.AsyncClient) -> None:
    """Each value of a model of points is the input of the next step, and inputs that are known are in `future`."""
    found = (await forecast(stepped, "point", horizon=4))["targets"]["temp"]
    assert found["quantiles"] is None
    expected = [found["point"][0]]
    for _ in range(3):
        expected.append((await outputs(stepped, "point", *[[value] for value in expected]))[-1][0])
    assert found["point"] == expected
    body = {"horizon": 3, "last": [[0.25]], "feedback": {"0": 1}, "future": [[5, None], [6, None]]}
    found = (await forecast(stepped, "plain", **body))["targets"]["0"]["point"]
    first = (await outputs(stepped, "plain", [5, 0.25]))[0][0]
    assert found == [0.25, first, (await outputs(stepped, "plain", [5, 0.25], [6, first]))[1][0]]


async def test_paths_come_from_the_seed_and_the_session_stays(stepped: httpx.AsyncClient) -> None:
    """The same request has the same numbers, quantiles are those of the paths, and each path is as a fork."""
    before = (await stepped.get("/v1/sessions/next")).json()["position"]
    asked = {"horizon": 3, "paths": 50, "seed": 9, "quantiles": [0.25, 0.75], "include_paths": True}
    found = await forecast(stepped, "next", **asked)
    assert found == await forecast(stepped, "next", **asked)
    temp = found["targets"]["temp"]
    other = await forecast(stepped, "next", **asked | {"seed": 8})
    assert other["targets"]["temp"]["point"] != temp["point"]
    paths = np.array(temp["paths"])
    assert paths.shape == (50, 3)
    np.testing.assert_allclose(temp["quantiles"]["0.25"], np.quantile(paths, 0.25, axis=0), rtol=1e-6)
    np.testing.assert_allclose(temp["point"], np.median(paths, axis=0), rtol=1e-6)
    mean, deviation = (await outputs(stepped, "next", [paths[7, 0]]))[0]
    assert abs(paths[7, 1] - mean) < 6 * deviation
    assert (await stepped.get("/v1/sessions/next")).json()["position"] == before


async def test_rows_have_forecasts_of_their_own(stepped: httpx.AsyncClient) -> None:
    found = (await forecast(stepped, "rows", horizon=2, paths=20))["targets"]["temp"]
    assert np.shape(found["point"]) == (2, 2)
    assert np.shape(found["quantiles"]["0.9"]) == (2, 2)
    assert found["point"][0] != found["point"][1]


async def test_steps_in_flight_are_made_once(stepped: httpx.AsyncClient) -> None:
    """Of steps and forecasts that are sent together every step is there, and forecasts are of positions between."""
    await stepped.post("/v1/sessions", json={"session": "busy", "model": "next"})
    await stepped.post("/v1/sessions/busy/step", json={"input": [0]})
    steps = [stepped.post("/v1/sessions/busy/step", json={"input": [number / 10]}) for number in range(20)]
    looks = [stepped.post("/v1/sessions/busy/forecast", json={"horizon": 8, "paths": 30}) for _ in range(5)]
    answers = await asyncio.gather(*steps, *looks)
    assert all(answer.is_success for answer in answers)
    positions = {answer.json()["position"] for answer in answers[:20]}
    assert len(positions) == 20
    assert {int(answer.json()["position"].split(".")[1]) for answer in answers[20:]} <= {*range(1, 22)}
    assert (await stepped.get("/v1/sessions/busy")).json()["step"] == 21


@pytest.mark.parametrize(
    ("session", "body", "pointer", "expected"),
    [
        ("direct", {"horizon": 5}, "/horizon", "at most 4"),
        ("direct", {"paths": 2}, "/paths", "no paths, or a model that forecasts the next step"),
        ("point", {"quantiles": [0.5]}, "/quantiles", "no quantiles, or a model with a forecast of quantiles"),
        ("point", {"paths": 3}, "/paths", "a model with quantiles"),
        ("point", {"last": [[1]]}, "/last", "no such member"),
        ("plain", {}, "/last", "the 1 outputs of the last step"),
        ("plain", {"last": [[1, 2]]}, "/last", "1 x 1 numbers"),
        ("plain", {"last": [[1]], "horizon": 2}, "/feedback", "for each output the input"),
        ("plain", {"last": [[1]], "horizon": 2, "feedback": {"0": 2}}, "/feedback/0", "outputs 0 to 0"),
        ("plain", {"last": [[1]], "horizon": 2, "feedback": {"a/b": 0}}, "/feedback/a~1b", "one of 0"),
        ("plain", {"last": [[1]], "horizon": 2, "feedback": {"0": 1}}, "/future", "a number for each input"),
        (
            "plain",
            {"last": [[1]], "horizon": 3, "feedback": {"0": 1}, "future": [[1, None], [None, None]]},
            "/future/1/0",
            "a number for each input",
        ),
        ("plain", {"last": [[1]], "horizon": 2, "feedback": {"0": 1}, "future": [[1]]}, "/future", "1 steps"),
        ("plain", {"last": [[1], [1, 2]]}, "/last/1", "1 numbers"),
        ("next", {"horizon": 60_000, "paths": 10_000}, "/paths", "at most 1000000 rows"),
        ("next", {"horizon": 0}, "/horizon", "1"),
        ("next", {"quantiles": [0.9, 0.1]}, "/quantiles", ""),
        ("next", {"future": [["x"]]}, "/future/0/0", "number"),
        ("new", {}, "", "a session with a step"),
    ],
)
async def test_faults_are_named(
    stepped: httpx.AsyncClient, session: str, body: dict[str, Any], pointer: str, expected: str
) -> None:
    answer = await stepped.post(f"/v1/sessions/{session}/forecast", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["pointer"]) == (422, pointer), problem
    assert expected in (problem.get("expected") or "")


async def test_a_session_without_a_step_has_no_forecast(stepped: httpx.AsyncClient) -> None:
    """Also if other layers of its model begin with numbers that are not 0."""
    column = {"kind": "number", "name": "temp", "fitted": FITTED}
    network = [{"type": "readings", "columns": [column]}, *layers(1)]
    body = {"name": "filled", "network": {"in_size": 1, "layers": network}}
    assert (await stepped.post("/v1/models", json=body)).status_code == 201
    for session, model in (("begun", "filled"), ("also-begun", "next")):
        await stepped.post("/v1/sessions", json={"session": session, "model": model})
        answer = await stepped.post(f"/v1/sessions/{session}/forecast", json={})
        assert answer.status_code == 422
        assert "made no step" in answer.json()["detail"]


FITTED = {"shift": 0, "scale": 1, "fill": 0.5, "lowest": 0, "highest": 2, "readings": 3, "missing": 0}
