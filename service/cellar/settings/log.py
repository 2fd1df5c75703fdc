"""Settings of the log."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LogSettings(BaseSettings):
    """Settings of the log, which is written to standard error."""

    model_config = SettingsConfigDict(env_prefix="CELLAR_", env_ignore_empty=True, frozen=True, extra="ignore")

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged: debug, info, warning or error. Default: info."
    )
    log_format: Literal["text", "json"] | None = Field(
        None, description="Form of the log: text or json, an object in each line. Default: text."
    )
    log_json: bool = Field(False, description="The older name of CELLAR_LOG_FORMAT=json. Default: false.")
    traces: bool = Field(
        False,
        description="Whether to send traces of steps with OTLP over HTTP, to where the `OTEL_*` variables say. Needs"
        " `cellar-serve[opentelemetry]`. Default: false.",
    )
    log_requests: float = Field(
        0,
        ge=0,
        le=1,
        description="Share of the successful requests that are logged: 1 logs all, 0.01 one in a hundred. Failed ones"
        " are always logged, up to 100 a second for each process; the rest is counted. Default: 0.",
    )

    @property
    def logs_json(self) -> bool:
        """Whether the lines of the log are JSON."""
        return self.log_json if self.log_format is None else self.log_format == "json"
