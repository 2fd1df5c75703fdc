"""Cells explained: the same as what a model of them has."""

from typing import Any

import httpx
import pytest

from cellar.cells import BUILT_IN

pytestmark = pytest.mark.anyio


async def explain(client: httpx.AsyncClient, equations: str, **sizes: int) -> Any:
    """Return what the service reads in a cell."""
    answer = await client.post("/v1/cells", json={"equations": equations, "sizes": sizes})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_cell_is_explained_as_its_model_will_be(client: httpx.AsyncClient) -> None:
    network = {"in_size": 3, "layers": [{"type": "recurrent", "cell": "lstm", "hidden_size": 5}]}
    model = (await client.post("/v1/models", json={"name": "lstm", "network": network})).json()
    cell = await explain(client, BUILT_IN["lstm"].text(), **{"in": 3}, hidden=5)
    assert cell["parameters"] == [{**line, "name": line["name"].removeprefix("0.")} for line in model["parameters"]]
    assert cell["states"] == [{"name": line["name"], "size": line["size"]} for line in model["state"]]
    assert cell["output"] == {"size": model["out_size"]}


async def test_the_cost_of_a_step_grows_with_the_sizes_and_the_structure_does_not(client: httpx.AsyncClient) -> None:
    text = "param P: proj x hidden\nh = tanh(Wx @ x + Wh @ h)\noutput = P @ h"
    small = await explain(client, text, **{"in": 1}, hidden=2, proj=3)
    large = await explain(client, text, **{"in": 10}, hidden=20, proj=30)
    assert (small["output"], large["output"]) == ({"size": 3}, {"size": 30})
    assert small["operations"] == large["operations"]
    assert small["digest"] == large["digest"]
    assert 2 * (1 * 2 + 2 * 2 + 2 * 3) <= small["flops"] < large["flops"]
