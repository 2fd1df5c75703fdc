"""Counts the requests for steps of a transport by their outcome."""

from http import HTTPStatus

from cellar.api.errors.problems import INTERNAL_SLUG, status_of
from cellar.errors import CellarError
from cellar.metrics.counts import COUNTS, TransportCounts
from cellar.ports import StepResult

UNAVAILABLE = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)


def count_result(counts: TransportCounts, result: StepResult) -> None:
    """Count a request that was committed now or before."""
    if result.replayed:
        counts.replayed += 1
        counts.replayed_steps += result.steps
    else:
        counts.committed += 1
        counts.committed_steps += result.steps


def count_answer(counts: TransportCounts, outcome: StepResult | BaseException) -> None:
    """Count a request that is answered as one of many in a body, and its problem document if it has one."""
    if isinstance(outcome, StepResult):
        count_result(counts, outcome)
    else:
        COUNTS.refuse(outcome.slug if isinstance(outcome, CellarError) else INTERNAL_SLUG)
        count_error(counts, outcome)


def count_error(counts: TransportCounts, error: BaseException) -> None:
    """Count a request that was not committed, or of which that is not known."""
    status = status_of(type(error)) if isinstance(error, CellarError) else HTTPStatus.INTERNAL_SERVER_ERROR
    if status == HTTPStatus.CONFLICT:
        counts.conflict += 1
    elif status < HTTPStatus.INTERNAL_SERVER_ERROR:
        counts.refused += 1
    elif status in UNAVAILABLE:
        counts.unavailable += 1
    else:
        counts.failed += 1
