"""The listing under those who die or race in the middle."""

import secrets

import pytest

from cellar.ports import SessionKey
from cellar.store.connect import Address
from cellar.store.exchange import Exchange
from cellar.store.keys import SessionKeys
from cellar.store.link import Link
from cellar.store.listing import Listing
from tests.store.session_values import a_record

pytestmark = pytest.mark.anyio


async def test_a_name_whose_record_has_come_back_stays_listed(redis_url: str) -> None:
    keys = SessionKeys(f"test-{secrets.token_hex(6)}")
    link = Link(Address.parse(redis_url))
    exchange = Exchange(link, ())
    listing = Listing(exchange, keys)
    there, gone = SessionKey("default", "there"), SessionKey("default", "gone")
    await exchange.read([listing.add(there), listing.add(gone), (b"HSET", keys.record(there), b"h", b"x")])
    await listing.remove([there, gone])  # as one that found neither record, a moment ago
    scores = await exchange.read([(b"ZSCORE", keys.bucket_of(key), key.session.encode()) for key in (there, gone)])
    assert scores == [b"0", None]
    await link.aclose()


def test_sessions_spread_over_the_buckets() -> None:
    keys = SessionKeys("p")
    buckets = {keys.bucket_of(a_record().key) for _ in range(1000)}
    assert len(buckets) > 200
