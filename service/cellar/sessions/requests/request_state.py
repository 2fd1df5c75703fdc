"""The states of a request and the transitions between them, as one table.

`cellar.sessions.scheduling.lifecycle` makes the transitions. CONTRIBUTING has a picture that is drawn from here.
"""

from collections.abc import Mapping


class RequestState:
    """A state of a request. `following` are the states that may come next, each with the cause of the transition."""

    __slots__ = ("following", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.following: Mapping[RequestState, str] = {}


WAITING = RequestState("waiting")
"""In the queue of its session."""
DISPATCHED = RequestState("dispatched")
"""Taken up: what it needs, the session's record and model, is at hand or being fetched."""
RUNNING = RequestState("running")
"""In the micro-batch of its model, before or in a kernel call."""
COMMITTING = RequestState("committing")
"""In a commit that was sent to the store."""
ANSWERED = RequestState("answered")
"""The result or the error was given to the transport."""

STATES = (WAITING, DISPATCHED, RUNNING, COMMITTING, ANSWERED)

WAITING.following = {
    DISPATCHED: "it is the next of its session",
    ANSWERED: "cancelled, too late, or the request before it failed",
}
DISPATCHED.following = {
    DISPATCHED: "record or model was fetched, or the session has followed its alias",
    RUNNING: "steps fit the record and the model",
    COMMITTING: "an edit has made the new state",
    WAITING: "it goes alone, behind the first of its group",
    ANSWERED: "answered before, refused, or cancelled",
}
RUNNING.following = {
    COMMITTING: "the kernel has run",
    DISPATCHED: "a batch in its group failed: its steps run one by one",
    WAITING: "others of its group ended or failed",
    ANSWERED: "not finite, failed, too late, or cancelled",
}
COMMITTING.following = {
    DISPATCHED: "the session had changed: it runs again",
    WAITING: "the session had changed: behind the first of its group",
    ANSWERED: "committed, or refused by the store",
}


class IllegalTransition(Exception):
    """A request was to go from a state to one that may not follow it: a fault of the scheduler."""
