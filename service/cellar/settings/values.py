"""Forms and defaults of settings: patterns of texts, lists, and the directories of the user."""

import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

MEBIBYTE = 1024 * 1024
DAY_S = 24 * 60 * 60
REDIS_URL = r"^(rediss?(\+(cluster|sentinel))?|unix)://"
HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:]+")
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")
DIVIDED = ("model_cache_bytes", "max_unfinished_bytes", "compile_queue")
"""Limits of the whole service, which its api processes divide. All others hold for each process."""
CLUSTER_URL = re.compile(r"rediss?\+cluster://")


def is_loopback(host: str) -> bool:
    """Return whether a name or an address always means the machine on which it is used.

    >>> is_loopback("localhost"), is_loopback("127.9.9.9"), is_loopback("::1"), is_loopback("cellar.example")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _xdg(variable: str, fallback: str) -> Path:
    """Return a base directory of the XDG specification, which ignores relative paths."""
    value = Path(os.environ.get(variable, ""))
    return value if value.is_absolute() else Path.home() / fallback


def default_data_dir() -> Path:
    """Return the directory for data."""
    return _xdg("XDG_DATA_HOME", ".local/share") / "cellar"


def default_cache_dir() -> Path:
    """Return the directory for compiled kernels."""
    return _xdg("XDG_CACHE_HOME", ".cache") / "cellar" / "kernels"


def listed(value: object) -> object:
    """Return the parts of a text that is separated by commas."""
    if not isinstance(value, str):
        return value
    return tuple(part for part in (part.strip() for part in value.split(",")) if part)


class TokenRules(NamedTuple):
    """The requirements for JSON Web Tokens."""

    file: Path
    """JWK set of the identity provider."""
    audience: str
    issuer: str
    tenant_claim: str
    """The claim with the tenant."""
