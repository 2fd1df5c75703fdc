"""What every error looks like."""

from pydantic import BaseModel, ConfigDict, Field


class Problem(BaseModel):
    """An RFC 9457 problem document. Members beside the first four depend on the type."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`urn:cellar:problem:` and the name of the problem, which programs may match on.")
    title: str
    status: int
    detail: str = Field(description="What is wrong this time, for a person.")
    pointer: str | None = Field(None, description="JSON pointer (RFC 6901) to the fault in the body.")
    expected: str | None = None
    actual: str | None = None
    location: str | None = Field(None, description="path, query or header, where the fault is not in the body.")
    parameter: str | None = Field(None, description="Its name there.")
    line: int | None = Field(None, description="Of the fault in the text, from 1.")
    column: int | None = Field(None, description="Of the fault in the text, from 1.")
    offset: int | None = Field(None, description="Characters before the fault in malformed JSON, bytes elsewhere.")
    excerpt: str | None = Field(None, description="The line of cell text with a caret below the fault.")
    position: str | None = Field(None, description="Where the session is.")
    boundaries: list[int] | None = Field(None, description="First and next step of the sequence that is overlapped.")
    sessions: int | None = Field(None, description="How many sessions depend on what was to be deleted.")
    jobs: int | None = Field(None, description="How many queued or running jobs do.")
    shadows: int | None = Field(None, description="How many shadows do.")
    snapshots: int | None = Field(None, description="How many snapshots do.")
    outcome: str | None = Field(
        None, description="What is known of the request's effect: not_applied, unknown or applied_not_durable."
    )
