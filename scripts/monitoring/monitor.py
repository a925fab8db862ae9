"""What an environment answered, compared with what its models were trained on and with people's labels."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.exceptions import ClientError

from infra import names
from infra.lambdas.gateway import metrics as gateway_metrics
from infra.release import artifact_key
from scripts.console import DeliveryError, step
from scripts.monitoring import labels
from scripts.monitoring.accuracy import Accuracy, accuracy
from scripts.monitoring.drift import Histograms, NoReferenceError, Shift, reference_of, shifts
from scripts.monitoring.records import records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.config import Settings
    from scripts.monitoring.drift import Verdict
    from scripts.monitoring.records import Record

    ModelVerdict = Verdict | Literal["no reference"]

_HOUR_S = 3600

# S3 answers 403 for what does not exist to those who may not list a bucket, as the workflow's role may not.
_ABSENT = {"NoSuchKey", "NoSuchBucket", "404", "AccessDenied", "403"}


@dataclass
class Model:
    """One model's answers; without a reference, `reason` says why there is none."""

    sha256: str
    histograms: Histograms | None = None
    reason: str | None = None
    answers: int = 0
    labelled: list[Record] = field(default_factory=list)
    shifts: list[Shift] = field(default_factory=list)
    accuracy: Accuracy | None = None

    @property
    def verdict(self) -> ModelVerdict:
        """The worst of its statistics'; one that cannot be judged leaves the model unjudged."""
        found = {each.verdict for each in self.shifts}
        order: tuple[ModelVerdict, ...] = ("drift", "too few", "no drift")
        return next((each for each in order if each in found), "no reference")


@dataclass
class Report:
    """What was read, from where, and what it says."""

    environment: str
    since: datetime
    source: str
    refused: int
    models: list[Model]
    unusable: list[str]

    @property
    def answers(self) -> int:
        """All models' answers."""
        return sum(each.answers for each in self.models)

    @property
    def verdict(self) -> ModelVerdict:
        """Drift of any model; otherwise what can be said of those that can be judged."""
        found = {each.verdict for each in self.models}
        order: tuple[ModelVerdict, ...] = ("drift", "no drift", "too few", "no reference")
        return next((each for each in order if each in found), "too few")

    def document(self) -> dict[str, Any]:
        """Return the report as what JSON can hold."""
        models = [
            {
                "sha256": each.sha256,
                "answers": each.answers,
                "verdict": each.verdict,
                "reason": each.reason,
                "statistics": [asdict(shift) for shift in each.shifts],
                "accuracy": asdict(each.accuracy) if each.accuracy else None,
            }
            for each in self.models
        ]
        return {
            "environment": self.environment,
            "since": self.since.isoformat(),
            "source": self.source,
            "verdict": self.verdict,
            "answers": self.answers,
            "refused": self.refused,
            "models": models,
            "unusable": self.unusable,
        }


def monitor(settings: Settings, *, since: datetime) -> Report:
    """Read an environment's answers and labels since a time, and judge them by model."""
    source = records(settings, since=since)
    agreed: Mapping[str, str | None] = {}
    if settings.feedback:
        with step("reading the labels"):
            agreed = labels.consensus(labels.read(settings, source.faults))
    account = boto3.client("sts").get_caller_identity()["Account"]
    bucket = names.bucket(settings.environment, "models", account=account, region=settings.region)
    models: dict[str, Model] = {}
    with step(f"reading {source}"):
        for record in source:
            model = models.get(record.model_sha256)
            if model is None:
                model = models[record.model_sha256] = _model(record.model_sha256, bucket)
            model.answers += 1
            if model.histograms:
                model.histograms.add(record)
            if record.id in agreed:
                model.labelled.append(record)
    judged = sum(each.histograms is not None for each in models.values())
    for model in models.values():
        if model.histograms:
            model.shifts = shifts(model.histograms, models=judged)
        if agreed:
            model.accuracy = accuracy(model.labelled, agreed)
    return Report(
        environment=settings.environment,
        since=since,
        source=str(source),
        refused=_refused(settings.endpoint_name, since),
        models=sorted(models.values(), key=lambda each: -each.answers),
        unusable=source.faults.lines(),
    )


def _model(sha256: str, bucket: str) -> Model:
    """Find the reference of a model that answered."""
    key = artifact_key(sha256)
    try:
        archive = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return Model(sha256, Histograms(reference_of(io.BytesIO(archive))))
    except NoReferenceError as error:
        return Model(sha256, reason=str(error))
    except ClientError as error:
        if error.response["Error"]["Code"] not in _ABSENT:
            raise
        return Model(sha256, reason=f"s3://{bucket}/{key} cannot be read: {error}")


def _refused(endpoint: str, since: datetime) -> int:
    """Return how many images were refused, by the gateway's metrics: no record has them."""
    asked, dimensions = {"refused": (gateway_metrics.REFUSED, "Sum")}, {gateway_metrics.DIMENSION: endpoint}
    return round(sum(metric_values(gateway_metrics.NAMESPACE, asked, dimensions, since=since)["refused"]))


def metric_values(
    namespace: str,
    asked: Mapping[str, tuple[str, str]],
    dimensions: Mapping[str, str],
    *,
    since: datetime,
) -> dict[str, list[float]]:
    """Read CloudWatch's values by the hour; `asked` maps a name to a metric and its statistic."""
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    queries: Any = []
    for id_, (name, statistic) in asked.items():
        metric = {"Namespace": namespace, "MetricName": name, "Dimensions": named}
        queries.append({"Id": id_, "MetricStat": {"Metric": metric, "Period": _HOUR_S, "Stat": statistic}})
    found: dict[str, list[float]] = {id_: [] for id_ in asked}
    reader = boto3.client("cloudwatch").get_paginator("get_metric_data")
    for page in reader.paginate(MetricDataQueries=queries, StartTime=since, EndTime=datetime.now(UTC)):
        for each in page["MetricDataResults"]:
            found[each["Id"]] += each["Values"]
    return found


def put_metrics(report: Report, endpoint: str) -> None:
    """Put a few figures of the report into CloudWatch; those of no model's are left out."""
    found = {"Answers": float(report.answers)}
    told = [shift for model in report.models for shift in model.shifts if shift.verdict != "too few"]
    if told:
        found["LargestIndex"] = max(each.index for each in told)
        found["DriftedStatistics"] = sum(each.verdict == "drift" for each in told)
    newest = next((each.accuracy for each in report.models if each.accuracy), None)
    if newest:
        estimates = {"Sensitivity": newest.sensitivity, "Specificity": newest.specificity}
        found |= {name: each.value for name, each in estimates.items() if each}
    dimensions = [{"Name": gateway_metrics.DIMENSION, "Value": endpoint}]
    boto3.client("cloudwatch").put_metric_data(
        Namespace=names.MONITOR_NAMESPACE,
        MetricData=[
            {"MetricName": name, "Dimensions": dimensions, "Value": value} for name, value in found.items()
        ],
    )


def conclude(report: Report) -> int:
    """Return the exit status that a report asks for; raise where nothing could be judged."""
    if report.verdict == "no reference":
        reasons = {each.reason for each in report.models}
        raise DeliveryError(f"No model that answered has a reference: {'; '.join(sorted(map(str, reasons)))}")
    return {"no drift": 0, "drift": 3, "too few": 4}[report.verdict]
