"""Settings of the address of the service, of the clients that may use it, and of the web pages that may."""

from pathlib import Path
from ssl import Purpose, create_default_context
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cellar.errors import SettingsInvalid
from cellar.settings.values import HOST, ORIGIN, TokenRules, is_loopback, listed


def _no_password() -> str:
    """Refuse a key with a password, for which OpenSSL would ask on the terminal."""
    raise OSError("the key has a password")


class AccessSettings(BaseSettings):
    """Settings of the address of the service, and of the clients that may use it."""

    model_config = SettingsConfigDict(env_prefix="CELLAR_", env_ignore_empty=True, frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on. Default: 127.0.0.1, this machine only.")
    port: int = Field(8080, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one. Default: 8080.")

    allowed_hosts: Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(listed)] = Field(
        None,
        description="Names that clients may use for the service (the Host header without the port), separated"
        " by commas; * allows all. localhost and loopback addresses are always allowed. Default:"
        " no other names if the service listens on a loopback address, all names otherwise.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(listed)] = Field(
        (),
        description="Origins of other web pages that may use the service (https://app.example.com), separated"
        " by commas; * allows all. Default: none.",
    )

    page: bool = Field(
        True, description="Whether the page at `/` is served, which shows and operates the service. Default: true."
    )

    nodes: Annotated[tuple[str, ...], NoDecode, BeforeValidator(listed)] = Field(
        (),
        description="URLs of all services on this Redis (http://10.0.0.1:8080), separated by commas, the same in each:"
        " clients that send `Cellar-Route` are told which one owns a session. Default: none.",
    )
    node: str | None = Field(None, description="The URL of this service among CELLAR_NODES. Default: none.")

    tls_certificate: Path | None = Field(
        None,
        description="PEM file with the certificate of the service, and those of its authorities up to the root. With"
        " CELLAR_TLS_KEY the service speaks HTTPS only. Read at the start, and again on SIGHUP. Default: none.",
    )
    tls_key: Path | None = Field(
        None, description="PEM file with the key of CELLAR_TLS_CERTIFICATE, without a password. Default: none."
    )
    authentication: Literal["keys", "none"] | None = Field(
        None,
        description="keys: every request needs an API key (`cellar keys create`). none: every client that reaches"
        " the service may use it. Must be set if CELLAR_HOST is not a loopback address. Default: none.",
    )
    key_pepper: SecretStr | None = Field(
        None,
        min_length=16,
        description="Secret under which the digests of API keys are stored, at least 16 characters; the same in all"
        " processes that share a Redis. Default: a file in CELLAR_DATA_DIR; with CELLAR_REDIS_URL there is none.",
    )

    jwt_keys: Path | None = Field(
        None,
        description="File with the JWK set of an identity provider: JSON Web Tokens that it has signed are taken"
        " besides API keys. Read again when it has changed. Needs `cellar-serve[jwt]`. Default: none.",
    )
    jwt_audience: str | None = Field(
        None, description="The audience (`aud`) that tokens must have; with CELLAR_JWT_KEYS. Default: none."
    )
    jwt_issuer: str | None = Field(
        None, description="The issuer (`iss`) that tokens must have; with CELLAR_JWT_KEYS. Default: none."
    )
    jwt_tenant_claim: str = Field("tenant", description="The claim of tokens that names the tenant. Default: tenant.")

    @model_validator(mode="after")
    def _names_have_their_form(self) -> Self:
        for host in self.allowed_hosts or ():
            if host != "*" and not HOST.fullmatch(host):
                raise ValueError(
                    f"CELLAR_ALLOWED_HOSTS must hold names without ports (cellar.example.com), not {host!r}"
                )
        for origin in self.allowed_origins:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(
                    "CELLAR_ALLOWED_ORIGINS must hold origins as browsers send them (https://app.example.com), without"
                    f" a path, not {origin!r}"
                )
        for node in self.nodes:
            if not ORIGIN.fullmatch(node):
                raise ValueError(f"CELLAR_NODES must hold URLs without a path (http://10.0.0.1:8080), not {node!r}")
        if self.node not in (self.nodes or (None,)):
            raise ValueError("CELLAR_NODE must be the one of CELLAR_NODES that is this service")
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("CELLAR_TLS_CERTIFICATE and CELLAR_TLS_KEY must be set together")
        return self

    @model_validator(mode="after")
    def _tokens_are_whole(self) -> Self:
        given = (self.jwt_keys, self.jwt_audience, self.jwt_issuer)
        if any(given) and not all(given):
            raise ValueError("CELLAR_JWT_KEYS, CELLAR_JWT_AUDIENCE and CELLAR_JWT_ISSUER must be set together")
        if self.jwt_keys is not None and self.authentication != "keys":
            raise ValueError("CELLAR_JWT_KEYS needs CELLAR_AUTHENTICATION=keys")
        return self

    def check_address(self) -> None:
        """Raise SettingsInvalid if the service cannot be opened to its clients as the settings have it.

        So it is if other machines reach it and nothing says who of them may use it, and if the certificate cannot be
        read.
        """
        if self.tls_certificate is not None:
            try:
                create_default_context(Purpose.CLIENT_AUTH).load_cert_chain(
                    self.tls_certificate, self.tls_key, _no_password
                )
            except OSError as error:  # SSLError is one
                raise SettingsInvalid(
                    f"CELLAR_TLS_CERTIFICATE={self.tls_certificate} and CELLAR_TLS_KEY={self.tls_key} cannot be used:"
                    f" {error.strerror or error}"
                ) from error
        if self.authentication is None and not is_loopback(self.host):
            raise SettingsInvalid(
                f"CELLAR_HOST={self.host} lets other machines use the service: set CELLAR_AUTHENTICATION=keys and make"
                " a key with `cellar keys create`, or CELLAR_AUTHENTICATION=none if all clients may use it"
            )

    @property
    def token_rules(self) -> TokenRules | None:
        """The requirements for tokens in place of API keys; None if no token is accepted."""
        if self.jwt_keys is None or self.jwt_audience is None or self.jwt_issuer is None:
            return None
        return TokenRules(self.jwt_keys, self.jwt_audience, self.jwt_issuer, self.jwt_tenant_claim)

    @property
    def needs_keys(self) -> bool:
        """Whether every request needs an API key."""
        return self.authentication == "keys"
