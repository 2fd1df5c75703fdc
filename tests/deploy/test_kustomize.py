"""The base for Kubernetes in `deploy/kustomize`: valid by the schemas of Kubernetes, and it holds together."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from cellar import __version__
from cellar.settings import Settings

BASE = Path(__file__).parents[2] / "deploy" / "kustomize"

COMPOSE = BASE.parents[1] / "docker-compose.yml"

KUSTOMIZATION: dict[str, Any] = yaml.safe_load((BASE / "kustomization.yaml").read_text())

OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    (each["kind"], each["metadata"]["name"]): each
    for name in KUSTOMIZATION["resources"]
    for each in yaml.safe_load_all((BASE / name).read_text())
}

PODS = {name: each["spec"]["template"] for (_, name), each in OBJECTS.items() if "template" in each["spec"]}


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the container of each pod with the pod's name."""
    for name, pod in PODS.items():
        [container] = pod["spec"]["containers"]
        yield name, container


def values(name: str) -> dict[str, str | None]:
    """Return the variables of a pod's container, None for those from the secret."""
    [container] = PODS[name]["spec"]["containers"]
    return {each["name"]: each.get("value") for each in container["env"]}


@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_every_object_is_valid(version: str) -> None:
    for each in OBJECTS.values():
        kubernetes_validate.validate(each, version, strict=True)


def test_every_file_is_a_resource_and_the_image_is_of_this_version() -> None:
    assert {f"{name}.yaml" for name in ("api", "worker", "redis")} == set(KUSTOMIZATION["resources"])
    assert {path.name for path in BASE.iterdir()} == {*KUSTOMIZATION["resources"], "kustomization.yaml"}
    assert KUSTOMIZATION["images"] == [{"name": "cellar", "newTag": __version__}]


def test_every_selector_and_port_names_something() -> None:
    labels = {pod["metadata"]["labels"]["app.kubernetes.io/name"]: pod for pod in PODS.values()}
    assert set(labels) == set(PODS) == {"cellar-api", "cellar-worker", "cellar-redis"}
    for each in OBJECTS.values():
        spec = each["spec"]
        selector = spec.get("selector", spec.get("podSelector"))
        [name] = selector.get("matchLabels", selector).values()
        if "template" in spec:
            assert spec["template"] is labels[name]
        ports = [port.get("targetPort", port["port"]) for port in spec.get("ports", ())]
        ports += [port["port"] for rule in spec.get("ingress", ()) for port in rule["ports"]]
        there = {port["name"] for port in labels[name]["spec"]["containers"][0].get("ports", ())}
        assert set(ports) <= there
    [rule] = OBJECTS["NetworkPolicy", "cellar-redis"]["spec"]["ingress"]
    [source] = rule["from"]
    assert set(source["podSelector"]["matchExpressions"][0]["values"]) == set(PODS) - {"cellar-redis"}
    [url] = {values(name)["CELLAR_REDIS_URL"] for name in ("cellar-api", "cellar-worker")}
    assert url == "redis://:$(REDIS_PASSWORD)@cellar-redis:6379/0"
    assert ("Service", "cellar-redis") in OBJECTS


def test_every_pod_is_confined() -> None:
    for name, container in containers():
        spec = PODS[name]["spec"]
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not spec["automountServiceAccountToken"], name
        assert not spec["enableServiceLinks"], "CELLAR_PORT would be that of the service `cellar`"
        own = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert container["securityContext"] == own, name
        assert "memory" in container["resources"]["limits"], name
        claims = OBJECTS.get(("StatefulSet", name), {}).get("spec", {}).get("volumeClaimTemplates", ())
        volumes = {each["name"] for each in spec.get("volumes", ())} | {each["metadata"]["name"] for each in claims}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes, name


def test_an_update_drains() -> None:
    """A pod is replaced when the next one is ready, and has time for its requests."""
    deployment = OBJECTS["Deployment", "cellar-api"]["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert OBJECTS["PodDisruptionBudget", "cellar-api"]["spec"]["minAvailable"] < deployment["replicas"]
    [container] = PODS["cellar-api"]["spec"]["containers"]
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert PODS["cellar-api"]["spec"]["terminationGracePeriodSeconds"] > pause + Settings.load().drain_s + 5


def test_the_variables_are_settings_that_the_service_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cellar-api", "cellar-worker"):
        for variable, value in values(name).items():
            assert variable == "REDIS_PASSWORD" or variable.removeprefix("CELLAR_").lower() in Settings.model_fields
            monkeypatch.setenv(variable, "p" * 32 if value is None else re.sub(r"\$\(\w+\)", "secret", value))
    monkeypatch.setenv("CELLAR_HOST", "0.0.0.0")  # of the image
    settings = Settings.load()
    settings.check_address()
    assert (settings.authentication, settings.blob_dir, settings.embedded) == ("keys", None, False)


def test_redis_is_that_of_compose_with_its_file_on_a_volume() -> None:
    [container] = PODS["cellar-redis"]["spec"]["containers"]
    compose = yaml.safe_load(COMPOSE.read_text())["services"]["redis"]
    command = " ".join(container["command"])
    assert container["image"] == compose["image"]
    for option in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert option in command
        assert option in " ".join(compose["command"])
    assert f"--dir {container['volumeMounts'][0]['mountPath']}" in command
