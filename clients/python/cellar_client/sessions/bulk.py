"""A step of each of many sessions in one request, each exactly once."""

from collections.abc import Sequence

from cellar_client.arrays import frames
from cellar_client.arrays.inputs import Inputs
from cellar_client.core.effects import ConnectionLost, Operation, Reply, Request
from cellar_client.core.exchange import Patience, problem_of
from cellar_client.errors import Problem, Regressed, Unavailable
from cellar_client.sessions.sent import Sent
from cellar_client.sessions.session import SessionCore
from cellar_client.values import Answer

HEADERS = {"Content-Type": frames.MEDIA_TYPE, "Accept": frames.MEDIA_TYPE}


class Bulk:
    """Steps of different sessions, sent together until each is answered."""

    def __init__(self, steps: Sequence[tuple[SessionCore, Inputs]], *, sequence: bool, give_up_s: float) -> None:
        names = {core.name for core, _ in steps}
        if len(names) != len(steps):
            raise ValueError("a session has several steps: send them as a sequence, or one after the other")
        self._cores = [core for core, _ in steps]
        self._sent = [core.begin(inputs, sequence=sequence) for core, inputs in steps]
        self._outcomes: list[Answer | Problem | None] = [None] * len(steps)
        self._patience = Patience(give_up_s)

    def run(self) -> Operation[list[Answer | Problem]]:
        """Return the outcome of each step, in order."""
        left = list(range(len(self._sent)))
        while left:
            yield from self._try(next(frames.split(map(self._record, left))))
            left = [at for at in left if self._outcomes[at] is None]
        return [outcome for outcome in self._outcomes if outcome is not None]

    def _try(self, records: Sequence[frames.Step]) -> Operation[None]:
        """Send some steps once, and note what was answered. Raise Problem if the request itself was refused."""
        try:
            reply: Reply = yield Request("POST", "/v1/steps", frames.pack(records), HEADERS)
        except ConnectionLost as error:
            yield self._patience.pause(error)
            return
        problem = problem_of(reply) if reply.status >= 300 else None
        if problem is None:
            problem = yield from self._note_all(frames.unpack(reply.content))
        elif not isinstance(problem, Unavailable):
            raise problem
        if problem is not None:
            yield self._patience.pause(problem, problem.retry_after_s)

    def _note_all(self, answers: Sequence[frames.StepAnswer]) -> Operation[Problem | None]:
        """Note answers. Return an error after which some steps are to be sent again."""
        again: Problem | None = None
        for answer in answers:
            problem = None if answer.problem is None else Problem.of(answer.problem)
            if answer.tag < 0 or isinstance(problem, Unavailable):
                again = problem
                continue
            self._patience.restart()
            core, sent = self._cores[answer.tag], self._sent[answer.tag]
            if isinstance(problem, Regressed):
                self._outcomes[answer.tag] = yield from self._finish(core, sent)
            elif problem is not None:
                self._outcomes[answer.tag] = problem
            else:
                self._outcomes[answer.tag] = core.note(sent, _answer_of(sent, answer))
        return again

    def _finish(self, core: SessionCore, sent: Sent) -> Operation[Answer | Problem]:
        """Send the steps of one session that Redis has lost, and then this one."""
        try:
            return (yield from core.finish(sent))
        except Problem as problem:
            return problem

    def _record(self, at: int) -> frames.Step:
        sent = self._sent[at]
        inputs = sent.inputs
        if not hasattr(inputs, "ndim"):
            raise TypeError("steps of many sessions are arrays of numbers: send readings by name with `Session.step`")
        shape = (len(inputs), 1, -1) if sent.sequence and inputs.ndim == 2 else (1, *inputs.shape)
        shaped = inputs if inputs.ndim == 3 else inputs.reshape(shape if inputs.ndim == 2 else (1, 1, -1))
        return frames.Step(at, shaped, sent.sequence, self._cores[at].name, sent.before)


def _answer_of(sent: Sent, answer: frames.StepAnswer) -> Answer:
    output = answer.outputs
    if output is not None:
        output = output[:, 0] if sent.inputs.ndim == 1 + sent.sequence else output
        output = output if sent.sequence else output[0]
    return Answer(output, answer.step, answer.position, answer.replayed, sent.number, answer.version)
