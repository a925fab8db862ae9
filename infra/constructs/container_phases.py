"""Where the container's time goes: metrics out of the lines that it writes anyhow."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.names import PROJECT

# Of a request's line in the container's log (container/server.py), each in microseconds.
PHASES = ("read", "queue", "decode", "inference", "write")


def namespace(environment: str) -> str:
    """Return where the phases of an environment's container are found."""
    return f"{PROJECT}/{environment}/container"


class ContainerPhases(Construct):
    """A metric filter for each phase.

    Filters, and not the embedded metric format in the container's lines: the numbers are there already, a
    filter costs nothing where the format would make every line longer, and either way CloudWatch bills the
    same five metrics. The container stays ignorant of CloudWatch, so that it runs anywhere.
    """

    def __init__(self, scope: Construct, id_: str, *, environment: str, log_group: logs.ILogGroup) -> None:
        super().__init__(scope, id_)
        for phase in PHASES:
            field = f"$.{phase}_us"
            logs.MetricFilter(
                self,
                phase.capitalize(),
                log_group=log_group,
                # `/ping` has no phases but the last: only a judged image counts.
                filter_pattern=logs.FilterPattern.literal(
                    f'{{ ($.path = "/invocations") && ({field} >= 0) }}'
                ),
                metric_namespace=namespace(environment),
                metric_name=phase,
                metric_value=field,
                unit=cloudwatch.Unit.MICROSECONDS,
            )
