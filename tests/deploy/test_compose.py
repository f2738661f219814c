"""docker-compose.yml against the compose specification (the part it uses, every other key refused) and against the house's own
rules. The commands in it are run natively by tests/sweeps/remote/test_two_nodes.py; containers are not."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

REPOSITORY = Path(__file__).parents[2]
BUILT = "legan:0.1.0"
Duration = Annotated[str, Field(pattern=r"^(\d+(us|ms|s|m|h))+$")]
Bytes = Annotated[str, Field(pattern=r"^\d+(b|k|m|g|kb|mb|gb)$")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Health(Part):
    test: Annotated[list[str], Field(min_length=2)]

    @field_validator("test")
    @classmethod
    def _says_how(cls, test: list[str]) -> list[str]:
        assert test[0] == "CMD" or (test[0] == "CMD-SHELL" and len(test) == 2)
        return test

    interval: Duration
    timeout: Duration
    retries: Annotated[int, Field(gt=0)]
    start_period: Duration = "0s"


class Need(Part):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Device(Part):
    driver: str
    count: int | str
    capabilities: Annotated[list[str], Field(min_length=1)]


class Reservations(Part):
    devices: list[Device]


class Resources(Part):
    reservations: Reservations


class Deploy(Part):
    resources: Resources


class Build(Part):
    context: str
    dockerfile: str


class Service(Part):
    image: Annotated[str, Field(pattern=r"^[a-z0-9./_-]+:[\w][\w.-]+$")]
    build: Build | None = None
    command: str | None = None
    environment: dict[str, str] = {}
    volumes: list[Annotated[str, Field(pattern=r"^[^:]+(:-[^}]*})?:/[^:]+(:ro)?$")]] = []
    ports: list[str] = []
    depends_on: dict[str, Need] = {}
    healthcheck: Health
    restart: Literal["no", "always", "on-failure", "unless-stopped"]
    init: bool
    stop_grace_period: Duration
    shm_size: Bytes | None = None
    profiles: list[Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]+$")]] = []
    deploy: Deploy | None = None


class Compose(Part):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    services: dict[Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]+$")], Service]
    volumes: dict[str, None]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    return {key: value for key, value in loaded.items() if not key.startswith("x-")}


def test_variables_are_given_as_the_specification_has_it() -> None:
    text = (REPOSITORY / "docker-compose.yml").read_text()
    rest = re.sub(r"\$\{[A-Za-z_][A-Za-z0-9_]*(:?[-?+][^${}]*)?\}", "", text)
    assert "$" not in rest


@pytest.fixture(scope="module")
def compose(document: dict[str, Any]) -> Compose:
    return Compose.model_validate(document)


def test_the_services_are_those_of_the_cluster(compose: Compose) -> None:
    started = {name for name, service in compose.services.items() if not service.profiles}
    assert started == {"ray-head", "ray-worker", "mlflow", "postgres", "prometheus", "grafana"}
    asked_for = {name: service.profiles for name, service in compose.services.items() if service.profiles}
    assert asked_for == {"ray-worker-gpu": ["gpu"], "serve": ["serve"]}


def test_what_a_service_names_is_there(compose: Compose) -> None:
    for service in compose.services.values():
        assert set(service.depends_on) <= set(compose.services)
        assert all(compose.services[name].healthcheck for name in service.depends_on)
        for volume in service.volumes:
            source = re.sub(r"^\$\{\w+:-(.*?)\}", r"\1", volume).split(":")[0]
            assert source in compose.volumes or (REPOSITORY / source).exists(), volume
        if service.build:
            assert (REPOSITORY / service.build.context / service.build.dockerfile).is_file()


def test_no_service_waits_for_itself_or_for_one_of_another_profile(compose: Compose) -> None:
    def waits_for(name: str, above: tuple[str, ...] = ()) -> None:
        assert name not in above, above
        for other in compose.services[name].depends_on:
            assert set(compose.services[other].profiles) <= set(compose.services[name].profiles)
            waits_for(other, (*above, name))

    for name in compose.services:
        waits_for(name)


def test_images_have_a_version(compose: Compose) -> None:
    for service in compose.services.values():
        assert re.search(r":v?\d+\.\d+", service.image), service.image
        assert (service.image == BUILT) == (service.build is not None)
    [base] = re.findall(r"^FROM (\S+)", (REPOSITORY / "deploy/Dockerfile").read_text(), re.MULTILINE)
    assert re.fullmatch(r"python:3\.1[1-9]\.\d+-slim-bookworm", base)


def test_ports_are_this_machines_own(compose: Compose) -> None:
    ports = [port for service in compose.services.values() for port in service.ports]
    assert sorted(ports) == [f"127.0.0.1:{port}:{port}" for port in ("3000", "5000", "8000", "8265", "9090")]


def test_services_come_back_and_all_workers_can_be_scaled(compose: Compose) -> None:
    assert {service.restart for service in compose.services.values()} == {"unless-stopped"}
    assert all(not compose.services[name].ports for name in ("ray-worker", "ray-worker-gpu"))


def test_secrets_come_from_the_environment(compose: Compose) -> None:
    asked, optional = set(), set()
    for service in compose.services.values():
        for name, value in service.environment.items():
            if re.search("TOKEN|PASSWORD|SECRET", name):
                given = re.fullmatch(r"\$\{(\w+):(\?[^}]+|-)\}", value)
                assert given, f"{name} is written out"
                (optional if given[2] == "-" else asked).add(given[1])
        assert not re.search(r"://[^@\s]+:[^@\s]+@", service.command or "")
    example = dict(re.findall(r"^(\w+)=(.*)$", (REPOSITORY / ".env.example").read_text(), re.MULTILINE))
    assert example == dict.fromkeys(asked, "")
    assert optional == set()
    assert ".env" in (REPOSITORY / ".gitignore").read_text().split()


def test_every_ray_node_asks_for_the_token_and_sees_the_same_folder(compose: Compose) -> None:
    nodes = [service for service in compose.services.values() if (service.command or "").startswith("ray ")]
    assert len(nodes) == 3
    for node in nodes:
        assert node.environment["RAY_AUTH_MODE"] == "token"
        assert "RAY_AUTH_TOKEN" in node.environment
        assert node.volumes == ["${LEGAN_SHARED:-shared}:/srv/legan"]
        assert node.environment["LEGAN_HOME"].startswith("/srv/legan/")


def test_the_gpu_variant_differs_from_the_worker_in_its_gpus_alone(compose: Compose) -> None:
    plain, gpu = (compose.services[name] for name in ("ray-worker", "ray-worker-gpu"))
    assert (gpu.command or "").replace("${RAY_WORKER_GPUS:-1}", "0") == plain.command
    assert gpu.model_dump(exclude={"command", "profiles", "deploy"}) == plain.model_dump(
        exclude={"command", "profiles", "deploy"}
    )
    assert gpu.deploy
    assert gpu.deploy.resources.reservations.devices[0].capabilities == ["gpu"]


def test_a_key_the_specification_does_not_know_is_found(document: dict[str, Any]) -> None:
    service = document["services"]["mlflow"]
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Compose.model_validate({**document, "services": {"mlflow": {**service, "portz": []}}})


def test_the_image_holds_the_source_under_constraints_and_no_root() -> None:
    lines = (REPOSITORY / "deploy/Dockerfile").read_text().splitlines()
    assert "RUN pip install --no-cache-dir --constraint constraints.txt ." in lines
    assert [line for line in lines if line.startswith("USER")] == ["USER legan"]
    copied = {source for line in lines if line.startswith("COPY") for source in line.split()[1:-1]}
    assert {"models", "platform", "sweeps", "serve", "src", "constraints.txt", "pyproject.toml", "README.md", "LICENSE"} == copied
    sent = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sent == copied


def test_prometheus_asks_every_node_and_grafana_prometheus(compose: Compose) -> None:
    [job] = yaml.safe_load((REPOSITORY / "deploy/prometheus.yml").read_text())["scrape_configs"]
    [found] = job["dns_sd_configs"]
    nodes = {name for name, service in compose.services.items() if (service.command or "").startswith("ray ")}
    assert set(found["names"]) == nodes | {"serve"}
    assert all(f"--metrics-export-port={found['port']}" in str(compose.services[name].command) for name in nodes)
    assert f"--metrics-port {found['port']}" in str(compose.services["serve"].command)
    provisioning = REPOSITORY / "deploy/grafana"
    assert "./deploy/grafana:/etc/grafana/provisioning:ro" in compose.services["grafana"].volumes
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((provisioning / "dashboards/provider.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/provisioning/dashboards"
    for file in (provisioning / "dashboards").glob("*.json"):
        for panel in json.loads(file.read_text())["panels"]:
            assert panel["type"] == "row" or panel["datasource"]["uid"] == source["uid"], panel["title"]
