"""Tables of the pages against the code that they describe: complete, and true."""

import json
import re
import struct
from dataclasses import fields
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from cellar.api.limits import Limits
from cellar.api.problems import EVERYWHERE, status_of
from cellar.api.routes.parameters import STEP
from cellar.api.schemas.jobs import JobRequest
from cellar.api.streams.document import close_codes
from cellar.cells import BUILT_IN
from cellar.cli import main
from cellar.engine.functions import FUNCTIONS
from cellar.engine.parse import MAX_DEPTH, MAX_OPERATIONS
from cellar.engine.tokens import MAX_TEXT_BYTES
from cellar.nn import training
from cellar.nn.spec import FORMS, MAX_LAYERS, MAX_NESTING, MAX_SIZE, LayerSpec, NamedInitialiser
from cellar.settings import Settings
from cellar.wire import frames
from tests.docs.pages import ROOT

TYPES: dict[str, Any] = {
    "loss": training.LossSpec,
    "optimiser": training.OptimiserSpec,
    "schedule": training.ScheduleSpec,
}


def read(page: str) -> str:
    return (ROOT / "docs" / page).read_text()


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
    assert rows("operations.md", "variable") == described


def test_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert [[f"cellar {command}"] for command in listed] == [named(row[0]) for row in rows("operations.md", "command")]


def test_every_answer_of_a_step_with_its_status() -> None:
    table = {named(kind)[0]: int(status) for status, kind, _ in rows("sessions.md", "status") if kind}
    assert table == {error.slug: status_of(error) for error in STEP}


def test_what_every_route_may_answer() -> None:
    table = {named(kind)[0]: int(status) for status, kind, _ in rows("http.md", "status")}
    assert table == {error.slug: status_of(error) for error in EVERYWHERE}


def test_every_field_of_a_training_job_with_its_default() -> None:
    fields = JobRequest.model_fields.items()
    own = {
        name: field.default
        for name, field in fields
        if name not in {"model", "data", *training.TrainingSpec.model_fields}
    }
    defaults = own | json.loads(training.TrainingSpec().model_dump_json())
    bare = {name: value["type"] if isinstance(value, dict) else value for name, value in defaults.items()}
    table = {named(name)[0]: json.loads(named(default)[0]) for name, default, _ in rows("training.md", "field")}
    assert table == bare


@pytest.mark.parametrize("kind", TYPES)
def test_every_loss_optimiser_and_schedule_with_its_settings(kind: str) -> None:
    classes: tuple[type[BaseModel], ...] = get_args(get_args(TYPES[kind])[0])
    shared = set(training.OptimiserBase.model_fields) | {"type"}
    own = {
        name: set(spec.model_fields) - shared
        for spec in classes
        for name in get_args(spec.model_fields["type"].annotation)
    }
    table = {named(name)[0]: set(named(text)) for name, text in rows("training.md", kind)}
    assert table == own
    assert set(named(read("training.md").split("All of them have", 1)[1].split("(added", 1)[0])) == shared - {"type"}


def test_every_layer_with_its_fields() -> None:
    specs: tuple[type[BaseModel], ...] = get_args(get_args(LayerSpec)[0])
    table = {named(name)[0]: set(named(fields)) for name, fields, _ in rows("layers.md", "layer")}
    assert table == {spec.model_fields["type"].default: {*spec.model_fields} - {"type"} for spec in specs}


def test_the_limits_of_networks() -> None:
    assert f"at most {MAX_LAYERS} layers and {MAX_NESTING} residual ones within each other" in read("layers.md")


def test_every_initialiser() -> None:
    shown = re.findall(r'"(\w+)"', "".join(row[0] for row in rows("cells.md", "initialiser")))
    assert {*shown} == {*get_args(NamedInitialiser), *FORMS}


def test_every_function_of_the_language() -> None:
    shown = re.findall(r"`(\w+)\(", "".join(row[0] for row in rows("cells.md", "function")))
    assert sorted(shown) == sorted(FUNCTIONS)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_equations_of_every_built_in_cell(name: str) -> None:
    page = read("cells.md")
    assert f"```\n{BUILT_IN[name].equations}```" in page.split(f"\n`{name}` (")[1]


def test_the_limits_of_cells() -> None:
    limits = f"{MAX_OPERATIONS} operations, {MAX_DEPTH} levels of brackets, {MAX_TEXT_BYTES} bytes of text"
    assert f"{limits}; sizes up to {MAX_SIZE:,}." in read("cells.md")


@pytest.mark.parametrize(
    ("heading", "fields"),
    [("header", frames.HEADER_FIELDS), ("step", frames.STEP_FIELDS), ("answer", frames.ANSWER_FIELDS)],
)
def test_every_field_of_a_frame(heading: str, fields: frames.Fields) -> None:
    offset, layout = 0, []
    for name, code in fields:
        size = struct.calcsize("<" + code)
        layout.append([f"`{name}`", str(offset), str(size)])
        offset += size
    assert [row[:3] for row in rows("frames.md", heading)] == layout


def test_every_close_code_of_a_stream() -> None:
    names = {code: {word for word in words if " " not in word} for code, words in close_codes().items()}
    assert {code: set(named(text)) for code, text in rows("streams.md", "code")} == names


def test_every_limit_with_its_setting_and_a_test_that_is_there() -> None:
    table = rows("operations.md", "resource")
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
