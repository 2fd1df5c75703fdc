"""Suggests the most similar route for a path that does not exist."""

from collections.abc import Iterable
from difflib import SequenceMatcher

from cellar.errors.suggestions import closest

LONGEST = 256
"""Characters of the longest path that is compared with others."""

SYNONYMS: dict[str, str] = {
    "api": "v1",
    "fit": "jobs",
    "forward": "step",
    "health": "healthz",
    "healthcheck": "healthz",
    "infer": "step",
    "networks": "models",
    "ping": "healthz",
    "predict": "step",
    "ready": "readyz",
    "run": "step",
    "train": "jobs",
    "training": "jobs",
    "v2": "v1",
}
"""Parts of paths in other services, and what they are called here."""


def nearest_path(path: str, templates: Iterable[str]) -> str | None:
    """Return the path of one of the templates that resembles `path`, None if none does.

    >>> nearest_path("/v1/session/a/steps", ["/v1/sessions/{session}/step"])
    '/v1/sessions/a/step'
    """
    if len(path) > LONGEST:
        return None
    sent = [part for part in path.split("/") if part]
    found: list[tuple[float, str]] = []
    for template in templates:
        parts = template.strip("/").split("/")
        ways = [(0, sent), *([(1, ["v1", *sent])] if parts[0] == "v1" else [])]
        for cost, way in ways:
            more = _distance(way, parts)
            if more is not None:
                names = [given if part.startswith("{") else part for part, given in zip(parts, way, strict=True)]
                found.append((cost + more, "/" + "/".join(names)))
    return min(found)[1] if found else None


def _distance(sent: list[str], parts: list[str]) -> float | None:
    """Return the distance of a path from a template, in which a wholly different part is 1; None if it is too far."""
    if len(sent) != len(parts):
        return None
    others = [(given, part) for given, part in zip(sent, parts, strict=True) if not part.startswith("{")]
    near = all(part in (given, SYNONYMS.get(given.lower())) or closest(given, [part]) for given, part in others)
    return sum(1 - SequenceMatcher(None, given, part).ratio() for given, part in others) if near else None
