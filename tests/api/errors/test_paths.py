"""Paths that were meant."""

import pytest

from cellar.api.errors.paths import LONGEST, nearest_path

TEMPLATES = [
    "/v1/models",
    "/v1/sessions",
    "/v1/sessions/{session}/state",
    "/v1/sessions/{session}/step",
    "/v1/steps",
    "/v1/jobs/{job}",
    "/healthz",
]


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/models", "/v1/models"),
        ("/v1/model/", "/v1/models"),
        ("/v2/models", "/v1/models"),
        ("/session", "/v1/sessions"),
        ("/v1/session/a/stepp", "/v1/sessions/a/step"),
        ("/v1/sessions/a/steps", "/v1/sessions/a/step"),
        ("/sessions/a/forward", "/v1/sessions/a/step"),
        ("/v1/job/7", "/v1/jobs/7"),
        ("/healthz", "/healthz"),
        ("/quagga", None),
        ("/", None),
        ("/v1/models/" + "x" * LONGEST, None),
    ],
)
def test_the_nearest_path(path: str, near: str | None) -> None:
    assert nearest_path(path, TEMPLATES) == near
