"""Requests about a session's past that are refused."""

from tests.api.bad_requests import delete, get, post, put

NAMES = ("rewind", "replay", "migrate", "shadow", "log")
REWIND, REPLAY, MIGRATE, SHADOW, LOG = (f"/v1/sessions/{{one}}/{name}" for name in NAMES)

PAST = [
    post(REWIND, {}, ""),
    post(REWIND, {"step": 1, "steps": 1}, ""),
    post(REWIND, {"step": -1}, "/step"),
    post(REWIND, {"steps": 0}, "/steps"),
    post(REWIND, {"steps": 1.5}, "/steps"),
    post(REWIND, {"steps": True}, "/steps"),
    post(REWIND, {"step": 2**53 + 1}, "/step"),
    post(REWIND, {"to": "yesterday"}, "/to"),
    post(REWIND, {"steps": 1, "position": "0.0.0"}, "/position"),
    post(REWIND, {"steps": 1}, slug="not_kept", status=409),
    post(REWIND, {"to": f"{'0' * 16}.0.{'0' * 32}"}, slug="not_kept", status=409),
    post(REPLAY, {}, "/model"),
    post(REPLAY, {"model": "a b"}, "/model"),
    post(REPLAY, {"model": "{model}", "session": "a\u0085b"}, "/session"),
    post(REPLAY, {"model": "{model}", "since": "0.0.0"}, "/since"),
    post(REPLAY, {"model": "{model}", "how": "carry"}, "/how"),
    post(REPLAY, {"model": "nothing"}, slug="model_unknown", status=404),
    post(REPLAY, {"model": "{model}"}, slug="not_kept", status=409),
    post("/v1/sessions/nobody/replay", {"model": "{model}"}, slug="session_unknown", status=404),
    put(SHADOW, {}, "/model"),
    put(SHADOW, {"model": "a b"}, "/model"),
    put(SHADOW, {"model": "nothing"}, slug="not_kept", status=409),
    put("/v1/sessions/nobody/shadow", {"model": "{model}"}, slug="session_unknown", status=404),
    get(SHADOW, slug="shadow_unknown", status=404),
    delete(SHADOW, slug="shadow_unknown", status=404),
    post(MIGRATE, {}, "/model"),
    post(MIGRATE, {"model": "{model}@0"}, "/model"),
    post(MIGRATE, {"model": "{model}", "how": "somehow"}, "/how"),
    post(MIGRATE, {"model": "{model}", "position": "x"}, "/position"),
    post(MIGRATE, {"model": "{model}@2"}, slug="model_unknown", status=404),
    post(MIGRATE, {"model": "{model}", "how": "replay"}, slug="not_kept", status=409),
    post("/v1/sessions/nobody/migrate", {"model": "{model}"}, slug="session_unknown", status=404),
    post("/v1/sessions/nobody/rewind", {"steps": 1}, slug="session_unknown", status=404),
    get("/v1/sessions/nobody/history", slug="session_unknown", status=404),
    get("/v1/sessions/nobody/log", slug="session_unknown", status=404),
    get(LOG, slug="not_kept", status=409),
    get(f"{LOG}?after=-2", slug="invalid_parameter"),
    get(f"{LOG}?after=x", slug="invalid_parameter"),
    get(f"{LOG}?limit=0", slug="invalid_parameter"),
]
