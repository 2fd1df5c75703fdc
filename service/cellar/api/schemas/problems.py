"""The schema of problem documents."""

from pydantic import BaseModel, ConfigDict, Field


class Problem(BaseModel):
    """An RFC 9457 problem document. Members other than the first four depend on the type."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`urn:cellar:problem:` and the name of the problem, which programs compare.")
    title: str
    status: int
    detail: str = Field(description="Says what is wrong and what to do.")
    pointer: str | None = Field(None, description="JSON pointer (RFC 6901) to the fault in the body.")
    expected: str | None = None
    actual: str | None = None
    location: str | None = Field(None, description="path, query or header, if the fault is not in the body.")
    parameter: str | None = Field(None, description="Name of the faulty parameter there.")
    line: int | None = Field(None, description="Line of the fault in the text, from 1.")
    column: int | None = Field(None, description="Column of the fault in the text, from 1.")
    offset: int | None = Field(None, description="Characters before the fault in malformed JSON, bytes elsewhere.")
    excerpt: str | None = Field(None, description="The line of cell text with a caret below the fault.")
    position: str | None = Field(None, description="The present position of the session.")
    boundaries: list[int] | None = Field(
        None, description="First step of the committed sequence, and the step after it."
    )
    sessions: int | None = Field(None, description="Number of sessions that depend on the model.")
    jobs: int | None = Field(None, description="Number of queued or running jobs that depend on it.")
    shadows: int | None = Field(None, description="Number of shadows that depend on it.")
    snapshots: int | None = Field(None, description="Number of snapshots that depend on it.")
    outcome: str | None = Field(
        None, description="The effect of the request: not_applied, unknown or applied_not_durable."
    )
