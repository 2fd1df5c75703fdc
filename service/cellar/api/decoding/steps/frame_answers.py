"""Encodes results of steps, and problems, as answers in frames."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import orjson

from cellar.api.errors.problems import INTERNAL
from cellar.ports import StepResult
from cellar.wire.frames import columns, frames, layout

logger = logging.getLogger(__name__)

Outcome = tuple[int, StepResult | dict[str, Any]]
"""The tag of a step, and its result or its problem document."""


def packed_answers(outcomes: Iterable[Outcome]) -> Iterator[frames.Packed]:
    """Yield the parts of a frame that answers these steps. Runs with outputs are packed column by column."""
    for kept, run in groupby(outcomes, _has_output):
        some = [*run]
        yield from _packed_run(some) if kept else [frames.pack_answer(_answer(*one)) for one in some]


def _has_output(outcome: Outcome) -> bool:
    result = outcome[1]
    return isinstance(result, StepResult) and result.output is not None


def _packed_run(run: Sequence[Outcome]) -> list[frames.Packed]:
    """Return answers with outputs, packed. One that cannot be packed becomes a problem."""
    try:
        return [_pack_outputs(run)]
    except Exception as error:
        if len(run) > 1:
            return [packed for one in run for packed in _packed_run([one])]
        logger.error("%s in an answer", type(error).__name__, exc_info=error)
        return [frames.pack_answer(_answer(run[0][0], INTERNAL))]


def _pack_outputs(run: Sequence[Outcome]) -> frames.Packed:
    done = [result for _, result in run if isinstance(result, StepResult)]
    return columns.pack_outputs(
        [tag for tag, _ in run],
        [one.position for one in done],
        [one.steps for one in done],
        [one.command.inputs.shape[1] for one in done],
        [one.output or b"" for one in done],
        [one.replayed for one in done],
        [0 if one.model is None else one.version for one in done],
    )


def _answer(tag: int, outcome: StepResult | dict[str, Any]) -> frames.Answer:
    """Return a problem, or an answer whose output was not kept."""
    if isinstance(outcome, StepResult):
        place = frames.Place(*outcome.position)
        return frames.Answer(tag, layout.OK, place, None, outcome.replayed, version=outcome.version)
    return frames.Answer(tag, outcome["status"], problem=orjson.dumps(outcome))
