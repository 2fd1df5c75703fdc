"""All settings of the service, read once from the environment variables `CELLAR_*`."""

from cellar.settings.settings import Settings

__all__ = ["Settings"]
