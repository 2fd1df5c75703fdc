"""Settings of the address of the service, of the clients that may use it, and of the web pages that may."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cellar.errors import SettingsInvalid
from cellar.settings.values import HOST, ORIGIN, is_loopback, listed


class AccessSettings(BaseSettings):
    """How the service is reached, and by whom."""

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
        return self

    def check_address(self) -> None:
        """Raise SettingsInvalid if other machines reach the service and nothing says who of them may use it."""
        if self.authentication is None and not is_loopback(self.host):
            raise SettingsInvalid(
                f"CELLAR_HOST={self.host} lets other machines use the service: set CELLAR_AUTHENTICATION=keys and make"
                " a key with `cellar keys create`, or CELLAR_AUTHENTICATION=none if all clients may use it"
            )

    @property
    def needs_keys(self) -> bool:
        """Whether every request needs an API key."""
        return self.authentication == "keys"
