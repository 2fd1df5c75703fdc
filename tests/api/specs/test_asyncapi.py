"""The AsyncAPI document: the same as in the repository, whole, and true to what a service says."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from cellar.api.specs import asyncapi
from cellar.api.specs.asyncapi_examples import CONVERSATION
from cellar.settings import Settings
from tests.api import examples
from tests.api.conftest import with_own_keys
from tests.api.websocket.conftest import serving

pytestmark = pytest.mark.anyio

NETWORK = {
    "in_size": 1,
    "layers": [{"type": "recurrent", "cell": {"equations": "h = 0.5 * h + x"}, "hidden_size": 1}],
}
"""The network of the examples' session."""

COMMITTED = Path(__file__).parents[3] / "openapi" / "streams.yaml"
DOCUMENT = asyncapi.document()
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]


def references(value: Any) -> list[str]:
    """Return all references in a document."""
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for member in value.values() for each in references(member)]
    return [each for item in value for each in references(item)] if isinstance(value, list) else []


def validator(name: str) -> Draft202012Validator:
    """Return what checks the payloads of a message."""
    return Draft202012Validator({"components": DOCUMENT["components"], **MESSAGES[name]["payload"]})


def test_the_committed_document_is_the_generated_one() -> None:
    assert COMMITTED.read_text() == asyncapi.text(), "write it again: make openapi"
    assert yaml.safe_load(asyncapi.text()) == DOCUMENT


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)
    assert len(found) > 40
    for reference in found:
        there: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            there = there[part]
        assert there


def test_it_is_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"].startswith("3.")
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in {"send", "receive"}
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])
    for channel in DOCUMENT["channels"].values():
        assert channel.get("parameters", {}).keys() == set(re.findall(r"{(\w+)}", channel["address"]))
    said = [message["$ref"] for operation in DOCUMENT["operations"].values() for message in operation["messages"]]
    assert {reference.rpartition("/")[2] for reference in said} == MESSAGES.keys()


@pytest.mark.parametrize("name", asyncapi.SENT | asyncapi.TOLD)
def test_every_message_has_examples_that_fit_its_schema_and_no_other(name: str) -> None:
    Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"])
    for example in MESSAGES[name]["examples"]:
        validator(name).validate(example["payload"])
    others = asyncapi.SENT if name in asyncapi.SENT else ()
    for other in set(others) - {name}:
        assert not validator(other).is_valid(MESSAGES[name]["examples"][0]["payload"])


async def test_the_conversation_happens_as_written(settings: Settings) -> None:
    said: dict[str, str] = {}
    async with serving(with_own_keys(settings)) as served:
        await served.http.post("/v1/models", json={"name": "decay", "network": NETWORK})
        await served.http.post("/v1/sessions", json={"session": "example", "model": "decay"})
        async with served.stream("example") as stream:
            for about, name, payload in CONVERSATION:
                if name in asyncapi.SENT:
                    await stream.send(**examples.replace(payload, said))
                    continue
                if name == "stopping":
                    served.server.should_exit = True
                answer = await stream.receive()
                validator(name).validate(answer)
                examples.learn(payload, answer, said)
                assert examples.plain(answer) == examples.plain(examples.replace(payload, said)), about


def test_its_close_codes_are_those_that_refusals_have() -> None:
    codes = asyncapi.close_codes()
    assert list(codes) == sorted(codes)
    assert codes["4409"][0] == "regressed"
