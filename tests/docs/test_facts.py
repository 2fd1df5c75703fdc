"""Tables of the pages against the code that they describe: complete, and true."""

import json
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from cellar.api.errors.problems import EVERYWHERE, status_of
from cellar.api.http.parameters import STEP
from cellar.api.limits.limits import Limits
from cellar.api.schemas.catalogue.jobs import JobRequest
from cellar.api.specs.asyncapi import close_codes
from cellar.cells import BUILT_IN
from cellar.engine.frontend.functions import FUNCTIONS
from cellar.engine.frontend.lexer import MAX_TEXT_BYTES
from cellar.engine.frontend.parser import MAX_DEPTH, MAX_OPERATIONS
from cellar.errors import CellarError, NotReached, TooManyFaults
from cellar.nn.model.layers import LAYERS
from cellar.nn.model.lowering import MAX_LAYERS
from cellar.nn.model.spec import MAX_NESTING
from cellar.nn.spec.base import MAX_SIZE
from cellar.nn.spec.initialisers import FORMS, NamedInitialiser
from cellar.nn.spec.kinds import types_of
from cellar.nn.training.losses import LOSSES
from cellar.nn.training.optimiser import Optimiser
from cellar.nn.training.optimisers import OPTIMISERS
from cellar.nn.training.schedules import SCHEDULES
from cellar.nn.training.spec import TrainingSpec
from cellar.settings import Settings
from cellar.wire.frames import layout
from tests.docs import command_line
from tests.docs.pages import ROOT
from tests.docs.tables import TABLES, filled


def read(page: str) -> str:
    return (ROOT / "docs" / page).read_text()


def flowing(page: str) -> str:
    """Return the text of a page with single blanks in place of line ends."""
    return " ".join(read(page).split())


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table whose first column has that heading."""
    lines = read(page).split(f"| {heading} |", 1)[1].split("\n")[2:]
    table = lines[: next(number for number, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]


def named(text: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def test_every_setting_as_the_code_describes_it() -> None:
    described = [[f"`CELLAR_{name.upper()}`", field.description] for name, field in Settings.model_fields.items()]
    assert rows("reference/settings.md", "variable") == described


def test_every_command_with_its_options() -> None:
    assert read(command_line.PAGE) == command_line.text(), "make openapi writes this page"


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Return method, path and description of every operation of the API document."""
    document = json.loads((ROOT / "openapi" / "openapi.json").read_text())
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if "responses" in operation
    ]


def slugs(heading: str) -> dict[str, int]:
    """Return the status of each problem type in a table of the page of errors."""
    return {named(kind)[0]: int(status) for status, kind, _ in rows("reference/errors.md", heading)}


def statuses(kinds: Iterable[type[CellarError]]) -> dict[str, int]:
    return {kind.slug: status_of(kind) for kind in kinds}


def test_every_answer_of_any_request_with_its_status() -> None:
    framework = {"not_found": 404, "method_not_allowed": 405, "internal_error": 500}
    assert slugs("any") == statuses(EVERYWHERE) | framework


def test_every_answer_of_a_step_with_its_status() -> None:
    assert slugs("step") == statuses(set(STEP) - set(EVERYWHERE))


def test_every_other_answer_that_a_route_declares() -> None:
    declared = {
        slug: int(status)
        for _, _, operation in operations()
        for status, response in operation["responses"].items()
        for slug in re.findall(r"^- `(\w+)`:", response["description"], re.MULTILINE)
    }
    in_lines = statuses((NotReached, TooManyFaults))
    elsewhere = slugs("any") | slugs("step")
    assert slugs("other") == {slug: status for slug, status in (declared | in_lines).items() if slug not in elsewhere}


def test_every_route() -> None:
    shown = re.findall(r"^\| `([A-Z]+) ([^`]+)`", read("reference/api.md"), re.MULTILINE)
    assert sorted(shown) == sorted((method.upper(), path) for method, path, _ in operations())
    streams = (ROOT / "openapi" / "streams.yaml").read_text()
    addresses = re.findall(r'^    address: "(\S+)"$', streams, re.MULTILINE)
    assert re.findall(r"`(/v1/[^`]*stream)`", read("reference/api.md")) == addresses


def test_every_field_of_a_training_job_with_its_default() -> None:
    fields = JobRequest.model_fields.items()
    own = {name: field.default for name, field in fields if name not in {"model", "data", *TrainingSpec.model_fields}}
    unsent: dict[str, Any] = {
        name: [] if field.default == () else None for name, field in fields if field.exclude_if is not None
    }
    defaults = own | json.loads(TrainingSpec().model_dump_json()) | unsent
    bare = {name: value["type"] if isinstance(value, dict) else value for name, value in defaults.items()}
    shown = {named(name)[0]: named(default)[0] for name, default, _ in rows("reference/training.md", "field")}
    assert {name: json.loads(default) for name, default in shown.items()} == bare


@pytest.mark.parametrize("page", TABLES)
def test_tables_of_layers_losses_optimisers_schedules_and_metrics_follow_from_the_code(page: str) -> None:
    assert read(page) == filled(page), "make openapi writes these tables"


@pytest.mark.parametrize(("kind", "kinds"), [("loss", LOSSES), ("optimiser", OPTIMISERS), ("schedule", SCHEDULES)])
def test_every_loss_optimiser_and_schedule_with_its_settings(kind: str, kinds: Sequence[type[BaseModel]]) -> None:
    shared = set(Optimiser.model_fields) | {"type"}
    own = {name: set(spec.model_fields) - shared for spec in kinds for name in types_of(spec)}
    table = {named(name)[0]: set(named(settings)) for name, settings, _ in rows("reference/training.md", kind)}
    assert table == own
    sentence = read("reference/training.md").split("All of them have", 1)[1].split("(added", 1)[0]
    assert set(named(sentence)) == shared - {"type"}


def test_every_layer_with_its_fields() -> None:
    table = {named(name)[0]: set(named(fields)) for name, fields, _ in rows("reference/layers.md", "layer")}
    assert table == {spec.model_fields["type"].default: {*spec.model_fields} - {"type"} for spec in LAYERS}


def test_the_limits_of_networks() -> None:
    limits = f"at most {MAX_LAYERS} layers, and at most {MAX_NESTING} residual layers inside one another"
    assert limits in flowing("reference/layers.md")


def test_every_initialiser() -> None:
    shown = re.findall(r'"(\w+)"', "".join(row[0] for row in rows("reference/cell-language.md", "initialiser")))
    assert {*shown} == {*get_args(NamedInitialiser), *FORMS}


def test_every_function_of_the_language() -> None:
    shown = re.findall(r"`(\w+)\(", "".join(row[0] for row in rows("reference/cell-language.md", "function")))
    assert sorted(shown) == sorted(FUNCTIONS)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_equations_of_every_built_in_cell(name: str) -> None:
    page = read("reference/cell-language.md")
    assert f"```\n{BUILT_IN[name].equations}```" in page.split(f"\n`{name}` (")[1]


def test_the_limits_of_cells() -> None:
    limits = f"{MAX_OPERATIONS} operations, {MAX_DEPTH} levels of brackets, {MAX_TEXT_BYTES} bytes of text"
    assert f"{limits}; sizes up to {MAX_SIZE:,}." in flowing("reference/cell-language.md")


@pytest.mark.parametrize(
    ("heading", "fields"),
    [("header", layout.HEADER_FIELDS), ("step", layout.STEP_FIELDS), ("answer", layout.ANSWER_FIELDS)],
)
def test_every_field_of_a_frame(heading: str, fields: layout.Fields) -> None:
    offset, layout = 0, []
    for name, code in fields:
        size = struct.calcsize("<" + code)
        layout.append([f"`{name}`", str(offset), str(size)])
        offset += size
    assert [row[:3] for row in rows("reference/frames.md", heading)] == layout


def test_every_close_code_of_a_stream() -> None:
    names = {code: {word for word in words if " " not in word} for code, words in close_codes().items()}
    assert {code: set(named(text)) for code, text in rows("reference/websocket.md", "code")} == names


def test_every_limit_with_its_setting_and_a_test_that_is_there() -> None:
    table = rows("reference/limits.md", "resource")
    settings = {name for row in table for name in named(row[2])}
    assert settings <= {f"CELLAR_{name.upper()}" for name in Settings.model_fields}
    assert {f"CELLAR_{field.name.upper()}" for field in fields(Limits)} <= settings
    for resource, *_, proof in table:
        for test in named(proof):
            path, _, function = test.partition("::")
            text = (ROOT / path).read_text()
            assert not function or re.search(rf"def {function}\(", text), (resource, test)


def test_the_limits_are_those_of_the_settings() -> None:
    defaults = {field.name: Settings.model_fields[field.name].default for field in fields(Limits)}
    assert defaults == {field.name: field.default for field in fields(Limits)}


def test_the_runbook_has_a_line_for_every_alert() -> None:
    alerts = re.findall(r"alert: (\w+)", (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    lines = rows("running.md", "alert")
    assert [named(line[0]) for line in lines] == [[alert] for alert in alerts]
    assert all(len(line) == 4 and all(line) for line in lines), "meaning, what to look at, what to do"
