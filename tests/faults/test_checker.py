"""The checker finds whatever is wrong, and nothing where nothing is."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b
from struct import pack

import pytest

from tests.faults.asked import Asked, Told
from tests.faults.cell import State, replay
from tests.faults.checker import Evidence, Logged, complaints

EPOCH = "0123456789abcdef"
INPUTS = [(5,), (5,), (7, 8, 9), (5,), (600,)]
"""Of which the last was never answered."""


def position(inputs: Sequence[int]) -> str:
    """Return the position after these steps."""
    digest = blake2b(bytes.fromhex(EPOCH), digest_size=16).digest()
    for x in inputs:
        digest = blake2b(digest + pack("<f", x), digest_size=16).digest()
    return f"{EPOCH}.{len(inputs)}.{digest.hex()}"


def evidence(committed: Sequence[tuple[int, ...]], inputs: Sequence[tuple[int, ...]] = INPUTS) -> Evidence:
    """Return what is found where `committed` was committed, and clients believe that `inputs` were."""
    past: list[int] = []
    log = []
    for number, values in enumerate(committed, 1):
        past += values
        log.append(Logged(number, position(past), pack(f"<{len(values)}f", *values)))
    *_, state = State(), *replay(past)
    told = []
    believed: list[int] = []
    for number, values in enumerate(inputs[:-1]):
        believed += values
        outputs = [state.a for state in replay(believed)][-len(values) :]
        answer = Told(pack(f"<{len(values)}f", *outputs), position(believed), replayed=False)
        told.append((f"client {number % 2}", Asked(values, len(values) > 1), answer))
    return Evidence(told, [], [Asked(inputs[-1])], log, position(past), state)


GOOD = evidence(INPUTS)


def test_nothing_is_wrong_where_the_lost_answer_was_of_a_step_that_is_there_or_is_not() -> None:
    assert not list(complaints(GOOD))
    assert not list(complaints(evidence(INPUTS[:-1])))
    assert not list(complaints(replace(GOOD, applied=GOOD.doubtful, doubtful=[])))


def told_else(number: int, **changes: object) -> Evidence:
    """Return good evidence but for what one client was told."""
    client, asked, told = GOOD.told[number]
    other = replace(told, **changes)  # type: ignore[arg-type]  # of any member
    return replace(GOOD, told=[*GOOD.told[:number], (client, asked, other), *GOOD.told[number + 1 :]])


WRONG: dict[str, tuple[Callable[[], Evidence], str]] = {
    "an acknowledged step was lost": (lambda: evidence([*INPUTS[:1], *INPUTS[2:]]), "step is not there"),
    "the last steps were lost": (lambda: evidence(INPUTS[:3]), "step is not there"),
    "a step was applied twice": (lambda: evidence([*INPUTS[:2], *INPUTS[1:]]), "of which no client was told"),
    "a doubtful step was applied twice": (lambda: evidence([*INPUTS, INPUTS[-1]]), "of which no client was told"),
    "a step said to be applied is not there": (
        lambda: replace(GOOD, applied=[Asked((7, 8))]),
        "said to be applied are not there",
    ),
    "a step said to be applied is there twice": (
        lambda: replace(evidence([*INPUTS, (9,), (9,)]), applied=[Asked((9,))]),
        "of which no client was told",
    ),
    "steps changed places": (lambda: evidence([*INPUTS[:2], *INPUTS[3:1:-1], INPUTS[4]]), "step is not there"),
    "two requests were told of one step": (lambda: told_else(1, position=GOOD.told[0][2].position), "are one step"),
    "an output has another bit": (lambda: told_else(2, outputs=GOOD.told[0][2].outputs * 3), "outputs are not"),
    "an output is left out": (lambda: told_else(2, outputs=b""), "outputs are not"),
    "a client's steps changed places": (lambda: replace(GOOD, told=GOOD.told[::-1]), "not in its order"),
    "the state is another": (lambda: replace(GOOD, state=State(7, GOOD.state.a + 1)), "state is not"),
    "the session is elsewhere": (lambda: replace(GOOD, position=position([1])), "not at the end"),
    "the log has a gap": (lambda: replace(GOOD, log=[*GOOD.log[:3], replace(GOOD.log[3], revision=5)]), "has entry 5"),
    "a digest is another": (
        lambda: replace(GOOD, log=[replace(GOOD.log[0], position=position([6])), *GOOD.log[1:]]),
        "digest chain",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_whatever_is_wrong_is_found(what: str) -> None:
    make, complaint = WRONG[what]
    assert any(complaint in found for found in complaints(make()))


def test_no_later_step_hides_what_an_earlier_one_did() -> None:
    later = [5] * 1000
    histories = [[1, 2, 3], [2, 1, 3], [1, 3], [1, 2, 2, 3], [1, 2, 4]]
    ends = [list(replay([*history, *later]))[-1] for history in histories]
    assert len({end.a for end in ends}) == len(histories)
