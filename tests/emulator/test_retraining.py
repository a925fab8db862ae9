"""The role of the retraining workflow, enforced: it reads feedback and adds artifacts, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError

from infra import config, names
from infra.config import ENVIRONMENTS
from infra.emulator import LocalAws
from infra.local_aws import ACCOUNT, local_environment
from scripts.console import DeliveryError
from scripts.delivery import artifacts
from scripts.delivery.aws import stack_outputs
from scripts.retraining import feedback
from tests.emulator.cloud import FAKE_SERVER, Cloud
from tests.emulator.deployment import REGION
from tests.emulator.feedback import serve
from tests.emulator.production import ADDED, Prod
from tests.infra.synthesis import RELEASE, as_list, synthesize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

IMAGES = 2 * feedback.LEAST
STATEMENTS = 10  # of the role; a test checks it
# Where the emulator cannot tell: S3 answers 403 instead of 404 to who may not list.
DOCUMENTED = {
    ("s3:ListBucket", f"arn:aws:s3:::tumor-detector-prod-models-{ACCOUNT}-{REGION}"): (
        "https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html"  # Permissions
    )
}


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prod]:
    """Prod's registry and delivery stacks, with images captured and labelled."""
    folder = tmp_path_factory.mktemp("prod")
    settings = re.sub(r'region = ".*"', f'region = "{REGION}"', (ENVIRONMENTS / "prod.toml").read_text())
    settings = settings.replace("instance_count = 2", "instance_count = 4")
    settings = settings.replace("expire_days = 30", 'expire_days = 30\nwhat = ["input", "output"]')
    taken = "" if "\n[feedback]" in settings + ADDED else "\n[feedback]\nexpire_days = 30\n"
    (folder / "prod.toml").write_text(settings + ADDED + taken)
    assembly = synthesize("prod", folder / "out", release=RELEASE, environments=folder)
    with LocalAws(
        port=0, engine="process", log=folder / "aws.log", program=FAKE_SERVER, enforce_policies=True
    ) as aws:
        made = Prod(Cloud(aws), assembly, config.load("prod", folder=folder))
        for stack in ("registry", "delivery"):
            made.deploy(stack)
        images = [(f"image {number}".encode(), number % 2 == 0) for number in range(IMAGES)]
        serve(made.client("s3"), made.settings, images, account=ACCOUNT)
        yield made


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(feedback, "FOLDER", tmp_path / "feedback")
    monkeypatch.setattr(artifacts, "STORE", tmp_path / "artifacts")


def retrained(prod: Prod) -> str | None:
    """Do what a retraining does on AWS, as its job; return why it failed."""
    content = os.urandom(8)
    sha256 = hashlib.sha256(content).hexdigest()
    artifacts.stored(sha256).parent.mkdir(parents=True)
    artifacts.stored(sha256).write_bytes(content)
    variables = local_environment(os.environ, port=prod.cloud.aws.port, region=REGION)
    with (
        mock.patch.dict(os.environ, variables | prod.job_keys("retrain"), clear=True),
        mock.patch.object(boto3, "DEFAULT_SESSION", None),
    ):
        try:
            bucket = stack_outputs(names.stack("prod", "registry"))["BucketName"]
            with feedback.collected(prod.settings) as joined:
                assert len(joined.files) == IMAGES
            for _ in range(2):  # the second finds it there
                artifacts.ensure_uploaded(bucket, sha256=sha256)
        except (DeliveryError, ClientError) as error:
            return str(error)
    return None


@contextmanager
def changed(prod: Prod, kept: list[dict[str, Any]]) -> Iterator[None]:
    """Give the role these statements alone, for a while."""
    iam, name = prod.client("iam"), prod.role("retrain")
    (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
    whole = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]

    def put(document: Mapping[str, Any]) -> None:
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))

    put({**whole, "Statement": kept})
    try:
        yield
    finally:
        put(whole)


def statements(prod: Prod) -> list[dict[str, Any]]:
    """Return the role's statements, each action on each resource in one of its own."""
    iam, name = prod.client("iam"), prod.role("retrain")
    (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
    found = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]["Statement"]
    return [
        {**each, "Action": action, "Resource": resource}
        for each in found
        for action in as_list(each["Action"])
        for resource in as_list(each["Resource"])
    ]


def test_with_its_policy_it_reads_the_feedback_and_adds_an_artifact(prod: Prod) -> None:
    assert retrained(prod) is None


@pytest.mark.parametrize("number", range(STATEMENTS))
def test_without_a_statement_it_fails(prod: Prod, number: int) -> None:
    every = statements(prod)
    if (every[number]["Action"], every[number]["Resource"]) in DOCUMENTED:
        return
    with changed(prod, [each for place, each in enumerate(every) if place != number]):
        reason = retrained(prod)
    assert reason, every[number]
    assert re.search(r"not authorized to perform|AccessDenied|403|Forbidden", reason), reason


def test_each_statement_was_left_out_once(prod: Prod) -> None:
    assert len(statements(prod)) == STATEMENTS


@pytest.mark.parametrize(
    ("service", "method", "arguments"),
    [
        ("s3", "put_object", {"Key": "notes.txt", "Body": b"", "Bucket": "models"}),
        ("s3", "delete_object", {"Key": "models/any", "Bucket": "models"}),
        ("s3", "put_object", {"Key": "labels/any", "Body": b"", "Bucket": "labels"}),
        ("s3", "delete_object", {"Key": "any", "Bucket": "sample"}),
        ("sts", "assume_role", {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/any", "RoleSessionName": "any"}),
        (
            "sagemaker",
            "create_model",
            {"ModelName": "any", "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/a"},
        ),
    ],
)
def test_what_is_outside_the_role_is_refused(
    prod: Prod, service: str, method: str, arguments: dict[str, Any]
) -> None:
    keys = {name.lower(): key for name, key in prod.job_keys("retrain").items()}
    if "Bucket" in arguments:
        arguments = {**arguments, "Bucket": f"tumor-detector-prod-{arguments['Bucket']}-{ACCOUNT}-{REGION}"}
    client = prod.cloud.client(service, **keys)
    with pytest.raises(ClientError, match=r"AccessDenied.*is not authorized to perform"):
        getattr(client, method)(**arguments)
