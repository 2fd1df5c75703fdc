"""Every example of `openapi/examples` happens as written."""

import re

import pytest

from cellar.api.specs.openapi import document
from cellar.main import create_app
from cellar.settings import Settings
from tests.api import examples
from tests.api.conftest import running, with_own_keys

pytestmark = pytest.mark.anyio

EXAMPLES = examples.load()
ALL = [exchange for example in EXAMPLES.values() for exchange in example["exchanges"]]


@pytest.mark.parametrize("name", EXAMPLES)
async def test_example(name: str, settings: Settings) -> None:
    said: dict[str, str] = {}
    async with running(create_app(with_own_keys(settings))) as client:
        for number, exchange in enumerate(EXAMPLES[name]["exchanges"], 1):
            answer = await examples.play(client, exchange["request"], said)
            assert examples.plain(answer) == examples.plain(exchange["response"]), f"exchange {number}"
            examples.learn(exchange["response"], answer, said)


def test_every_operation_has_an_example() -> None:
    shown = {(exchange["request"]["method"].lower(), exchange["request"]["path"].partition("?")[0]) for exchange in ALL}
    for path, operations in document()["paths"].items():
        pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
        for method in operations:
            assert any(one == method and pattern.fullmatch(other) for one, other in shown), f"{method} {path}"
