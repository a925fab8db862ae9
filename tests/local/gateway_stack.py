"""The gateway's own stack on a laptop's AWS, in any form that its settings allow."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING

import aws_cdk as cdk

from infra import release as releases
from infra.app import GATEWAY
from infra.stacks.gateway import GatewayStack
from tests.infra.synthesis import RELEASES, cli_context
from tests.local.cloud import AT_ONCE

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config import Settings
    from tests.local.cloud import Cloud

RECORD = RELEASES / "local.json"
ASSETS = "cdk-hnb659fds-assets-000000000000-us-east-1"  # the bootstrap's bucket


def synthesize(settings: Settings, folder: Path) -> None:
    app = cdk.App(context=cli_context(), outdir=str(folder))
    release = releases.load(RECORD)
    card = releases.card_path(RECORD, sha256=release.model.sha256)
    GatewayStack(app, "gateway", settings=settings, release=release, gateway=GATEWAY, card=card)
    app.synth()


def create(cloud: Cloud, name: str, folder: Path) -> dict[str, str]:
    """Do what `cdk deploy` does: publish the assets, create the stack, and return its outputs."""
    assets = json.loads((folder / "gateway.assets.json").read_text())["files"]
    for asset in assets.values():
        source = folder / asset["source"]["path"]
        content = zipped(source) if asset["source"]["packaging"] == "zip" else source.read_bytes()
        for destination in asset["destinations"].values():
            cloud.s3.put_object(Bucket=ASSETS, Key=destination["objectKey"], Body=content)
    template = json.loads((folder / "gateway.template.json").read_text())
    del template["Parameters"], template["Rules"]  # of the bootstrap's version
    cloud.s3.put_object(Bucket=ASSETS, Key=name, Body=json.dumps(template).encode())
    cloud.stacks.create_stack(
        StackName=name,
        TemplateURL=f"{cloud.aws.endpoint_url}/{ASSETS}/{name}",
        Capabilities=["CAPABILITY_IAM"],
    )
    cloud.stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=AT_ONCE)
    outputs = cloud.stacks.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()
