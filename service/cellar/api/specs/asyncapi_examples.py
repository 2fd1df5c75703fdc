"""The examples of the AsyncAPI document: the messages of one conversation on a stream, which a test repeats.

The session `example` is new, and its network has the equation `h = 0.5 * h + x` and one input.
"""

from typing import Any

_EPOCH, _HERE = "5c0e1f2a9b7d4e60", {"durability": "always"}


def _at(step: int, mark: str) -> dict[str, Any]:
    return {"step": step, "position": f"{_EPOCH}.{step}.{mark * 16}", **_HERE}


CONVERSATION: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "Where the session is",
        "greeting",
        {"session": "example", "model": "decay@1", "batch_size": 1, "window": 32, **_at(0, "a0")},
    ),
    ("A step", "step", {"id": 1, "input": [8]}),
    ("Its output", "stepAnswer", {"id": 1, "output": [8.0], **_at(1, "a1")}),
    ("The first request of a writer", "step", {"id": 2, "input": [0], "writer": "gauge", "seq": 1}),
    ("Its output", "stepAnswer", {"id": 2, "output": [4.0], **_at(2, "a2")}),
    ("Sent again", "step", {"id": 3, "input": [0], "writer": "gauge", "seq": 1}),
    ("It had been applied", "stepAnswer", {"id": 3, "output": [4.0], "replayed": True, **_at(2, "a2")}),
    ("A sequence", "sequence", {"id": 4, "inputs": [[1], [2]], "step": 2}),
    ("Its outputs", "sequenceAnswer", {"id": 4, "outputs": [[3.0], [3.5]], **_at(4, "a4")}),
    ("A bad step", "step", {"id": 5, "input": [1, 2], "step": 4}),
    (
        "Its problem",
        "problem",
        {
            "id": 5,
            "problem": {
                "type": "urn:cellar:problem:shape_mismatch",
                "title": "Wrong shape",
                "status": 422,
                "detail": "a step of this session is 1 number, not 2 numbers",
                "pointer": "/input",
                "expected": "(1, 1) (batch_size, in_size)",
                "actual": "(1, 2)",
            },
        },
    ),
    ("A step that depends on it", "step", {"id": 6, "input": [1], "step": 5}),
    (
        "It is not applied",
        "problem",
        {
            "id": 6,
            "problem": {
                "type": "urn:cellar:problem:not_reached",
                "title": "Not reached",
                "status": 409,
                "detail": "step 4, before this one, has failed",
            },
        },
    ),
    ("Resume with the changes after step 1", "resume", {"resume": f"{_EPOCH}.1.{'a1' * 16}", "writer": "gauge"}),
    (
        "The writer's request",
        "missed",
        {"replayed": True, "writer": "gauge", "seq": 1, "output": [4.0], **_at(2, "a2")},
    ),
    ("The sequence", "missed", {"replayed": True, "outputs": [[3.0], [3.5]], **_at(4, "a4")}),
    ("That is all", "resumed", {"resumed": f"{_EPOCH}.1.{'a1' * 16}", **_at(4, "a4")}),
    ("The service ends", "stopping", {"stopping": {"example": f"{_EPOCH}.4.{'a4' * 16}"}}),
)
"""Of each message: a summary, its name in the document, and its content."""
