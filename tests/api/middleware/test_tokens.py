"""JSON Web Tokens in place of API keys: which are accepted, with which rights, and when they end."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from cellar.errors import SettingsInvalid, StartupError
from cellar.keys.tokens import Tokens
from cellar.ports.clock import SystemClock
from cellar.settings import Settings
from cellar.settings.values import TokenRules
from tests.api.keys import administration, with_keys
from tests.api.websocket.conftest import Served, serving

pytestmark = pytest.mark.anyio

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER = rsa.generate_private_key(65537, 2048)

CLAIMS: dict[str, Any] = {"aud": "cellar", "iss": "https://id.example", "tenant": "acme", "scope": "openid step train"}


def key_set(**keys: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """Return a JWK set with the public halves of keys."""
    found = []
    for kid, key in keys.items():
        public = (
            RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            if isinstance(key, rsa.RSAPrivateKey)
            else ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        )
        found.append({**public, "kid": kid})
    return json.dumps({"keys": found})


def token(
    key: Any = RSA, kid: str | None = "one", algorithm: str = "RS256", *, lasts_s: float = 600, **claims: Any
) -> str:
    """Return a token; a claim that is None is left out."""
    merged = {"exp": time.time() + lasts_s, **CLAIMS, **claims}
    headers = {} if kid is None else {"kid": kid}
    body = {name: value for name, value in merged.items() if value is not None}
    return jwt.encode(body, key, algorithm=algorithm, headers=headers)


def by_public_key() -> str:
    """Return a token whose signature is an HMAC with the public key as its secret."""
    public = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    parts = [{"alg": "HS256", "kid": "one"}, {**CLAIMS, "exp": time.time() + 600}]
    text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(public, text, "sha256")).rstrip(b"=")
    return f"{text.decode()}.{signature.decode()}"


def unsigned() -> str:
    """Return a token without a signature."""
    return jwt.encode({**CLAIMS, "exp": time.time() + 600}, "", algorithm="none", headers={"kid": "one"})


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of the provider's keys."""
    path = tmp_path_factory.mktemp("jwt") / "keys.json"
    path.write_text(key_set(one=RSA, two=EC))
    return path


def with_tokens(settings: Settings, file: Path) -> Settings:
    """Return settings that take tokens."""
    keyed = with_keys(settings).model_dump()
    return Settings(**keyed | {"jwt_keys": file, "jwt_audience": "cellar", "jwt_issuer": "https://id.example"})


@pytest.fixture(scope="module")
async def served(settings: Settings, file: Path) -> AsyncIterator[Served]:
    """Yield a server that the tests share, with a session of the tenant acme."""
    own = with_tokens(settings, file)
    async with serving(own, administration(own).create("acme", "", ["admin"]).text) as found:
        made = await found.http.post("/v1/sessions", json={"session": "s", "model": "gru"})
        assert made.status_code == 201
        yield found


async def ask(served: Served, text: str, method: str = "GET", path: str = "/v1/sessions/s", **more: Any) -> Any:
    """Send a request with a token."""
    return await served.http.request(method, path, headers={"authorization": f"Bearer {text}"}, **more)


@pytest.mark.parametrize(
    "made",
    [
        token,
        lambda: token(EC, "two", "ES256"),
        lambda: token(scope=None, scp=["cellar:read", "cellar:step"]),
        lambda: token(aud=["others", "cellar"]),
        lambda: token(nbf=time.time() + 5, lasts_s=-5),  # the clocks differ a little
    ],
)
async def test_a_valid_token_reads_and_steps(served: Served, made: Callable[[], str]) -> None:
    text = made()
    assert (await ask(served, text)).status_code == 200
    assert (await ask(served, text, "POST", "/v1/sessions/s/step", json={"input": [1, 2]})).status_code == 200


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: token(aud="others"), "Audience"),
        (lambda: token(aud=None), "aud"),
        (lambda: token(iss="https://evil.example"), "issuer"),
        (lambda: token(iss=None), "iss"),
        (lambda: token(exp=None), "exp"),
        (lambda: token(exp="tomorrow"), "exp"),
        (lambda: token(exp=1e400), "exp"),
        (lambda: token(lasts_s=-60), "has ended"),
        (lambda: token(nbf=time.time() + 300), "not valid yet"),
        (lambda: token(tenant=None), "'tenant'"),
        (lambda: token(tenant="../acme"), "'tenant'"),
        (lambda: token(tenant=["acme"]), "'tenant'"),
        (lambda: token(OTHER), "ignature"),
        (lambda: token(OTHER, "three"), "not known"),
        (lambda: token(kid=None), "not known"),
        (lambda: token(algorithm="RS512"), "RS256"),
        (lambda: token()[:-4] + "AAAA", "ignature"),
        (by_public_key, "RS256"),
        (unsigned, "RS256"),
        (lambda: "a.b.c", "not valid"),
        (lambda: "..", "not valid"),
        (lambda: "e30.e30.e30", "not known"),
        (lambda: base64.b64encode(b"[" * 30_000).decode() + ".e30.e30", "not valid"),
    ],
)
async def test_other_tokens_are_refused_with_the_reason(served: Served, made: Callable[[], str], reason: str) -> None:
    answer = await ask(served, made())
    assert answer.status_code == 401, answer.text
    assert answer.json()["type"].endswith(":unauthenticated")
    assert reason in answer.json()["detail"]


async def test_a_token_has_the_rights_of_its_scopes_and_its_tenant(served: Served) -> None:
    reader = token(scope="read")
    assert (await ask(served, reader)).status_code == 200
    assert (await ask(served, reader, "DELETE")).status_code == 403
    assert (await ask(served, token(scope="profile"))).status_code == 403
    other = token(tenant="zebra", scope="admin")
    assert (await ask(served, other)).status_code == 404
    assert (await ask(served, other, path="/v1/models")).json()["models"] == []
    refused = await ask(served, token(), "POST", "/v1/tickets")
    assert (refused.status_code, "API key" in refused.text) == (422, True)


async def test_tenants_of_tokens_are_known_to_the_work_beside_requests(served: Served) -> None:
    assert (await ask(served, token(tenant="tokens-only"), path="/v1/models")).status_code == 200
    ring = served.app.state.services.keys
    async with asyncio.timeout(30):
        while "tokens-only" not in ring.administration.store.tenants():  # noqa: ASYNC110  # written at times
            await asyncio.sleep(0.05)
        while "tokens-only" not in ring.tenants:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.05)


async def test_a_stream_ends_with_its_token(served: Served) -> None:
    text = token(lasts_s=-28)  # less than 2 s, with what clocks may differ
    async with served.stream("s", authorization=f"Bearer {text}") as stream:
        await stream.receive()
        assert "output" in await stream.ask(input=[1, 2])
        async with asyncio.timeout(30):
            code, _ = await stream.end()
    assert code == 4401


async def test_the_keys_of_the_provider_are_read_again(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(key_set(one=RSA))
    own = with_tokens(settings, file)
    async with serving(own, administration(own).create("acme", "", ["admin"]).text) as served:

        async def status_becomes(status: int, text: str) -> None:
            async with asyncio.timeout(30):
                while (await ask(served, text, path="/v1/models")).status_code != status:  # noqa: ASYNC110  # read at times
                    await asyncio.sleep(0.05)

        await status_becomes(200, token())
        file.write_text("not JSON")
        await status_becomes(200, token())
        assert (await served.http.post("/v1/sessions", json={"session": "s", "model": "gru"})).status_code == 201
        async with served.stream("s", authorization=f"Bearer {token()}") as stream:
            await stream.receive()
            replaced = tmp_path / "new.json"
            replaced.write_text(key_set(next=OTHER))
            replaced.rename(file)
            async with asyncio.timeout(30):
                assert (await stream.end())[0] == 4401
        await status_becomes(200, token(OTHER, "next"))
        await status_becomes(401, token())


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'])
async def test_a_file_that_has_no_public_keys_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(StartupError, match=r"CELLAR_JWT_KEYS=.*cannot be used"):
        Tokens(TokenRules(tmp_path / "keys.json", "cellar", "https://id.example", "tenant"), SystemClock())


def test_settings_of_tokens_belong_together(settings: Settings) -> None:
    keyed = with_keys(settings).model_dump()
    for more in ({"jwt_keys": "x"}, {"jwt_audience": "x"}, {"jwt_keys": "x", "jwt_issuer": "x"}):
        with pytest.raises((SettingsInvalid, ValueError), match="must be set together"):
            Settings(**keyed | more)
    with pytest.raises((SettingsInvalid, ValueError), match="needs CELLAR_AUTHENTICATION=keys"):
        Settings(jwt_keys="x", jwt_audience="x", jwt_issuer="x")
