"""An environment's stacks before and after a deploy: busy, stuck, left over, scaled or rolled back."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, WaiterError

from infra import names
from scripts.console import BusyError, DeliveryError, detail, step
from scripts.delivery.aws import AWS_ERRORS, bootstrap_session, if_exists, waiting
from scripts.delivery.cdk import cdk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

    from infra.config import Settings

_UNDER_REVIEW = "REVIEW_IN_PROGRESS"  # a change set that was never executed: nothing is under way
_STUCK = ("UPDATE_ROLLBACK_FAILED", "UPDATE_FAILED", "CREATE_FAILED")  # `cdk rollback` recovers these
_NEVER_CREATED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
_HALF_DELETED = "DELETE_FAILED"
_SCALING = "AWS::ApplicationAutoScaling::"


def environment_stacks(settings: Settings) -> list[StackTypeDef]:
    """Return the environment's deployed stacks; fail if they cannot be read, as that could hide a deploy."""
    try:
        return stacks_of(settings.environment, bootstrap_session(settings, "lookup").client("cloudformation"))
    except AWS_ERRORS as error:
        raise DeliveryError(
            f"The stacks of {settings.environment} cannot be read with the bootstrap's lookup role: {error}\n"
            "Nothing was changed. Bootstrap the account (`scripts/cdk bootstrap`), correct "
            f"bootstrap_qualifier in infra/environments/{settings.environment}.toml, or let this caller "
            "assume the role."
        ) from error


def stacks_of(environment: str, client: CloudFormationClient) -> list[StackTypeDef]:
    """Return an environment's deployed stacks."""
    pages, prefix = client.get_paginator("describe_stacks").paginate(), names.stack_prefix(environment)
    return [stack for page in pages for stack in page["Stacks"] if stack["StackName"].startswith(prefix)]


def needs_creation(settings: Settings, part: names.Part) -> bool:
    """Return whether the next deploy creates a stack: none is there, or only one under review."""
    name = names.stack(settings.environment, part)
    states = [each["StackStatus"] for each in environment_stacks(settings) if each["StackName"] == name]
    return set(states) <= {_UNDER_REVIEW}


def refuse_if_busy(settings: Settings) -> None:
    """Refuse to deploy while a stack of the environment changes."""
    busy = [
        f"{stack['StackName']} has been in {stack['StackStatus']} since {_since(stack)}"
        for stack in environment_stacks(settings)
        if stack["StackStatus"].endswith("_IN_PROGRESS") and stack["StackStatus"] != _UNDER_REVIEW
    ]
    if busy:
        raise BusyError(
            f"{'; '.join(busy)}: another deployment or rollback is in progress. "
            "Nothing was changed. Wait until it ends, then run the same command again."
        )


def refuse_to_replace_log_role(settings: Settings) -> None:
    """Refuse to set the region's one role for API Gateway's logs where another environment has set one."""
    session = bootstrap_session(settings, "lookup")
    arn = session.client("apigateway").get_account().get("cloudwatchRoleArn")
    if settings.api_log_role == "existing" or not arn:
        return
    ours = {"Key": "deployment", "Value": names.deployment(settings.environment)}
    # A role that does not exist went with the environment that had set it.
    found = if_exists(session.client("iam").get_role, "NoSuchEntity", RoleName=arn.rpartition("/")[2])
    if found and ours not in found["Role"].get("Tags", []):
        raise DeliveryError(
            f"API Gateway of {settings.region} already logs as {arn}, which {settings.environment} would "
            'replace for every API there. Nothing was changed. Write api_log_role = "existing" in '
            f"infra/environments/{settings.environment}.toml."
        )


def recover_stacks(settings: Settings, *, assembly: str) -> None:
    """Bring stacks that an earlier deploy left unfinished into a state that the next can start from."""
    for stack in environment_stacks(settings):
        name, status = stack["StackName"], stack["StackStatus"]
        if status in _STUCK:
            _roll_back(name, status, assembly=assembly, settings=settings)
        elif status in _NEVER_CREATED:
            detail(f"  {name} was never complete: deleting it, so that it can be created")
            client = bootstrap_session(settings, "deploy").client("cloudformation")
            client.update_termination_protection(StackName=name, EnableTerminationProtection=False)
            client.delete_stack(StackName=name)
            client.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=waiting(settings))
        elif status == _HALF_DELETED:
            raise DeliveryError(
                f"{name} is half deleted ({stack.get('StackStatusReason', status)}). "
                f"`scripts/destroy --env {settings.environment}` deletes the rest; then deploy again."
            )


def _roll_back(name: str, status: str, *, assembly: str, settings: Settings) -> None:
    # Where CloudFormation fails once more, the CDK's exit status is 0 or not, by what it has seen until then.
    with suppress(DeliveryError), step(f"{name} is stuck in {status}: cdk rollback"):
        cdk("rollback", name, "--app", assembly, local=settings.local)
    (now,) = (stack for stack in environment_stacks(settings) if stack["StackName"] == name)
    if now["StackStatus"] in _STUCK:
        client = bootstrap_session(settings, "lookup").client("cloudformation")
        raise DeliveryError(
            f"{name} is stuck in {now['StackStatus']}: "
            f"{failures(client, name, since='UPDATE_ROLLBACK_IN_PROGRESS')}\n"
            "Fix that (recreate what was deleted by hand) and run the same command again, or leave the "
            f"resource as it is: `scripts/cdk rollback {name} --orphan LOGICAL_ID "
            f"-c env={settings.environment}`."
        )


def take_over(settings: Settings, *, assembly: Path) -> None:
    """Import what exists already into a new registry stack, so that its deploy creates only the rest.

    The names are taken, and what was kept is encrypted with the key that the repository names. An import
    changes nothing: `scripts/drift` tells what differs from the template. Unverified on AWS.
    """
    stack = names.stack(settings.environment, "registry")
    resources = json.loads((assembly / f"{stack}.template.json").read_text(encoding="utf-8"))["Resources"]
    session = bootstrap_session(settings, "lookup")
    s3, ecr, kms = session.client("s3"), session.client("ecr"), session.client("kms")
    account = session.client("sts").get_caller_identity()["Account"]
    found: dict[str, dict[str, str]] = {}
    for id_, properties in _declared(resources, "AWS::S3::Bucket"):
        name = _resolved_name(properties["BucketName"], account)
        if if_exists(s3.head_bucket, "404", Bucket=name, ExpectedBucketOwner=account):
            found[id_] = {"BucketName": name}
    key = None
    for id_, properties in _declared(resources, "AWS::ECR::Repository"):
        name = properties["RepositoryName"]
        if answer := if_exists(
            ecr.describe_repositories, "RepositoryNotFoundException", repositoryNames=[name]
        ):
            found[id_] = {"RepositoryName": name}
            key = answer["repositories"][0]["encryptionConfiguration"].get("kmsKey")
    if not found:
        return
    left = ", ".join(value for identifier in found.values() for value in identifier.values())
    for id_, _ in _declared(resources, "AWS::KMS::Key"):
        if key is None:
            raise DeliveryError(
                f"{settings.environment} was destroyed and has left {left}, but no repository that names "
                f"their key. Delete what is left. Or create {names.deployment(settings.environment)} under "
                "the key that `aws s3api get-bucket-encryption --bucket BUCKET` shows, by `aws ecr "
                "create-repository --encryption-configuration encryptionType=KMS,kmsKey=KEY "
                "--repository-name NAME`. Then deploy again."
            )
        metadata = kms.describe_key(KeyId=key)["KeyMetadata"]
        if metadata["KeyState"] != "Enabled":
            raise DeliveryError(
                f"{settings.environment} was destroyed and has left {left}, but the key of its repository "
                f"({key}) is {metadata['KeyState']}. Enable it, after `aws kms cancel-key-deletion` where it "
                "is about to be deleted, or delete what is left."
            )
        found[id_] = {"KeyId": metadata["KeyId"]}
    arguments = ("--app", str(assembly), "--resource-mapping-inline", json.dumps(found))
    with step(f"importing what {settings.environment} has left: {left}"):
        cdk("import", stack, *arguments, local=settings.local)


def _declared(resources: dict[str, Any], kind: str) -> list[tuple[str, Any]]:
    return [(id_, each["Properties"]) for id_, each in resources.items() if each["Type"] == kind]


def _resolved_name(name: Any, account: str) -> str:
    """Return a template's name, in which the account may be a reference."""
    parts = name["Fn::Join"][1] if isinstance(name, dict) else [name]
    return "".join(account if isinstance(part, dict) else part for part in parts)


def failures(client: CloudFormationClient, name: str, *, since: str) -> str:
    """Return why resources failed, by logical id, since a stack last came into a state."""
    failed: dict[str, str] = {}
    for event in client.describe_stack_events(StackName=name)["StackEvents"]:  # the newest first
        logical_id, status = event["LogicalResourceId"], event["ResourceStatus"]
        if logical_id == name and status == since:
            break
        if logical_id != name and status.endswith("_FAILED"):
            failed.setdefault(logical_id, event.get("ResourceStatusReason", status))
    return "; ".join(f"{logical_id}: {reason}" for logical_id, reason in failed.items())


def _since(stack: StackTypeDef) -> str:
    began = stack.get("LastUpdatedTime") or stack["CreationTime"]
    minutes = (datetime.now(UTC) - began).total_seconds() / 60
    return f"{began.astimezone(UTC):%H:%M:%S} UTC ({minutes:.0f} min ago)"


def suspend_scaling(settings: Settings, *, assembly: Path) -> bool:
    """Remove the deployed scaling if the next deploy removes it, or changes the instance type.

    Return whether it is removed although the next deploy declares it: until that succeeds, nothing scales.

    SageMaker refuses another instance type under a scalable target, and CloudFormation removes that last: so
    it takes an update of its own. The next one registers it again. Unverified on AWS.
    docs.aws.amazon.com/sagemaker/latest/dg/endpoint-scaling-update.html
    """
    stack = names.stack(settings.environment, "endpoint")
    client = bootstrap_session(settings, "deploy").client("cloudformation")
    found = if_exists(client.get_template, "ValidationError", StackName=stack)
    if found is None:  # it was never created
        return False
    deployed: Any = found["TemplateBody"]
    new = json.loads((assembly / f"{stack}.template.json").read_text(encoding="utf-8"))
    kept = {id_: each for id_, each in deployed["Resources"].items() if not each["Type"].startswith(_SCALING)}
    still_scaled = any(each["Type"].startswith(_SCALING) for each in new["Resources"].values())
    same_type = _instance_types(new) == _instance_types(deployed)
    if len(kept) == len(deployed["Resources"]) or (still_scaled and same_type):
        return False
    parameters: Any = [
        {"ParameterKey": each, "UsePreviousValue": True} for each in deployed.get("Parameters", ())
    ]
    with step(f"removing the auto scaling of {stack}, under which SageMaker refuses this update"):
        try:
            client.update_stack(
                StackName=stack,
                TemplateBody=json.dumps({**deployed, "Resources": kept}),
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Parameters=parameters,
            )
            client.get_waiter("stack_update_complete").wait(StackName=stack, WaiterConfig=waiting(settings))
        except (ClientError, WaiterError) as error:
            raise DeliveryError(
                f"The auto scaling of {stack} cannot be removed: {error}\nNothing else was changed. Fix what "
                "the stack's events name, and run the same command again."
            ) from error
    return still_scaled


def _instance_types(template: Any) -> list[object]:
    resources = template["Resources"].values()
    configs = [each["Properties"] for each in resources if each["Type"] == "AWS::SageMaker::EndpointConfig"]
    return [variant.get("InstanceType") for each in configs for variant in each["ProductionVariants"]]


def rollback_reason(settings: Settings, *, since: datetime) -> str | None:
    """Return which alarm has ended an update of the endpoint since a deploy began; None if no alarm has.

    CloudFormation repeats SageMaker's reason, which need not name the alarm.
    """
    session = bootstrap_session(settings, "lookup")
    stack = names.stack(settings.environment, "endpoint")
    endpoint = settings.endpoint_name
    watched = resources(session, stack, "AWS::CloudWatch::Alarm")
    alarms = [line for alarm in watched if (line := _alarm_since(session, alarm, since))]
    if not alarms:
        return None
    serving = session.client("sagemaker").describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    tried = _other_configuration(session, stack, serving, since)
    if tried is None:
        return None
    return (
        f"The update was rolled back: {'; '.join(alarms)}. {serving} serves as before, {tried} does not. "
        f"The log group /aws/sagemaker/Endpoints/{endpoint} holds the cause. Fix it, or restore the previous "
        f"record (`git revert`, or `scripts/rollback --env {settings.environment}`), and deploy again once "
        "the alarm is OK: until then it ends every update."
    )


def resources(session: boto3.Session, stack: str, *kinds: str) -> Iterator[str]:
    """Yield the physical ids of a stack's resources of some types."""
    pages = session.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    for resource in pages.search("StackResourceSummaries[]"):
        if resource["ResourceType"] in kinds and "PhysicalResourceId" in resource:
            yield resource["PhysicalResourceId"]


def _alarm_since(session: boto3.Session, alarm: str, since: datetime) -> str | None:
    """Return one line if the alarm was in ALARM since then, even if it no longer is."""
    history = session.client("cloudwatch").describe_alarm_history(
        AlarmName=alarm, HistoryItemType="StateUpdate", StartDate=since
    )
    for item in history["AlarmHistoryItems"]:
        state = json.loads(item["HistoryData"])["newState"]
        if state["stateValue"] == "ALARM":
            return f"alarm {alarm} went off ({state.get('stateReason', 'without a reason')})"
    return None


def _other_configuration(session: boto3.Session, stack: str, serving: str, since: datetime) -> str | None:
    """Return the name of an endpoint configuration that the stack created and that does not serve."""
    for event in session.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]:
        created = event.get("PhysicalResourceId", "").rpartition("/")[2]  # an ARN, which is in lower case
        if event["Timestamp"] < since or event.get("ResourceType") != "AWS::SageMaker::EndpointConfig":
            continue
        if created and created != serving.lower():
            return created
    return None
