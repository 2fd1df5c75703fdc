"""Services whose requests need API keys, and the administration of their keys."""

from cellar.keys.administration import KeyAdministration
from cellar.keys.pepper import Pepper
from cellar.ports.clock import SystemClock
from cellar.settings import Settings
from cellar.store.catalogue.keys import RedisKeys
from cellar.store.topology.factory import sync_client
from tests.api.conftest import with_own_keys

PEPPER = "a pepper of tests"


def with_keys(settings: Settings) -> Settings:
    """Return settings under which every request needs a key, with data of their own."""
    given = settings.model_dump() | {"authentication": "keys", "key_pepper": PEPPER}
    return with_own_keys(Settings(**given))


def administration(settings: Settings) -> KeyAdministration:
    """Return the administration of the keys of a service with these settings."""
    assert settings.redis_url is not None
    return KeyAdministration(
        RedisKeys(sync_client(settings.redis_url), settings.key_prefix), Pepper(PEPPER), SystemClock()
    )
