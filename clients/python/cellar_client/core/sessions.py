"""Sessions opened and listed."""

import os
import uuid
from collections.abc import Mapping
from typing import Any

from cellar_client.core.effects import Operation
from cellar_client.core.exchange import call
from cellar_client.core.session import SessionCore, session_path
from cellar_client.values import Document


def open_session(
    name: str | None,
    model: str | None,
    options: Mapping[str, Any],
    give_up_s: float,
    state: str | os.PathLike[str] | None,
) -> Operation[SessionCore]:
    """Return a session that exists, or a new one of a model, continued from its state file."""
    if model is None:
        if name is None or options:
            raise ValueError("a new session needs a model")
        document = yield from call("GET", session_path(name), give_up_s=give_up_s)
    else:
        body = {"session": name or uuid.uuid4().hex, "model": model, **options}
        document = yield from call("POST", "/v1/sessions", body, give_up_s=give_up_s)
    core = SessionCore(document, give_up_s, state)
    yield from core.recover()
    return core


def list_sessions(
    filters: Mapping[str, Any], cursor: str, give_up_s: float
) -> Operation[tuple[list[Document], str | None]]:
    """Return a page of sessions and the cursor of the next page, None at the end."""
    params = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in filters.items()}
    page = yield from call("GET", "/v1/sessions", params={**params, "cursor": cursor}, give_up_s=give_up_s)
    return page["sessions"], page["cursor"] or None
