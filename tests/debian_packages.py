"""Programs from Debian that tests run: nginx, Caddy, Prometheus, Chromium, Redis, systemd. `.ci/run` installs them."""

import os
import shutil

import pytest


def needs(command: str, package: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test on a machine without a program; with `CI` set the test runs, and fails there."""
    missing = shutil.which(command) is None and "CI" not in os.environ
    return pytest.mark.skipif(missing, reason=f"{command} is not installed (apt install {package})")
