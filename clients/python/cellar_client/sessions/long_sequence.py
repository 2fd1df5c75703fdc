"""A sequence of any length in one request, which the service runs in chunks while it arrives."""

import json

from cellar_client.arrays import npy
from cellar_client.arrays.inputs import from_lists
from cellar_client.core.effects import Operation, Request
from cellar_client.core.exchange import Patience, exchange
from cellar_client.documents import Document
from cellar_client.errors import CellarError, Problem, Unavailable
from cellar_client.sessions.sent import Sent
from cellar_client.values import Answer, version_of

LONGEST_CHUNK = 2**16
"""Steps of a chunk, which the service answers with a line: as many as it allows, so that there are few lines."""


def apply_long_sequence(path: str, sent: Sent, commit: str, give_up_s: float) -> Operation[Answer]:
    """Send a sequence until all of it is applied, and return the output of its last step.

    The service skips the steps behind the position that were applied before. Raise Problem, whose `position` is that of
    the session.
    """
    params = sent.params() | {"commit": commit, "outputs": "last", "chunk": str(LONGEST_CHUNK)}
    request = Request(
        "POST", f"{path}/sequence/stream", lambda: npy.parts(sent.inputs), {"Content-Type": npy.MEDIA_TYPE}, params
    )
    patience = Patience(give_up_s)
    while True:
        reply = yield from exchange(request, give_up_s)
        *lines, end = [json.loads(line) for line in reply.content.splitlines()] or [{}]
        if end.get("done"):
            return _answer(sent, lines, end)
        if "status" not in end:
            raise CellarError("the service has ended the answer to a long sequence before its last line")
        problem = Problem.of(end)
        if not isinstance(problem, Unavailable):
            raise problem
        yield patience.pause(problem, problem.retry_after_s)


def _answer(sent: Sent, lines: list[Document], end: Document) -> Answer:
    outputs = from_lists(lines[-1].get("outputs") if lines else None)
    output = None if outputs is None else outputs[-1]
    if output is not None and sent.inputs.ndim == 2:
        output = output[0]
    version = version_of(lines[-1].get("model") if lines else None)
    return Answer(output, end["step"], end["position"], end.get("replayed", False), sent.number, version)
