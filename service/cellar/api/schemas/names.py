"""Types and patterns of names, positions and layouts in requests, and the base class of answers."""

from datetime import UTC, datetime
from itertools import permutations
from typing import Annotated, Any, Self

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticKnownError

from cellar.nn.spec.base import PARAMETER_PATTERN
from cellar.nn.training.spec import PARAMETER_PATH_PATTERN
from cellar.ports import (
    ALIAS,
    ALIAS_IN_WORDS,
    MODEL_NAME,
    MODEL_NAME_IN_WORDS,
    MODEL_REFERENCE,
    MOST_NAME_BYTES,
    NAME,
    NAME_CHARACTER,
    NAME_IN_WORDS,
    SNAPSHOT_NAME,
    SNAPSHOT_NAME_IN_WORDS,
    is_name,
    is_prefix,
)

NAME_PATTERN = f"^{NAME}$"
SNAPSHOT_PATTERN = f"^{SNAPSHOT_NAME}$"
MODEL_PATTERN = f"^{MODEL_NAME}$"
PREFIX_PATTERN = f"^{NAME_CHARACTER}{{0,{MOST_NAME_BYTES}}}$"
MODEL_PREFIX_PATTERN = r"^[A-Za-z0-9._-]{0,128}$"
TAG_PATTERN = r"^[A-Za-z0-9._:/=+-]{1,64}$"
ALIAS_PATTERN = f"^{ALIAS}$"
REF_PATTERN = f"^{MODEL_REFERENCE}$"
VERSION_PATTERN = rf"^{MODEL_NAME}(@[1-9][0-9]{{0,8}})?$"


def checked_name(text: str) -> str:
    """Return a text that is the name of a session or a writer. Raise pydantic's error of a wrong pattern."""
    if not is_name(text):
        raise PydanticKnownError("string_pattern_mismatch", {"pattern": NAME_PATTERN})
    return text


def _checked_prefix(text: str) -> str:
    if not is_prefix(text):
        raise PydanticKnownError("string_pattern_mismatch", {"pattern": PREFIX_PATTERN})
    return text


NAME_SCHEMA: dict[str, Any] = {"pattern": NAME_PATTERN}
"""The members of the schema of a name besides its type. A pattern cannot limit the bytes of its characters."""

PREFIX_SCHEMA: dict[str, Any] = {"pattern": PREFIX_PATTERN}

Name = Annotated[str, AfterValidator(checked_name), WithJsonSchema({"type": "string", **NAME_SCHEMA})]
NamePrefix = Annotated[str, AfterValidator(_checked_prefix)]
SnapshotName = Annotated[str, Field(pattern=SNAPSHOT_PATTERN)]
ModelName = Annotated[str, Field(pattern=MODEL_PATTERN)]
ModelRef = Annotated[
    str,
    Field(
        pattern=REF_PATTERN,
        description="A model by name, one version of it, or the version of an alias: `co2`, `co2@3`, `co2@live`.",
    ),
]

IDEMPOTENCY_KEY = "Idempotency-Key"
IDEMPOTENCY_KEY_PATTERN = r"^[ -~]{1,255}$"
DELETION_PATTERN = "^[0-9a-f]{24}$"
EPOCH_PATTERN = "^[0-9a-f]{16}$"
LAST_EVENT_ID_PATTERN = r"^[0-9a-f]{16}-(0|[1-9][0-9]{0,15})$"
JOB_EVENT_ID_PATTERN = r"^[1-9][0-9]{0,15}-(0|[1-9][0-9]{0,15})$"
KEY_ID_PATTERN = r"^[0-9a-f]{12}$"
NUMBER_CURSOR_PATTERN = r"^([0-9]{1,15})?$"
JOB_CURSOR_PATTERN = rf"^([0-9]{{1,16}}\.[0-9]{{1,16}}~{MODEL_NAME})?$"
EPOCH_CURSOR_PATTERN = r"^[0-9]{0,9}$"
RESET_PATTERN = r"^(true|false|[01]+(,[01]+)*)$"
COUNTS_PATTERN = r"^(0|[1-9][0-9]{0,8})(,(0|[1-9][0-9]{0,8}))*$"

POSITION_PATTERN = r"^[0-9a-f]{16}\.(0|[1-9][0-9]{0,15})\.[0-9a-f]{32}$"
LAYOUTS = ["".join(letters) for count in (3, 2, 1) for letters in permutations("TBF", count)]

PositionText = Annotated[str, WithJsonSchema({"type": "string", "pattern": POSITION_PATTERN})]
"""A position as text. `parse_position` refuses any other text, with a better explanation than a pattern."""

Layout = Annotated[str, WithJsonSchema({"type": "string", "enum": LAYOUTS})]
"""Axis letters. `check_layout` refuses any other text, and knows its place."""

IN_WORDS = {
    NAME_PATTERN: NAME_IN_WORDS,
    MODEL_PATTERN: MODEL_NAME_IN_WORDS,
    SNAPSHOT_PATTERN: SNAPSHOT_NAME_IN_WORDS,
    PREFIX_PATTERN: f"up to {MOST_NAME_BYTES} bytes of UTF-8 without control characters or line separators",
    MODEL_PREFIX_PATTERN: "up to 128 letters, digits, dots, hyphens or underscores",
    ALIAS_PATTERN: ALIAS_IN_WORDS,
    TAG_PATTERN: "1 to 64 letters, digits or characters of . _ : / = + -",
    PARAMETER_PATH_PATTERN: "the number of a layer or the name of a parameter, as 1, 1.reverse or 1.Wi_r",
    PARAMETER_PATTERN: "a letter and up to 63 more letters, digits or underscores",
    EPOCH_PATTERN: "16 hexadecimal digits, as the first part of a position",
    POSITION_PATTERN: "the `position` of an answer, unchanged",
    DELETION_PATTERN: "the `deletion` of an answer, unchanged",
    RESET_PATTERN: "true, false, or a digit 0 or 1 for each row, of several steps with a comma between",
    COUNTS_PATTERN: "numbers with a comma between, as 0,2",
    LAST_EVENT_ID_PATTERN: "the id of an event, unchanged",
    JOB_EVENT_ID_PATTERN: "the id of an event, unchanged",
    KEY_ID_PATTERN: "12 hexadecimal digits, the part of an API key between its underscores",
    NUMBER_CURSOR_PATTERN: "the cursor of the last answer, or nothing for the first page",
    JOB_CURSOR_PATTERN: "the cursor of the last answer, or nothing for the first page",
    EPOCH_CURSOR_PATTERN: "the cursor of the last answer, the number of an epoch, or nothing for the first page",
    IDEMPOTENCY_KEY_PATTERN: "1 to 255 printable ASCII characters",
    REF_PATTERN: f"a model's name ({MODEL_NAME_IN_WORDS}), alone or with a version or an alias: co2, co2@3, co2@live",
    VERSION_PATTERN: f"a model's name ({MODEL_NAME_IN_WORDS}), with or without a version: co2, co2@3",
}
"""Descriptions of the patterns in error messages."""

MOST_TIMEOUT_MS = 600_000
"""Ten minutes: longer than clients keep a connection open for an answer."""


RAN_BY = "The version that ran it, `co2@3`. Present only if the session follows an alias and the version is known."


class Answer(BaseModel):
    """An answer of the service."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    @classmethod
    def read(cls, source: object, **others: Any) -> Self:
        """Return an answer whose members, except the others, are the attributes of those names of a value."""
        same = {name: getattr(source, name) for name in cls.model_fields if name not in others}
        return cls(**same, **others)


def dump_members(members: dict[str, Any]) -> bytes:
    """Return the members of an answer as JSON, as its model writes them, in a fraction of the time."""
    return orjson.dumps(members, option=orjson.OPT_UTC_Z)


def time_of(seconds: float) -> datetime:
    """Return seconds since the Unix epoch as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
