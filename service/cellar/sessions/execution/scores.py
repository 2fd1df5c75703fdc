"""Adds the scores of readings to the output of steps, from the state before them and their inputs."""

import numpy as np

from cellar.errors import InvalidInput
from cellar.ports import ROW_LEFT_OUT, ROW_RESET, Floats, RowFlags, join_scores
from cellar.sessions.values.model_protocol import Model, Scorer


def scorer_of(model: Model) -> Scorer:
    """Return the scorer of a model. Raise InvalidInput if they have none."""
    scorer = model.scorer
    if scorer is None:
        raise InvalidInput(
            "the model forecasts none of its inputs with an interval, so its steps have no score",
            pointer="/score",
            expected="false, or a model whose forecast layer has quantiles, a distribution or residuals, and whose"
            " inputs include a target",
        )
    return scorer


def with_scores(scorer: Scorer, state: bytes, inputs: Floats, output: bytes, flags: RowFlags | None) -> bytes:
    """Return the output of steps followed by their scores.

    `state` is that before the steps, inputs are (T, rows, in_size), and `flags` of rows are those of the request.
    """
    steps, rows = inputs.shape[:2]
    outputs = np.frombuffer(output, "<f4").reshape(steps, rows, -1)
    if flags is None:
        scores = scorer.score(state, inputs, outputs)
    else:
        own = np.zeros((steps, rows), np.uint8)
        own[: len(flags)] = flags
        scores = scorer.score(state, inputs, outputs, (own & ROW_RESET) != 0, (own & ROW_LEFT_OUT) != 0)
    return join_scores(output, np.ascontiguousarray(scores, "<f4").tobytes())
