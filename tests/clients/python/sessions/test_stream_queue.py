"""The steps of a stream, without a network."""

import json

import numpy as np
import pytest

from cellar_client import Answer, CellarError, Problem
from cellar_client.arrays import frames
from cellar_client.sessions.stream_queue import StreamQueue


def queue_of(*values: float) -> StreamQueue:
    """Return a queue of single steps, all sent."""
    queue = StreamQueue(remember=8)
    for value in values:
        queue.push([value])
    queue.next_to_send(32)
    return queue


def good(seq: int, step: int = 1) -> frames.StepAnswer:
    """Return the answer to a step that was applied."""
    return frames.StepAnswer(seq, np.full((1, 1, 1), seq, np.float32), f"{8 * '00'}.{step}.00", step)


def bad(seq: int, name: str, status: int = 409) -> frames.StepAnswer:
    """Return the answer to a step that was not applied."""
    return frames.StepAnswer(seq, problem={"type": f"urn:cellar:problem:{name}", "status": status})


def numbers(queue: StreamQueue) -> list[tuple[int, int]]:
    """Return number and seq of what is pending."""
    return [(entry.number, entry.seq) for entry in queue.pending]


def test_the_window_bounds_what_is_in_flight() -> None:
    queue = StreamQueue(remember=8)
    for value in range(5):
        queue.push([value])
    assert [entry.seq for entry in queue.next_to_send(3)] == [1, 2, 3]
    assert queue.next_to_send(3) == []
    queue.take([good(1)])
    assert [entry.seq for entry in queue.next_to_send(3)] == [4]
    queue.lose_connection()
    assert [entry.seq for entry in queue.next_to_send(3)] == [2, 3, 4]


def test_steps_behind_a_refused_one_get_new_numbers() -> None:
    queue = queue_of(1, 2, 3)
    queue.take([good(1), bad(2, "shape_mismatch", 422), bad(3, "not_reached")])
    assert queue.in_flight == 0
    assert queue.next_to_send(32) == []
    queue.drop_refused()
    assert numbers(queue) == [(3, 2)]
    assert isinstance(queue.hand_over(), Answer)
    assert isinstance(queue.hand_over(), Problem)
    assert [entry.seq for entry in queue.next_to_send(32)] == [2]
    queue.push([4])
    assert numbers(queue) == [(3, 2), (4, 3)]


def test_lost_steps_are_taken_back_and_answered_once() -> None:
    queue = queue_of(1, 2, 3)
    queue.take([good(1), good(2), bad(3, "regressed")])
    assert queue.rewind(1)
    assert numbers(queue) == [(2, 2), (3, 3)]
    queue.next_to_send(32)
    queue.take([good(2), good(3)])
    answers = [queue.hand_over() for _ in range(3)]
    assert [answer.number for answer in answers if isinstance(answer, Answer)] == [1, 2, 3]
    assert not queue.ready


def test_more_lost_steps_than_are_remembered() -> None:
    queue = queue_of(*range(20))
    queue.take([good(seq) for seq in range(1, 20)])
    assert not queue.rewind(5)
    assert queue.rewind(15)


def test_it_continues_from_its_document() -> None:
    queue = queue_of(1, 2, 3, 4)
    queue.push([[5, 6], [7, 8]], sequence=True)
    queue.take([good(1), good(2), good(3)])
    queue.hand_over()
    again = StreamQueue(remember=8)
    again.unpack(json.loads(json.dumps(queue.pack())))
    assert numbers(again) == [(2, 2), (3, 3), (4, 4), (5, 5)]
    assert (again.taken, again.acknowledged, again.delivered) == (5, 1, 1)
    assert again.pending[3].inputs.tolist() == [[[5, 6]], [[7, 8]]]


def test_an_answer_that_is_too_old_is_an_answer_without_output() -> None:
    queue = queue_of(1)
    queue.take([bad(1, "replay_expired")])
    answer = queue.hand_over()
    assert isinstance(answer, Answer)
    assert (answer.output, answer.replayed, answer.number) == (None, True, 1)


def test_answers_to_what_was_not_sent() -> None:
    with pytest.raises(CellarError, match="was not sent"):
        queue_of(1).take([good(2)])
    with pytest.raises(Problem):
        queue_of(1).take([bad(-1, "malformed_body", 400)])
