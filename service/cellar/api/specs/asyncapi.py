"""The AsyncAPI document of the WebSockets, generated from the schemas of their messages and the close codes."""

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from cellar import __version__, errors
from cellar.api.schemas.session import websocket as schemas
from cellar.api.specs.asyncapi_examples import CONVERSATION
from cellar.api.websocket.close_codes import code_of
from cellar.ports import NAME_IN_WORDS
from cellar.wire.frames import frames

DESCRIPTION = """Steps of sessions over WebSockets: many in flight, applied and answered in the order of their session.

Text messages are JSON objects, binary messages are frames (docs/reference/frames.md). docs/reference/websocket.md says
what happens when a step fails, when a connection drops and when the service stops."""

BARE = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z][A-Za-z_-]*", re.IGNORECASE)
"""Names that need no quotes in any version of YAML."""

SENT: dict[str, type[BaseModel]] = {
    "step": schemas.StepMessage,
    "sequence": schemas.SequenceMessage,
    "resume": schemas.ResumeMessage,
}
"""Messages of clients, by the member that distinguishes them."""

TOLD: dict[str, type[BaseModel]] = {
    "greeting": schemas.GreetingAnswer,
    "stepAnswer": schemas.StepReply,
    "sequenceAnswer": schemas.SequenceReply,
    "problem": schemas.ProblemReply,
    "missed": schemas.MissedReply,
    "resumed": schemas.ResumedReply,
    "stopping": schemas.StoppingReply,
}
"""Messages of the service, by their name in the document."""

FRAMES = {
    "stepsFrame": "A frame of steps.",
    "answersFrame": "A frame of answers.",
}

CLOSINGS: tuple[type[errors.CellarError], ...] = (
    errors.MalformedJson,
    errors.MalformedBody,
    errors.HostRefused,
    errors.OriginRefused,
    errors.InvalidParameter,
    errors.SessionUnknown,
    errors.ModelUnknown,
    errors.ModelDeleted,
    errors.Regressed,
    errors.StepTaken,
    errors.EpochChanged,
    errors.Diverged,
    errors.ReplayExpired,
    errors.Overlap,
    errors.WriterUnknown,
    errors.KernelRevisionMismatch,
    errors.SessionExpired,
    errors.Overloaded,
    errors.StoreUnavailable,
    errors.StoreCorrupt,
    errors.CompileFailed,
)
"""Errors that end a stream."""


def document() -> dict[str, Any]:
    """Return the AsyncAPI 3 document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Cellar streams",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "session": _channel(
                "/v1/sessions/{session}/stream",
                "The steps of one session.",
                {"session": {"description": f"Its name, {NAME_IN_WORDS}"}},
            ),
            "sessions": _channel("/v1/stream", "The steps of any number of sessions, named by each message.", {}),
        },
        "operations": dict(_operations()),
        "components": {
            "messages": {name: _message(name, kind) for name, kind in (SENT | TOLD).items()} | _frame_messages(),
            "schemas": _schemas(),
        },
        "x-close-codes": close_codes(),
    }


def close_codes() -> dict[str, list[str]]:
    """Return by close code the slugs of the errors that end a stream with it, or a description."""
    codes: dict[int, list[str]] = {
        1000: ["closed by the client"],
        1002: ["a frame that breaks the protocol"],
        1009: ["a message that is too large"],
        1011: ["internal_error", "no answer to a ping"],
        1012: ["the service is stopping"],
    }
    for kind in CLOSINGS:
        codes.setdefault(code_of(kind), []).append(kind.slug)
    return {str(code): codes[code] for code in sorted(codes)}


def text() -> str:
    """Return the text of `openapi/streams.yaml`."""
    return "\n".join(_yaml(document(), "")) + "\n"


def _channel(address: str, summary: str, parameters: dict[str, Any]) -> dict[str, Any]:
    messages = {name: {"$ref": f"#/components/messages/{name}"} for name in (*SENT, *TOLD, *FRAMES)}
    return {
        "address": address,
        "summary": summary,
        **({"parameters": parameters} if parameters else {}),
        "messages": messages,
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the operations of each channel, as those of the service: it receives the messages of clients."""
    for channel in ("session", "sessions"):
        for action, names in (("receive", [*SENT, "stepsFrame"]), ("send", [*TOLD, "answersFrame"])):
            yield (
                f"{action}{channel.title()}",
                {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{channel}"},
                    "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
                },
            )


def _message(name: str, kind: type[BaseModel]) -> dict[str, Any]:
    summary = (kind.__doc__ or "").splitlines()[0]
    examples = [{"name": about, "payload": payload} for about, said, payload in CONVERSATION if said == name]
    return {
        "summary": summary,
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        **({"examples": examples} if examples else {}),
    }


def _frame_messages() -> dict[str, Any]:
    payload = {"type": "string", "format": "binary", "description": "docs/reference/frames.md has the layout."}
    return {
        name: {"summary": summary, "contentType": frames.MEDIA_TYPE, "payload": payload}
        for name, summary in FRAMES.items()
    }


def _schemas() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in (SENT | TOLD).values():
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        found |= schema.pop("$defs", {})
        found[kind.__name__] = schema
    return dict(sorted(found.items()))


def _yaml(value: Any, indent: str) -> Iterator[str]:
    """Yield the lines of a value in YAML: block style, with quotes around every text."""
    entries = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for name, entry in entries:
        word = name if name is None or BARE.fullmatch(name) else json.dumps(name)
        head = f"{indent}- " if word is None else f"{indent}{word}: "
        if not isinstance(entry, dict | list) or not entry:
            yield head + json.dumps(entry, ensure_ascii=False)
        elif name is None:
            first, *rest = _yaml(entry, indent + "  ")
            yield head + first[len(indent) + 2 :]
            yield from rest
        else:
            yield head.rstrip()
            yield from _yaml(entry, indent + "  ")
