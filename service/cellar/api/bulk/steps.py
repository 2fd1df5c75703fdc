"""A step of a bulk request, and how steps are submitted."""

from collections.abc import Sequence

from cellar.errors import CellarError, Overloaded
from cellar.ports import StepCommand
from cellar.sessions.requests.request import PendingSteps
from cellar.sessions.service.steps import Steps


class BulkStep:
    """Steps of one session, or the error that prevents them."""

    __slots__ = ("command", "fault", "session", "tag")

    def __init__(
        self, session: str | None, tag: int, command: StepCommand | None, fault: CellarError | None = None
    ) -> None:
        self.session = session
        """The name in the answer, None if it could not be read."""
        self.tag = tag
        self.command = command
        self.fault = fault


def size_of(steps: Sequence[BulkStep]) -> int:
    """Return the bytes of the inputs of steps."""
    size = 0
    for step in steps:
        if step.command is not None:
            size += step.command.inputs.nbytes
    return size


def submit_while_room(
    service: Steps, steps: Sequence[BulkStep], pending: list[PendingSteps | Exception], came_s: float
) -> None:
    """Submit the steps that are not pending yet, in their order, up to the first that finds no room."""
    for at in range(len(pending), len(steps)):
        begun = submit(service, steps[at], came_s)
        if isinstance(begun, Overloaded):
            return
        pending.append(begun)


def submit(service: Steps, step: BulkStep, came_s: float) -> PendingSteps | Exception:
    """Submit a step. Return the error of one that cannot be submitted, which is its answer."""
    command = step.command
    if command is None:
        return step.fault or AssertionError("a step without a fault has a command")
    if command.deadline_s is not None:
        command.came_s = came_s
    try:
        return service.submit(command)
    except Exception as error:
        return error
