"""Take the endpoint out of auto scaling where SageMaker requires it before an update."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, WaiterError

from infra import names
from scripts.console import DeliveryError, step
from scripts.delivery.aws import bootstrap_session, if_exists, waiting

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config import Settings

_SCALING = "AWS::ApplicationAutoScaling::"


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
