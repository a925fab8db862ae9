"""Images that SageMaker refuses: in CreateModel, in CloudFormation, and before a deploy gets that far."""

from __future__ import annotations

import json
import os
import sys
import uuid
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from infra import config
from infra.emulator import LocalAws
from infra.local_aws import ACCOUNT
from scripts.console import DeliveryError
from scripts.delivery.artifacts import DOCKER_V2, push_image
from scripts.delivery.aws import connect
from scripts.delivery.cdk import cdk
from tests.docker_engine import find_base_image
from tests.emulator.cloud import IMAGE, ROLE, Cloud
from tests.emulator.deployment import MANIFEST, Deployment, resource
from tests.infra.synthesis import record_for, synthesize

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = config.load("local")
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
# A docker with or without buildx, whose push is a manifest without an image.
DOCKER = """#!{python}
import os, sys, urllib.request
command, kind = sys.argv[1:], os.environ["MANIFEST"]
print(*command, file=open({log!r}, "a"))
if command[0] == "push":
    host, repository, tag = command[1].rsplit(":", 1)[0].partition("/")[::2] + (command[1].rsplit(":", 1)[1],)
    url = f"http://{{host}}/v2/{{repository}}/manifests/{{tag}}"
    body = b'{{"schemaVersion": 2, "layers": []}}'
    urllib.request.urlopen(urllib.request.Request(url, body, {{"Content-Type": kind}}, method="PUT"))
sys.exit(command[0] == "inspect" or command[0] == "buildx" and kind == {docker!r})
"""


@pytest.mark.parametrize("media_type", [OCI, INDEX])
def test_a_model_of_an_oci_image_is_refused_with_sagemakers_words(cloud: Cloud, media_type: str) -> None:
    # Given an image whose manifest alone names its type
    name = f"images-{uuid.uuid4().hex[:8]}"
    image = IMAGE.replace("absent:latest", f"{name}:v1")
    cloud.ecr.create_repository(repositoryName=name)
    manifest = json.dumps(MANIFEST | {"mediaType": media_type})
    cloud.ecr.put_image(repositoryName=name, imageTag="v1", imageManifest=manifest)
    # When a model of it is created, by a request or by a stack, Then it is refused
    words = (
        f"Unsupported manifest media type {media_type} for image {image}. "
        "Ensure that valid manifest media type is used for specified image."
    )
    with pytest.raises(ClientError, match="ValidationException") as refused:
        cloud.config(image=image)
    assert refused.value.response["Error"]["Message"] == words
    container = {"Image": image, "ModelDataUrl": cloud.artifact()}
    model = resource("SageMaker::Model", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    assert words in cloud.refusal(Model=model)


def test_a_deploy_pushes_its_image_once_and_ends_before_the_endpoint_if_it_is_oci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_base_image()  # the emulator runs containers: is there an engine?
    log, tool = tmp_path / "docker.log", tmp_path / "tools" / "docker"
    with LocalAws(port=0, engine="docker", region=LOCAL.region, enforce_policies=True) as aws:
        # Given a registry stack, policies that are enforced, and an endpoint's stack to deploy
        cloud = Cloud(aws)
        cloud.connect(monkeypatch)
        connect(LOCAL)
        cdk("bootstrap", f"aws://{ACCOUNT}/{aws.region}", local=True, root=tmp_path)
        assembly = synthesize("local", tmp_path / "assembly", release=record_for("local", tmp_path))
        Deployment(cloud, assembly).deploy("registry")
        tool.parent.mkdir()
        tool.write_text(DOCKER.format(python=sys.executable, log=str(log), docker=DOCKER_V2))
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)

        def build(manifest: str) -> str:
            monkeypatch.setenv("MANIFEST", manifest)
            log.write_text("")
            for _ in range(2):
                if manifest == DOCKER_V2:
                    push_image(LOCAL, assembly=str(assembly.folder))
                    continue
                with pytest.raises(DeliveryError, match=r"image\.manifest.*batch-delete-image"):
                    push_image(LOCAL, assembly=str(assembly.folder))
            (line,) = [line for line in log.read_text().splitlines() if line.startswith("build ")]
            return line

        # Without buildx the builder gets no option unknown to it; with it, the option is there
        assert build(DOCKER_V2).endswith("--platform linux/amd64 .")
        images = cloud.ecr.list_images(repositoryName="tumor-detector-local")["imageIds"]
        cloud.ecr.batch_delete_image(repositoryName="tumor-detector-local", imageIds=images)
        assert build(OCI).endswith("--platform linux/amd64 --output=type=docker,oci-mediatypes=false .")
