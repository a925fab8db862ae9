"""The role with which `scripts/deploy` deletes what earlier releases left."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.constructs.policies import allow, arn


class PruningRole(Construct):
    """May delete models and endpoint configurations with one value of the tag `deployment` only."""

    def __init__(self, scope: Construct, id_: str, *, name: str, deployment: str) -> None:
        super().__init__(scope, id_)
        role = iam.Role(
            self,
            "Role",
            role_name=name,
            assumed_by=iam.AccountRootPrincipal(),
            description="scripts/deploy assumes it to delete what earlier releases left",
        )
        reason = "CloudFormation gives each release new names; the tag is this environment's."
        ours = {"StringEquals": {"aws:ResourceTag/deployment": deployment}}
        for action, kind in (("DeleteModel", "model"), ("DeleteEndpointConfig", "endpoint-config")):
            everything = arn(self, "sagemaker", kind, "*")
            allow(role, f"sagemaker:{action}", on=everything, wildcard=reason, conditions=ours)
