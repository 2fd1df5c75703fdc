"""The pepper: a secret of the installation, without which the stored digests of keys are of no use to a thief."""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from cellar.errors import SettingsInvalid, StartupError
from cellar.settings import Settings

SECRET_BYTES = 32

FILE = "pepper"
"""The name of its file in the data directory."""

MARK_BYTES = 16

_MARK_OF = "which pepper is it?"


class Pepper:
    """Computes digests of secrets, HMAC-SHA-256 (RFC 2104)."""

    def __init__(self, text: str) -> None:
        self._pepper = text.encode()

    def digest(self, secret: str) -> bytes:
        """Return the digest of a secret, 32 bytes."""
        return hmac.digest(self._pepper, secret.encode(), "sha256")

    @property
    def mark(self) -> bytes:
        """Return bytes that tell this pepper from another, and nothing about it."""
        return hashlib.sha256(self.digest(_MARK_OF)).digest()[:MARK_BYTES]


def read_pepper(file: Path) -> str:
    """Return the pepper in a file, which is made with mode 600 if there is none. Raise StartupError."""
    new = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
                made.write(secrets.token_urlsafe(SECRET_BYTES))
                made.flush()
                os.fsync(made.fileno())
            with suppress(FileExistsError):  # another process was first
                os.link(new, file)
            new.unlink()
        return file.read_text()
    except OSError as error:
        raise StartupError(f"the pepper of the API keys cannot be kept in {file}: {error.strerror}") from error


def pepper_of(settings: Settings) -> Pepper:
    """Return the pepper of the installation. Raise SettingsInvalid if it must be set and is not, or StartupError."""
    if settings.key_pepper is not None:
        return Pepper(settings.key_pepper.get_secret_value())
    if not settings.embedded:
        raise SettingsInvalid(
            "CELLAR_KEY_PEPPER must be set for API keys in the Redis of CELLAR_REDIS_URL: a random text that all"
            " processes share, as `openssl rand -base64 32` prints"
        )
    return Pepper(read_pepper(settings.data_dir / FILE))
