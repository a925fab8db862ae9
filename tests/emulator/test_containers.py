"""Endpoints as containers: the image in the emulator's ECR, pushed and run by Docker."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.emulator import LocalAws
from infra.emulator.process import docker as emulator_docker
from tests.container.containers import inspect
from tests.docker_engine import docker, find_base_image, succeeds
from tests.emulator import fake_server
from tests.emulator.cloud import IMAGE, Cloud

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


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Local AWS that runs containers, with the fake server's image pushed to its ECR."""
    context = tmp_path_factory.mktemp("image")
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "fake_server.py").write_bytes(Path(fake_server.__file__).read_bytes())
    with LocalAws(port=0, engine="docker", log=context / "aws.log") as aws:
        cloud = Cloud(aws)
        uri = cloud.ecr.create_repository(repositoryName=REPOSITORY)["repository"]["repositoryUri"]
        argument = f"--build-arg=BASE_IMAGE={find_base_image()}"
        docker("build", "--quiet", "--tag", f"{uri}:v1", argument, str(context))
        try:
            docker("push", "--quiet", f"{uri}:v1")
            yield cloud
        finally:
            docker("image", "rm", f"{uri}:v1")


def containers(aws: LocalAws) -> list[str]:
    return docker(
        "ps", "--all", "--quiet", "--filter", f"label={emulator_docker.label(aws.process_id)}"
    ).split()


def test_docker_without_an_answer_in_time_is_a_failure_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "docker"
    hanging.write_text("#!/bin/sh\nexec sleep 30\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    done = emulator_docker.run("pull", "image", timeout_s=0.2)
    assert done.returncode
    assert "no answer" in done.stderr


def test_endpoint_runs_the_pushed_image_by_its_digest(cloud: Cloud) -> None:
    endpoint = cloud.endpoint(cloud.config(image=PUSHED, answer="from a container"))

    [pushed] = cloud.ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]
    [variant] = cloud.sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"]
    [container] = containers(cloud.aws)
    assert cloud.invoke(endpoint)["answer"] == "from a container"
    assert variant["DeployedImages"][0]["ResolvedImage"].endswith(f"/{REPOSITORY}@{pushed['imageDigest']}")
    assert inspect(container)["Config"]["Image"].endswith(pushed["imageDigest"])
    cloud.delete(endpoint)
    assert not containers(cloud.aws)


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
    echo = cloud.invoke(endpoint)
    assert echo["open_files"] == [1024, 1024]
    assert not [key for key in echo["environment"] if key.startswith("AWS_")]
    cloud.delete(endpoint)


def test_container_that_ends_fails_the_endpoint_with_its_last_output(cloud: Cloud) -> None:
    assert "broken on purpose" in cloud.failed_endpoint(cloud.config(image=PUSHED, start="crash"))


def test_image_that_ecr_does_not_hold_fails_the_endpoint(cloud: Cloud) -> None:
    assert "is not in local AWS's ECR" in cloud.failed_endpoint(cloud.config(answer=""))


def test_with_an_engine_the_cdk_must_build_its_image(cloud: Cloud) -> None:
    with pytest.raises(cloud.ecr.exceptions.ImageNotFoundException):
        cloud.ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": "0" * 64}])


def test_killed_emulator_leaves_no_container() -> None:
    """What it started is removed by the process that started the emulator."""
    with LocalAws(port=0, engine="docker") as aws:
        mark = emulator_docker.label(aws.process_id)
        docker("run", "--detach", "--label", mark, "--entrypoint", "sleep", find_base_image(), "600")
        [container] = containers(aws)
        os.kill(aws.process_id, signal.SIGKILL)
    assert not succeeds("inspect", container)
