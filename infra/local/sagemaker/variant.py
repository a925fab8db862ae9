"""What an endpoint configuration asks to be run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.local.sagemaker.catalog import Catalog, Properties, Record, mapping, text
from infra.local.sagemaker.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

# How long /ping may take at start where the configuration does not say, as SageMaker documents it:
# docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html and serverless-endpoints.html
REAL_TIME_STARTUP_S = 480
SERVERLESS_STARTUP_S = 180

# docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html and hosting-faqs.html
SERVERLESS_MAX_BODY = 4 * 1024 * 1024
REAL_TIME_MAX_BODY = 25 * 1024 * 1024


@dataclass(frozen=True)
class Variant:
    """One production variant, resolved to all that its server needs.

    Attributes
    ----------
    image
        As the model names it: ``<registry>/<repository>:<tag>`` or ``...@sha256:<digest>``.
    artifact
        ``s3://`` URL of the model artifact.
    role
        ARN of the execution role that both are fetched with.
    memory_mb
        Of a serverless variant; None for a real-time one.
    startup_timeout_s
        How long the server may take until ``/ping`` answers 200.
    """

    name: str
    image: str
    artifact: str
    role: str
    environment: Mapping[str, str]
    network_isolation: bool
    memory_mb: int | None
    startup_timeout_s: float

    @property
    def serverless(self) -> bool:
        """Whether the variant is serverless, else it is real-time."""
        return self.memory_mb is not None

    @property
    def max_body(self) -> int:
        """Largest request body in bytes."""
        return SERVERLESS_MAX_BODY if self.serverless else REAL_TIME_MAX_BODY


def production_variant(config: Properties) -> Properties:
    """Return the one production variant of an endpoint configuration.

    Raises
    ------
    SageMakerError
        If there is none, or more than the one that this emulator runs.
    """
    variants = config.get("ProductionVariants")
    if not isinstance(variants, list) or not variants:
        raise invalid("1 validation error detected: ProductionVariants must have at least one member")
    if len(variants) > 1:
        raise invalid("The laptop's SageMaker runs one production variant per endpoint; this names more.")
    variant: Properties = variants[0]
    if not variant.get("ServerlessConfig") and not variant.get("InstanceType"):
        raise invalid("A production variant needs an InstanceType or a ServerlessConfig.")
    return variant


def resolve(config: Record, models: Catalog) -> Variant:
    """Resolve an endpoint configuration to what its server needs.

    Raises
    ------
    SageMakerError
        If its model no longer exists.
    """
    declared = production_variant(config.properties)
    model = models.get(text(declared, "ModelName")).properties
    container = mapping(model, "PrimaryContainer")
    serverless = mapping(declared, "ServerlessConfig")
    default_startup_s = SERVERLESS_STARTUP_S if serverless else REAL_TIME_STARTUP_S
    return Variant(
        name=text(declared, "VariantName"),
        image=text(container, "Image"),
        artifact=text(container, "ModelDataUrl"),
        role=text(model, "ExecutionRoleArn"),
        environment={key: str(value) for key, value in mapping(container, "Environment").items()},
        # CloudFormation hands booleans over as they stand in the template, sometimes as text.
        network_isolation=str(model.get("EnableNetworkIsolation")).lower() == "true",
        memory_mb=_integer(serverless.get("MemorySizeInMB")),
        startup_timeout_s=_integer(declared.get("ContainerStartupHealthCheckTimeoutInSeconds"))
        or default_startup_s,
    )


def _integer(value: object) -> int | None:
    return int(str(value)) if value is not None else None
