"""deploy/kuberay.yaml against the part of RayCluster (ray.io/v1) that it uses, and against docker-compose.yml."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from legan._version import __version__

REPOSITORY = Path(__file__).parents[2]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Variable(Part):
    name: str
    value: str | None = None
    valueFrom: dict[str, dict[str, str]] | None = None  # noqa: N815

    @model_validator(mode="after")
    def _one_of(self) -> "Variable":
        assert (self.value is None) != (self.valueFrom is None)
        return self


class Port(Part):
    name: str = Field(pattern=r"^[a-z0-9-]{1,15}$")
    containerPort: int  # noqa: N815


class Resources(Part):
    requests: dict[str, str]
    limits: dict[str, str]


class Mount(Part):
    name: str
    mountPath: str = Field(pattern="^/")  # noqa: N815


class Probe(Part):
    exec: dict[str, list[str]]
    initialDelaySeconds: int  # noqa: N815
    periodSeconds: int  # noqa: N815
    timeoutSeconds: int  # noqa: N815
    failureThreshold: int  # noqa: N815


class Container(Part):
    name: str
    image: str
    env: list[Variable]
    ports: list[Port] = []
    resources: Resources
    volumeMounts: list[Mount]  # noqa: N815
    readinessProbe: Probe  # noqa: N815
    livenessProbe: Probe  # noqa: N815


class Pod(Part):
    containers: list[Container] = Field(min_length=1)
    securityContext: dict[str, bool | int]  # noqa: N815
    volumes: list[dict[str, Any]]


class Template(Part):
    spec: Pod


class Head(Part):
    rayStartParams: dict[str, str]  # noqa: N815
    template: Template


class Workers(Head):
    groupName: str  # noqa: N815
    replicas: int
    minReplicas: int = Field(ge=0)  # noqa: N815
    maxReplicas: int  # noqa: N815


class Spec(Part):
    rayVersion: str  # noqa: N815
    headGroupSpec: Head  # noqa: N815
    workerGroupSpecs: list[Workers]  # noqa: N815


@pytest.fixture(scope="module")
def spec() -> Spec:
    document = yaml.safe_load((REPOSITORY / "deploy/kuberay.yaml").read_text())
    assert (document["apiVersion"], document["kind"], document["metadata"]) == ("ray.io/v1", "RayCluster", {"name": "legan"})
    assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
    return Spec.model_validate(document["spec"])


def containers(spec: Spec) -> list[Container]:
    pods = [spec.headGroupSpec.template.spec, *(group.template.spec for group in spec.workerGroupSpecs)]
    for pod in pods:
        names = {volume["name"] for volume in pod.volumes}
        assert all({mount.name for mount in container.volumeMounts} == names for container in pod.containers)
        assert pod.securityContext["runAsNonRoot"] is True
    return [container for pod in pods for container in pod.containers]


def test_nodes_have_the_image_folder_and_settings_of_compose(spec: Spec) -> None:
    node = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]["ray-worker"]
    for container in containers(spec):
        assert container.image == node["image"] == f"legan:{__version__}"
        plain = {each.name: each.value for each in container.env if each.value is not None}
        assert plain.items() <= node["environment"].items()
        assert {"RAY_AUTH_MODE", "LEGAN_HOME", "MLFLOW_TRACKING_URI"} <= set(plain)
        assert [mount.mountPath for mount in container.volumeMounts] == ["/srv/legan", "/dev/shm"]  # noqa: S108
        assert container.readinessProbe.exec["command"] == node["healthcheck"]["test"][1:]


def test_the_token_is_a_secret_of_its_own(spec: Spec) -> None:
    for container in containers(spec):
        (token,) = [each for each in container.env if each.name == "RAY_AUTH_TOKEN"]
        assert token.valueFrom == {"secretKeyRef": {"name": "legan-ray-token", "key": "auth_token"}}


def test_what_ray_offers_is_what_kubernetes_gives(spec: Spec) -> None:
    assert spec.headGroupSpec.rayStartParams["num-cpus"] == "0"
    for group in spec.workerGroupSpecs:
        (container,) = group.template.spec.containers
        assert group.minReplicas <= group.replicas <= group.maxReplicas
        assert container.resources.requests["cpu"] == group.rayStartParams["num-cpus"]
        assert container.resources.limits.get("nvidia.com/gpu", "0") == group.rayStartParams["num-gpus"]
        assert container.resources.requests["memory"] == container.resources.limits["memory"]


def test_rays_version_is_the_pinned_one(spec: Spec) -> None:
    pins = (REPOSITORY / "constraints.txt").read_text().splitlines()
    assert f"ray=={spec.rayVersion}" in pins
