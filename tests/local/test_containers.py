"""Endpoints as containers: the very image of the laptop's ECR, pushed and run by Docker."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from infra.local import LocalAws
from infra.local.leftovers import label
from tests.docker_engine import docker, find_base_image, succeeds
from tests.local.cloud import FAKE_SERVER, IMAGE, Cloud

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = "serving"
PUSHED = IMAGE.replace("absent:latest", f"{REPOSITORY}:v1")
DOCKERFILE = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY fake_server.py /fake_server.py
USER 10001
ENTRYPOINT ["python3", "/fake_server.py"]
"""


@pytest.fixture(scope="session")
def base_image() -> str:
    return find_base_image()


@pytest.fixture(scope="module")
def cloud(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A laptop's AWS that runs containers, with the stand-in server's image pushed to its ECR."""
    context = tmp_path_factory.mktemp("image")
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "fake_server.py").write_bytes(FAKE_SERVER.read_bytes())
    with LocalAws(port=0, engine="docker", log=context / "aws.log") as aws:
        cloud = Cloud(aws)
        uri = cloud.ecr.create_repository(repositoryName=REPOSITORY)["repository"]["repositoryUri"]
        argument = f"--build-arg=BASE_IMAGE={base_image}"
        docker("build", "--quiet", "--tag", f"{uri}:v1", argument, str(context))
        try:
            docker("push", "--quiet", f"{uri}:v1")
            yield cloud
        finally:
            docker("image", "rm", f"{uri}:v1")


def containers(aws: LocalAws) -> list[str]:
    return docker("ps", "--all", "--quiet", "--filter", f"label={label(aws.process_id)}").split()


def inspect(container: str) -> dict[str, Any]:
    described: list[dict[str, Any]] = json.loads(docker("inspect", container))
    return described[0]


def test_endpoint_runs_the_pushed_image_by_its_digest(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(image=PUSHED, answer="from a container"))

    [pushed] = cloud.ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]
    [variant] = cloud.sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"]
    [container] = containers(cloud.aws)
    assert cloud.ask(endpoint)["answer"] == "from a container"
    assert variant["DeployedImages"][0]["ResolvedImage"].endswith(f"/{REPOSITORY}@{pushed['imageDigest']}")
    assert inspect(container)["Config"]["Image"].endswith(pushed["imageDigest"])
    cloud.delete(endpoint)
    assert not containers(cloud.aws)


def test_update_replaces_the_container(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(image=PUSHED, answer="old"))
    [old] = containers(cloud.aws)

    config = cloud.config(image=PUSHED, answer="new")
    cloud.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)
    cloud.wait(endpoint)

    [new] = containers(cloud.aws)
    assert cloud.ask(endpoint)["answer"] == "new"
    assert new != old
    cloud.delete(endpoint)


def test_container_is_locked_down(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(image=PUSHED, isolated=True, answer=""))
    [container] = containers(cloud.aws)

    described = inspect(container)
    [model] = described["Mounts"]
    [published] = described["NetworkSettings"]["Ports"]["8080/tcp"]
    [network] = described["NetworkSettings"]["Networks"]
    assert described["Config"]["User"] == "10001"
    assert described["HostConfig"]["ReadonlyRootfs"]
    assert (model["Destination"], model["RW"]) == ("/opt/ml/model", False)
    assert published["HostIp"] == "127.0.0.1"
    assert json.loads(docker("network", "inspect", network))[0]["Options"] == {
        "com.docker.network.bridge.enable_ip_masquerade": "false"
    }
    assert not [key for key in cloud.ask(endpoint)["environment"] if key.startswith("AWS_")]
    cloud.delete(endpoint)


def test_container_that_ends_fails_the_endpoint_with_its_last_words(cloud: Cloud) -> None:
    assert "broken on purpose" in cloud.failed_endpoint(cloud.config(image=PUSHED, start="crash"))


def test_image_that_ecr_does_not_hold_fails_the_endpoint(cloud: Cloud) -> None:
    assert "is not in the laptop's ECR" in cloud.failed_endpoint(cloud.config(answer=""))


def test_with_an_engine_the_cdk_must_build_its_image(cloud: Cloud) -> None:
    with pytest.raises(cloud.ecr.exceptions.ImageNotFoundException):
        cloud.ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": "0" * 64}])


def test_killed_emulator_leaves_no_container(base_image: str) -> None:
    """What it started is removed by whoever started the emulator."""
    with LocalAws(port=0, engine="docker") as aws:
        mark = label(aws.process_id)
        docker("run", "--detach", "--label", mark, "--entrypoint", "sleep", base_image, "600")
        [container] = containers(aws)
        os.kill(aws.process_id, signal.SIGKILL)
    assert not succeeds("inspect", container)
