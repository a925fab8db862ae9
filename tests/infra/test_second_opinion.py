"""A second emulator, moto, deploys the templates by the CDK CLI, and what it made is what they declare.

moto skips a type without support: such a type counts as not deployed, and must be listed here.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from unittest import mock

import boto3
import pytest
from moto.server import ThreadedMotoServer

from infra.local_aws import HOST, local_environment
from scripts.delivery.cdk import CDK, cdk
from tests.emulator.deployment import publish_image
from tests.infra.synthesis import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.infra.synthesis import Assembly, Template

REGION = "eu-west-1"
ASSETS = f"cdk-hnb659fds-assets-123456789012-{REGION}"  # the bootstrap's bucket
# Left out: monitoring and prod's endpoint refer to alarms, for which moto's CloudFormation has no type. Of
# the gateway it has neither stage nor gateway responses: no API could be read back as declared. No
# environment that is deployed here declares a delivery stack.
SKIPPED = {"AWS::Logs::MetricFilter", "AWS::S3::BucketPolicy"}  # moto's CloudFormation has no such types
# By type, the properties that are not compared, or members of theirs: moto's types drop them.
UNREAD: Mapping[str, set[str]] = {
    "AWS::ECR::Repository": {
        *("EncryptionConfiguration", "ImageScanningConfiguration", "LifecyclePolicy"),
        "EmptyOnDelete",  # CloudFormation's own
    },
    # DescribeKey fails on the policy, which moto stores as an object instead of text.
    "AWS::KMS::Key": {"Description", "KeyPolicy"},
    "AWS::Logs::LogGroup": {"KmsKeyId"},
    "AWS::S3::Bucket": {
        *("BucketKeyEnabled", "LifecycleConfiguration", "OwnershipControls"),
        *("PublicAccessBlockConfiguration", "VersioningConfiguration"),
    },
    "AWS::SageMaker::EndpointConfig": {"MetricsConfig"},
    "AWS::SageMaker::Endpoint": {"EndpointName"},
}
Client = Any  # of boto3, for whichever service
Read = Any  # a description
READERS: Mapping[str, Callable[[Callable[[str], Client], str, Mapping[str, Any]], Read]] = {
    "AWS::ECR::Repository": lambda client, id_, _: client("ecr").describe_repositories(repositoryNames=[id_]),
    "AWS::IAM::Role": lambda client, id_, _: client("iam").get_role(RoleName=id_),
    "AWS::IAM::Policy": lambda client, _id, declared: [
        {"Roles": declared["Roles"]},
        *(
            client("iam").get_role_policy(RoleName=role, PolicyName=declared["PolicyName"])
            for role in declared["Roles"]
        ),
    ],
    "AWS::KMS::Key": lambda client, id_, _: [
        {"EnableKeyRotation": client("kms").get_key_rotation_status(KeyId=id_)["KeyRotationEnabled"]},
    ],
    "AWS::KMS::Alias": lambda client, id_, _: [
        {"AliasName": each["AliasName"], "TargetKeyId": each["TargetKeyId"]}
        for each in client("kms").list_aliases()["Aliases"]
        if each["AliasName"] == id_
    ],
    "AWS::S3::Bucket": lambda client, id_, _: [
        {"BucketName": id_},
        client("s3").get_bucket_encryption(Bucket=id_),
        client("s3").get_bucket_versioning(Bucket=id_),
    ],
    "AWS::SSM::Parameter": lambda client, id_, _: [
        client("ssm").get_parameter(Name=id_),
        client("ssm").describe_parameters(),
    ],
    "AWS::SageMaker::Model": lambda client, id_, _: client("sagemaker").describe_model(
        ModelName=id_.rpartition("/")[2]
    ),
    "AWS::SageMaker::EndpointConfig": lambda client, id_, _: client("sagemaker").describe_endpoint_config(
        EndpointConfigName=id_.rpartition("/")[2]
    ),
    "AWS::SageMaker::Endpoint": lambda client, id_, _: client("sagemaker").describe_endpoint(
        EndpointName=id_.rpartition("/")[2]
    ),
    "AWS::Logs::LogGroup": lambda client, id_, _: client("logs").describe_log_groups(logGroupNamePrefix=id_),
}


@pytest.fixture(scope="module")
def client() -> Iterator[Callable[[str], Client]]:
    """Return clients of a moto that is bootstrapped, to which this process's commands go."""
    server = ThreadedMotoServer(HOST, 0, verbose=False)
    server.start()
    variables = local_environment(os.environ, region=REGION) | {
        "AWS_ACCESS_KEY_ID": "moto",
        # By this name, and not by the address, moto finds the bucket of a template's URL in its path
        "AWS_ENDPOINT_URL": f"http://localhost:{server.get_host_and_port()[1]}",
        "PATH": f"{CDK.parents[2] / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    with (
        mock.patch.dict(os.environ, variables, clear=True),
        mock.patch.object(boto3, "DEFAULT_SESSION", None),
    ):
        boto3.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
        place: Any = {"LocationConstraint": REGION}
        boto3.client("s3").create_bucket(Bucket=ASSETS, CreateBucketConfiguration=place)
        make: Any = boto3.client
        yield make
    server.stop()


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each scalar with the name of its member, both as text that does not depend on the spelling."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, key)
    else:
        yield key.lower(), str(float(value) if type(value) is int else value).lower()


def differences(template: Template, made: Mapping[str, str], client: Callable[[str], Client]) -> list[str]:
    found = []
    for logical_id, physical_id in made.items():
        each = template.content["Resources"][logical_id]
        kind, declared = each["Type"], resolve(each.get("Properties", {}), made, unknown="**")
        unread = UNREAD.get(kind, set())
        read = set(leaves(READERS[kind](client, physical_id, declared)))
        compared = {name: value for name, value in declared.items() if name not in unread}
        for key, value in leaves(compared):
            pattern = ".*".join(map(re.escape, value.split("**")))
            there = any(key == name and re.fullmatch(pattern, text, re.DOTALL) for name, text in read)
            if not there and key not in map(str.lower, unread):
                found.append(f"{kind} {logical_id}: {key} = {value}")
    return found


@pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")  # of each skipped type, which are compared
def test_what_moto_deploys_is_what_the_templates_declare(
    assemblies: Mapping[str, Assembly], client: Callable[[str], Client]
) -> None:
    def deploy(environment: str, stack: str) -> tuple[set[str], list[str]]:
        """Deploy a stack; return the types that were skipped, and what differs."""
        assembly, name = assemblies[environment], f"tumor-detector-{environment}-{stack}"
        options = ("--exclusively", "--require-approval", "never", "--method", "direct")
        cdk("deploy", name, *options, "--app", str(assembly.folder), local=True)
        template = assembly.template(stack)
        listed = client("cloudformation").list_stack_resources(StackName=name)["StackResourceSummaries"]
        made = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed}
        made.pop("", None)  # what was skipped
        declared = template.content["Resources"]
        skipped = {each["Type"] for id_, each in declared.items() if id_ not in made}
        return skipped, differences(template, made, client)

    # When the registries are deployed, and the endpoint with an image that the CDK finds published
    results = [deploy("dev", "registry"), deploy("prod", "registry")]
    publish_image(client("ecr"), assemblies["dev"])
    results.append(deploy("dev", "endpoint"))
    # Then all is there as declared, and only the listed types were skipped
    assert [line for _, found in results for line in found] == []
    assert set().union(*(skipped for skipped, _ in results)) == SKIPPED
