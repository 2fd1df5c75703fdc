"""JSON Web Tokens (RFC 7519) in place of API keys: an identity provider signs them, and names tenant and scopes.

The provider's public keys are a JWK set (RFC 7517) in a file. A file that has changed is read again, so that a key may
be added and removed while the service runs. PyJWT checks signatures; it is an extra, `cellar-serve[jwt]`.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib.util import find_spec
from re import fullmatch
from typing import TYPE_CHECKING, Any, NamedTuple

from cellar.errors import StartupError, Unauthenticated
from cellar.keys.key_text import PREFIX
from cellar.ports import SCOPES, TENANT, TENANT_IN_WORDS, Caller, Clock, granted
from cellar.settings.values import TokenRules

if TYPE_CHECKING:
    from jwt import PyJWK

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with a public key. A shared secret is none: who can check such a token can make one."""

LEEWAY_S = 30.0
"""How far the clocks of the provider and of the service may differ."""

SCOPE_PREFIX = "cellar:"
"""May stand before a scope, where a provider's tokens are for several services."""


class ProviderKey(NamedTuple):
    """A public key of the provider."""

    jwk: "PyJWK"
    digest: str
    """SHA-256 of its entry in the file."""


class Tokens:
    """Checks tokens. Raise StartupError if the file cannot be used or PyJWT is not installed."""

    def __init__(self, rules: TokenRules, clock: Clock) -> None:
        if find_spec("jwt") is None or find_spec("cryptography") is None:
            raise StartupError("CELLAR_JWT_KEYS needs PyJWT, which is not installed: pip install 'cellar-serve[jwt]'")
        self._rules = rules
        self._clock = clock
        self._read_at: tuple[int, int] | None = None
        """Time of change and length of the file that was read."""
        self._keys: dict[str, ProviderKey] = {}
        """The keys of the provider by their ids."""
        self.refresh()

    def refresh(self) -> bool:
        """Read the file if it has changed, and return whether it has. Raise StartupError, and keep the keys."""
        file = self._rules.file
        try:
            status = file.stat()
            read_at = (status.st_mtime_ns, status.st_size)
            if read_at == self._read_at:
                return False
            self._keys = _keys_of(file.read_bytes())
        except (OSError, ValueError) as error:
            raise StartupError(f"CELLAR_JWT_KEYS={file} cannot be used: {error}") from error
        self._read_at = read_at
        return True

    def caller(self, text: str) -> Caller | None:
        """Return the caller with a token, None if the text is none. Raise Unauthenticated for one that is not valid."""
        if text.count(".") != 2 or text.startswith(PREFIX):
            return None
        key, claims = self._verified(text)
        expires_s = self._check_times(claims)
        tenant = claims.get(self._rules.tenant_claim)
        if not (isinstance(tenant, str) and fullmatch(TENANT, tenant)):
            raise Unauthenticated(
                f"the claim {self._rules.tenant_claim!r} of the token is no tenant: expected {TENANT_IN_WORDS}"
            )
        return Caller(tenant, granted(_scopes_of(claims)), expires_s=expires_s, signer=key.digest)

    def holds(self, caller: Caller) -> bool:
        """Return whether the provider still has the key that has signed the token of a caller."""
        return any(key.digest == caller.signer for key in self._keys.values())

    def _verified(self, text: str) -> "tuple[ProviderKey, Mapping[str, Any]]":
        """Return the claims of a token with a valid signature, audience and issuer, and the key of its signature."""
        import jwt  # an extra

        try:
            header = jwt.get_unverified_header(text)
            key = self._keys.get(header.get("kid", ""))
            if key is None and len(self._keys) == 1 and "kid" not in header:
                key = next(iter(self._keys.values()))
            if key is None:
                raise Unauthenticated(f"the token was signed with a key that is not known: {header.get('kid')!r:.80}")
            if header.get("alg") != key.jwk.algorithm_name:
                raise Unauthenticated(f"the token must be signed with {key.jwk.algorithm_name}")
            claims: dict[str, Any] = jwt.decode(
                text,
                key.jwk,
                algorithms=[key.jwk.algorithm_name],
                audience=self._rules.audience,
                issuer=self._rules.issuer,
                options={  # the times are checked by the service's own clock
                    "require": ["exp", "aud", "iss"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthenticated(f"the token is not valid: {error}") from error
        return key, claims

    def _check_times(self, claims: Mapping[str, Any]) -> float:
        """Return when a token ends. Raise Unauthenticated if it has, or if it begins later."""
        now_s, ends, begins = self._clock.now_s(), claims["exp"], claims.get("nbf", 0)
        for time in (ends, begins):
            if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time < 2**53:
                raise Unauthenticated("the times of the token (exp, nbf) are no seconds since the Unix epoch")
        if now_s >= ends + LEEWAY_S:
            raise Unauthenticated("the token has ended")
        if now_s < begins - LEEWAY_S:
            raise Unauthenticated("the token is not valid yet")
        return float(ends) + LEEWAY_S


def _scopes_of(claims: Mapping[str, Any]) -> list[str]:
    """Return the scopes of a token that are the service's, from `scope` (RFC 8693), `scp` or `scopes`."""
    given = next((claims[name] for name in ("scope", "scp", "scopes") if name in claims), "")
    names = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
    texts = {name.removeprefix(SCOPE_PREFIX) for name in names if isinstance(name, str)}
    return [scope for scope in SCOPES if scope in texts]


def _keys_of(data: bytes) -> dict[str, ProviderKey]:
    """Return the public keys of a JWK set by their ids. Raise ValueError."""
    import jwt  # an extra

    try:
        document = json.loads(data)
        found = [key for key in jwt.PyJWKSet.from_dict(document) if key.algorithm_name in ALGORITHMS]
    except (jwt.PyJWTError, AttributeError) as error:
        raise ValueError(f"it is no JWK set: {error}") from error
    if not found:
        raise ValueError(f"it has no key for signatures with {', '.join(ALGORITHMS)}")
    digests = {
        entry.get("kid") or "": hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
        for entry in document["keys"]
        if isinstance(entry, dict)
    }
    keys = {key.key_id or "": ProviderKey(key, digests[key.key_id or ""]) for key in found}
    if len(keys) < len(found):
        raise ValueError("two of its keys have the same `kid`")
    return keys
