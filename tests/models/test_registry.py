"""Models and versions over a real store: made, pinned, loaded once, deleted without harm to others."""

import gc
import hashlib
import threading
import time
import tracemalloc
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import redis

from cellar.engine import KernelCache
from cellar.errors import AlreadyExists, BlobUnknown, CellError, InvalidInput, ModelUnknown, StoreCorrupt
from cellar.models.registry import Registry, RunnableModel
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.ports import ModelVersion
from cellar.store.catalogue.blobs.redis import RedisBlobs
from cellar.store.catalogue.models import RedisModels
from cellar.store.topology.factory import sync_client
from cellar.wire.arrays import weights as wire_weights
from tests.waiting import wait_until

SPEC = NetworkSpec.model_validate(
    {
        "in_size": 2,
        "layers": [
            {"type": "recurrent", "cell": {"equations": "h = tanh(Wi @ x + Wh @ h + b)"}, "hidden_size": 3},
            {"type": "dense", "out_size": 1},
        ],
    }
)


class Clock:
    """A clock that stands still."""

    def now_s(self) -> float:
        """Return the time."""
        return 1_700_000_000.5


@dataclass(frozen=True, slots=True)
class Shop:
    """A registry and what it stands on."""

    registry: Registry
    models: RedisModels
    blobs: RedisBlobs
    cache: KernelCache
    client: redis.Redis
    prefix: str

    def another(self) -> Registry:
        """Return the registry of another process."""
        return Registry(self.models, self.blobs, self.cache, Clock())

    def damage(self, digest: str) -> None:
        """Change the first byte of a blob."""
        self.client.setrange(f"{self.prefix}:{{blob/{digest}}}:0", 0, "x")


@pytest.fixture
def shop(redis_url: str, kernel_directory: Path) -> Iterator[Shop]:
    """Yield an empty registry."""
    client, prefix = sync_client(redis_url), f"test-{uuid.uuid4().hex}"
    models, blobs, cache = RedisModels(client, prefix), RedisBlobs(client, prefix), KernelCache(kernel_directory)
    yield Shop(Registry(models, blobs, cache, Clock()), models, blobs, cache, client, prefix)
    client.close()


@pytest.fixture
def registry(shop: Shop) -> Registry:
    """Return an empty registry."""
    return shop.registry


def add(registry: Registry, name: str, seed: int) -> ModelVersion:
    """Add a version to a model as training does, with the weights of a seed."""
    network = Network(SPEC)
    return registry.publish("default", name, network, wire_weights.dump(network.init(seed)), token=uuid.uuid4().hex)


def test_a_network_and_a_seed_make_a_version(registry: Registry) -> None:
    made, is_new = registry.create("default", "co2", SPEC, 7)
    assert is_new
    assert (made.ref, made.created_s, made.parent) == ("co2@1", 1_700_000_000.5, None)
    assert NetworkSpec.model_validate(made.network) == SPEC
    assert registry.get("default", "co2") == registry.get("default", "co2@1") == made
    expected = registry.network(made).init(7)
    found = registry.weights(made)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_the_digest_names_network_and_weights(registry: Registry) -> None:
    wide = SPEC.model_copy(update={"in_size": 3})
    asked = {"one": (SPEC, 1), "same": (SPEC, 1), "seed": (SPEC, 2), "wide": (wide, 1)}
    made = {name: registry.create("default", name, spec, seed)[0] for name, (spec, seed) in asked.items()}
    assert made["one"].digest == made["same"].digest
    assert made["one"].weights == made["same"].weights
    assert len({version.digest for version in made.values()}) == 3


def test_the_digest_sees_sizes_that_no_parameter_has(registry: Registry) -> None:
    cell = {"equations": "h = 0.9 * h + mean(x)"}
    four, eight = (
        NetworkSpec.model_validate({"in_size": 1, "layers": [{"type": "recurrent", "cell": cell, "hidden_size": size}]})
        for size in (4, 8)
    )
    assert registry.create("default", "decay", four, 1)[1]
    with pytest.raises(AlreadyExists):
        registry.create("default", "decay", eight, 1)


def test_a_training_publishes_under_the_name_of_its_parent(registry: Registry) -> None:
    parent, _ = registry.create("default", "co2", SPEC, 1)
    network = registry.network(parent)
    data = wire_weights.dump(network.init(2))
    made = registry.publish("default", "co2", network, data, token="job/1", parent=parent.ref, metrics={"loss": 0.5})
    assert registry.get("default", "co2") == made
    assert (made.ref, made.parent, made.metrics) == ("co2@2", "co2@1", {"loss": 0.5})
    again = registry.publish("default", "co2", network, data, token="job/1", parent=parent.ref, metrics={"loss": 0.5})
    assert again == made
    assert registry.versions("default", "co2") == [parent, made]


def test_creating_again_finds_the_version_and_another_is_refused_without_a_trace(shop: Shop) -> None:
    made, _ = shop.registry.create("default", "co2", SPEC, 1)
    newer = add(shop.registry, "co2", 2)
    assert shop.registry.create("default", "co2", SPEC, 1) == (made, False)
    with pytest.raises(AlreadyExists, match="co2@2"):
        shop.registry.create("default", "co2", SPEC, 3)
    assert shop.registry.versions("default", "co2") == [made, newer]
    with pytest.raises(BlobUnknown):
        shop.blobs.get(hashlib.sha256(wire_weights.dump(Network(SPEC).init(3))).hexdigest())


def test_of_creators_at_once_one_wins_and_its_equals_get_the_same_version(registry: Registry) -> None:
    together = threading.Barrier(4)

    def create(seed: int) -> tuple[ModelVersion, bool] | None:
        together.wait()
        with suppress(AlreadyExists):
            return registry.create("default", "co2", SPEC, seed)
        return None

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(create, (1, 1, 2, 2)))
    (only,) = registry.versions("default", "co2")
    assert sorted((answer for answer in answers if answer), key=lambda answer: answer[1]) == [
        (only, False),
        (only, True),
    ]
    assert answers.count(None) == 2


@pytest.mark.parametrize("name", ["", "a b", "co2@1", "ü", "x" * 129, "a/b"])
def test_names_are_plain(registry: Registry, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        registry.create("default", name, SPEC, 1)
    assert caught.value.pointer == "/name"
    with pytest.raises(ModelUnknown):
        registry.get("default", name)


@pytest.mark.parametrize("ref", ["co2@0", "co2@2", "co2@x", "co2@", "co2@-1", "co2@1@1", "co2@01"])
def test_other_references_are_unknown(registry: Registry, ref: str) -> None:
    registry.create("default", "co2", SPEC, 1)
    with pytest.raises(ModelUnknown):
        registry.get("default", ref)


def test_a_cell_with_a_fault_is_refused_where_it_stands(registry: Registry) -> None:
    document = SPEC.model_dump()
    document["layers"][0]["cell"]["equations"] = "h = tanh(W @ y)"
    spec = NetworkSpec.model_validate(document)
    with pytest.raises(CellError) as caught:
        registry.create("default", "co2", spec, 1)
    assert caught.value.pointer.startswith("/network/layers/0/cell")


def test_lists_models_by_name_with_their_versions(registry: Registry) -> None:
    assert registry.list("default") == ([], "")
    for name in ("rain", "co2", "rain"):
        add(registry, name, 1)
    found = [[version.ref for version in each.versions] for each in registry.list("default")[0]]
    assert found == [["co2@1"], ["rain@1", "rain@2"]]


def test_matrices_kept_as_bfloat16_and_what_that_costs(registry: Registry) -> None:
    spec = NetworkSpec.model_validate({**SPEC.model_dump(mode="json"), "weight_storage": "bfloat16"})
    version, _ = registry.create("default", "small", spec, 1)
    assert version.metrics.keys() == {"bfloat16_max_error", "bfloat16_rms_error"}
    assert registry.create("default", "small", spec, 1)[0] == version
    network = registry.network(version)
    trained = registry.publish(
        "default", "small", network, wire_weights.dump(network.init(2)), token="t", metrics={"loss": 1.0}
    )
    assert trained.metrics.keys() == {"loss", *version.metrics}
    assert bound(registry.load(trained)).network.spec.weight_storage == "bfloat16"


def bound(model: RunnableModel) -> BoundNetwork:
    """Return the network of cells of a model."""
    assert isinstance(model.network, BoundNetwork)
    return model.network


def test_a_loaded_model_runs(registry: Registry) -> None:
    loaded = registry.load(registry.create("default", "co2", SPEC, 1)[0])
    run = bound(loaded).run(np.ones((4, 2, 2), dtype=np.float32), loaded.network.initial_state(2))
    assert run.outputs.shape == (4, 2, 1)
    assert loaded.version.ref == "co2@1"


def test_models_of_one_network_share_what_is_compiled(registry: Registry) -> None:
    one, other = (bound(registry.load(add(registry, "co2", seed))) for seed in (1, 2))
    inputs, state = np.ones((1, 1, 2), dtype=np.float32), one.initial_state(1)
    assert one._compiled is other._compiled
    assert one.run(inputs, state).outputs.tobytes() != other.run(inputs, state).outputs.tobytes()


def test_models_of_one_network_are_published_and_loaded_without_compiling_it_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [registry.create("default", "co2", SPEC, 1)[0]]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network is known")

    monkeypatch.setattr("cellar.nn.execution.network_cache.Network", refuse)
    monkeypatch.setattr("cellar.nn.execution.network_cache.CompiledNetwork", refuse)
    versions += [registry.create("default", f"co{seed}", SPEC, seed)[0] for seed in (3, 4)]
    loaded = [registry.load(version) for version in versions]
    assert len({id(model.shared) for model in loaded}) == 1
    assert len({id(model.version.network) for model in loaded}) == 1


def test_a_look_at_a_version_reads_no_weights(shop: Shop) -> None:
    version = add(shop.registry, "co2", 1)
    shop.blobs.delete(version.weights)
    assert shop.another().get("default", "co2@1") == version
    assert shop.another().sizes(version).in_size == 2


@pytest.mark.parametrize("storage", ["float32", "bfloat16"])
def test_the_memory_of_models_is_what_is_said(shop: Shop, storage: str) -> None:
    """A thousand models of one network: weights, panels and copies, and all objects; the network counts once."""
    layers = [{"type": "recurrent", "cell": "lstm", "hidden_size": 32}, {"type": "dense", "out_size": 1}]
    spec = NetworkSpec.model_validate({"in_size": 8, "layers": layers, "weight_storage": storage})
    version, _ = shop.registry.create("default", "co2", spec, 1)
    kept = [shop.registry.load(version)]
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept += [shop.registry.load(version) for _ in range(1000)]
        gc.collect()
        held = (tracemalloc.get_traced_memory()[0] - before) / 1000
    finally:
        tracemalloc.stop()
    assert 0.75 <= kept[-1].size_bytes / held <= 1.25, (kept[-1].size_bytes, held)


def test_the_memory_of_a_network_is_what_is_said(shop: Shop) -> None:
    """Of different networks, whose kernels are there already."""
    specs = [
        NetworkSpec.model_validate(
            {"in_size": 8, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": hidden}]}
        )
        for hidden in range(20, 40)
    ]
    kept = [shop.registry.compile(Network(specs[0]))]
    _ = kept[0].code
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for spec in specs[1:]:
            kept.append(shop.registry.compile(Network(spec)))
            _ = kept[-1].code
        gc.collect()
        held = (tracemalloc.get_traced_memory()[0] - before) / (len(specs) - 1)
    finally:
        tracemalloc.stop()
    assert 0.7 <= kept[-1].size_bytes / held <= 1.4, (kept[-1].size_bytes, held)


def test_a_load_that_fails_is_tried_again(shop: Shop) -> None:
    version, _ = shop.registry.create("default", "co2", SPEC, 1)
    data = shop.blobs.get(version.weights)
    shop.blobs.delete(version.weights)
    for _ in range(2):
        with pytest.raises(ModelUnknown):
            shop.registry.load(version)
    shop.blobs.put(data)
    assert shop.registry.load(version).version == version


def test_a_deleted_model_is_gone_with_weights_that_only_it_had(shop: Shop) -> None:
    own, shared = (add(shop.registry, "co2", seed) for seed in (1, 2))
    twin, _ = shop.registry.create("default", "twin", SPEC, 2)
    shop.registry.load(own)
    shop.registry.delete("default", "co2")
    with pytest.raises(ModelUnknown):
        shop.registry.get("default", "co2")
    with pytest.raises(ModelUnknown):
        shop.registry.load(own)
    with pytest.raises(BlobUnknown):
        shop.blobs.get(own.weights)
    assert shared.weights == twin.weights
    assert shop.registry.load(twin).version == twin
    assert shop.registry.create("default", "co2", SPEC, 1)[0].ref == "co2@3"


def test_a_blob_that_cannot_be_deleted_keeps_no_other(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever comes first, the damaged one or another; and who asks for the model is not answered from memory."""
    versions = [add(shop.registry, "co2", seed) for seed in range(3)]
    damaged = versions[1]
    shop.registry.load(damaged)
    shop.damage(damaged.weights)
    shop.registry.delete("default", "co2")
    assert [_has(shop, version) for version in versions[::2]] == [False, False]
    assert damaged.weights in caplog.text
    with pytest.raises(StoreCorrupt):
        shop.registry.load(damaged)


def test_a_model_that_is_deleted_while_models_are_listed_is_left_out(shop: Shop) -> None:
    class Listed(RedisModels):
        def names(self, tenant: str) -> list[str]:
            found = super().names(tenant)
            self.delete(tenant, "co2")
            return found

    for name in ("co2", "rain"):
        add(shop.registry, name, 1)
    registry = Registry(Listed(shop.client, shop.prefix), shop.blobs, shop.cache, Clock())
    assert [each.versions[0].ref for each in registry.list("default")[0]] == ["rain@1"]


def test_a_page_of_models_ends_when_it_has_enough_of_them_or_of_their_versions(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellar.models.index.AT_ONCE", 2)
    for name in "abcde":
        for seed in (1, 2):
            add(shop.registry, name, seed)

    def pages(limit: int) -> list[str]:
        found, after = [], ""
        while True:
            models, after = shop.registry.list("default", after=after, limit=limit)
            found.append("".join(each.newest.name for each in models))
            if not after:
                return found

    assert pages(5) == ["abcde"]
    assert pages(3) == ["abc", "de"]
    assert pages(1) == ["a", "b", "c", "d", "e"]
    monkeypatch.setattr("cellar.models.index.MOST_VERSIONS", 3)
    assert pages(5) == ["ab", "cd", "e"], "two models are read at once, and have more versions than a page may"
    assert len(shop.registry.list("default")[0]) == 5


def test_publishing_what_is_being_deleted_loses_no_weights(shop: Shop) -> None:
    """Whichever way requests for the same weights interleave, a version that is there has them."""
    until = time.monotonic() + 2

    def come_and_go(name: str) -> None:
        while time.monotonic() < until:
            made, _ = shop.registry.create("default", name, SPEC, 1)
            # Another's deletion may be between its two looks: the bytes are back when it is through.
            wait_until(partial(_has, shop, made), 5, "the weights are there")
            shop.registry.delete("default", name)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(come_and_go, f"m{index}") for index in range(4)]:
            future.result()


def _has(shop: Shop, version: ModelVersion) -> bool:
    with suppress(BlobUnknown):
        return bool(shop.blobs.get(version.weights))
    return False


def test_the_loaded_model_belongs_to_the_version_that_was_asked_for(registry: Registry) -> None:
    one, _ = registry.create("default", "co2", SPEC, 1)
    twin, _ = registry.create("default", "twin", SPEC, 1)
    assert registry.load(one).version == one
    assert registry.load(twin).version == twin
