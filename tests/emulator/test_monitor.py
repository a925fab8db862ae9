"""`scripts/monitor` on local AWS: by captured answers and by the gateway's log alike."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pytest

from infra import config, names
from infra.config.environment import Feedback
from infra.config.hosting import DataCapture, RealTime
from infra.lambdas.gateway import metrics
from infra.local_aws import ACCOUNT
from infra.release import artifact_key
from scripts.commands import monitor as command
from scripts.console import DeliveryError
from scripts.monitoring.monitor import monitor
from scripts.monitoring.output import table
from scripts.monitoring.records import records
from tests.emulator.feedback import capture_key, labelled, log_answers
from tests.monitoring.served import NOW, SHA256, artifact, captured, drawn, lines, reference, rows

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config import Settings
    from tests.emulator.cloud import Cloud

RNG = np.random.default_rng(5)
SINCE = NOW - timedelta(days=7)


@dataclass
class Environment:
    """An environment of which there is only what is watched."""

    cloud: Cloud
    settings: Settings

    def bucket(self, kind: str) -> str:
        return f"tumor-detector-{self.settings.environment}-{kind}-{ACCOUNT}-{self.settings.region}"

    def put(self, content: bytes, *, time: datetime = NOW, bucket: str = "sample") -> str:
        """Write a captured file."""
        key = capture_key(self.settings, time)
        self.cloud.s3.put_object(Bucket=self.bucket(bucket), Key=key, Body=content)
        return key

    def label(self, id_: str, label: str, **members: object) -> None:
        """Keep a label as the gateway does."""
        document = labelled(id_, label) | {"caller": "a", "note": "n", **members}
        key = f"labels/{id_}/{uuid.uuid4().hex[:16]}.json"
        self.cloud.s3.put_object(Bucket=self.bucket("labels"), Key=key, Body=json.dumps(document).encode())

    def answer(self, found: list[dict[str, Any]], ids: list[str] | None = None) -> None:
        """Answer images, in the way that the settings watch."""
        ids = ids or [str(uuid.uuid4()) for _ in found]
        if self.settings.captures_answers:
            exchanges = [captured(row, id_=id_) for row, id_ in zip(found, ids, strict=True)]
            for part in (exchanges[::2], exchanges[1::2]):
                self.put(lines(part))
        else:
            outputs = self.cloud.outputs(names.stack(self.settings.environment, "gateway"))
            log_answers(self.cloud, outputs["LogGroupName"], found, ids)


@pytest.fixture(params=["captured", "logged"])
def environment(request: pytest.FixtureRequest, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Environment:
    cloud.connect(monkeypatch)
    local = config.load("local")
    capture = DataCapture(percent=100, expire_days=1) if request.param == "captured" else None
    assert isinstance(local.hosting, RealTime)
    hosting = replace(local.hosting, data_capture=capture)
    name, feedback = f"w{uuid.uuid4().hex[:8]}", Feedback(expire_days=1)
    found = Environment(cloud, replace(local, environment=name, hosting=hosting, feedback=feedback))
    for kind in ("models", "sample", "labels"):
        cloud.create_bucket(found.bucket(kind))
    template = {
        "Resources": {"Logs": {"Type": "AWS::Logs::LogGroup"}},
        "Outputs": {"LogGroupName": {"Value": {"Ref": "Logs"}}},
    }
    stack = names.stack(found.settings.environment, "gateway")
    cloud.stacks.create_stack(StackName=stack, TemplateBody=json.dumps(template))
    trained = reference(drawn(400, np.random.default_rng(7)))
    key = artifact_key(SHA256)
    cloud.s3.put_object(Bucket=found.bucket("models"), Key=key, Body=artifact(trained))
    monkeypatch.setattr(config, "load", lambda _: found.settings)
    return found


captures = pytest.mark.parametrize("environment", ["captured"], indirect=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def mlflow_store(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/mlflow.db")
    monkeypatch.chdir(store)  # where MLflow keeps artifacts by default


@pytest.mark.parametrize(("images", "contrast", "status"), [(500, 1.0, 0), (500, 0.8, 3), (20, 0.8, 4)])
@pytest.mark.usefixtures("mlflow_store")
def test_its_exit_status_tells_drift_from_none_and_from_too_few(
    environment: Environment, images: int, contrast: float, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.answer(rows(drawn(images, np.random.default_rng(9), contrast=contrast)))
    assert command.main(["--env", "any"]) == status
    shown = capsys.readouterr().out
    assert "not used" not in shown
    says = {0: "500 answers: no drift", 3: "drift: lower than in training", 4: "answers would do"}
    assert says[status] in shown
    assert ("captured answers in" in shown) == environment.settings.captures_answers
    experiment = f"monitor-{environment.settings.environment}"
    (run,) = mlflow.search_runs(experiment_names=[experiment], output_format="list")
    assert run.data.metrics["answers"] == images
    assert run.data.metrics[f"grey_spread.{SHA256[:12]}"] > 0
    found = environment.cloud.client("cloudwatch").list_metrics(
        Namespace=names.MONITOR_NAMESPACE,
        Dimensions=[{"Name": metrics.DIMENSION, "Value": environment.settings.endpoint_name}],
    )
    put = {each["MetricName"] for each in found["Metrics"]}
    assert put == {"Answers"} | ({"LargestIndex", "DriftedStatistics"} if status != 4 else set())


@captures
@pytest.mark.usefixtures("mlflow_store")
def test_drift_alone_is_an_output_of_a_workflows_step(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outputs = tmp_path / "outputs"
    monkeypatch.setenv("GITHUB_OUTPUT", str(outputs))
    environment.answer(rows(drawn(20, RNG)))
    assert command.main(["--env", "any"]) == 4
    assert not outputs.exists()
    environment.answer(rows(drawn(500, RNG, contrast=0.5)))
    assert command.main(["--env", "any"]) == 3
    assert outputs.read_text() == "any=drift\n"


def test_refusals_come_from_the_gateways_metrics(environment: Environment) -> None:
    dimensions = [{"Name": metrics.DIMENSION, "Value": environment.settings.endpoint_name}]
    refused = {"MetricName": metrics.REFUSED, "Dimensions": dimensions, "Value": 1.0}
    client = environment.cloud.client("cloudwatch")
    client.put_metric_data(Namespace=metrics.NAMESPACE, MetricData=[refused] * 7)
    assert monitor(environment.settings, since=SINCE).refused == 7


def test_without_an_answer_there_are_too_few(environment: Environment) -> None:
    report = monitor(environment.settings, since=SINCE)
    assert (report.answers, report.verdict, report.unusable) == (0, "too few", [])


def test_labels_give_live_figures_and_name_who_disagrees(environment: Environment) -> None:
    values = drawn(8, RNG) | {"probability": np.array([0.9, 0.8, 0.7, 0.6, 0.1, 0.2, 0.9, 0.3])}
    given = [f"id-{number}" for number in range(8)]
    environment.answer(rows(values), given)
    for id_, label in zip(given, ["YES", "YES", "YES", "NO", "NO", "YES", "YES"], strict=False):
        environment.label(id_, label)
    environment.label("id-0", "YES", caller="b")  # another says the same
    environment.label("id-1", "NO", caller="b")
    environment.label("id-6", "NO", time="2026-11-30T20:00:01Z")  # the same caller, better informed
    environment.label("id-of-nothing", "NO")
    environment.label("id-7", "MAYBE")
    environment.label("id-7", "YES", time="yesterday")
    environment.label("id-7", "YES", caller=["a"])
    environment.label("id-7", "YES", unknown="a")
    report = monitor(environment.settings, since=SINCE)
    found = report.models[0].accuracy
    assert found
    assert (found.labelled, found.disputed, found.wrong) == (6, ("id-1",), ("id-3", "id-5", "id-6"))
    assert found.sensitivity
    assert found.specificity
    assert found.calibration_error
    assert found.sensitivity.value == pytest.approx(2 / 3)
    assert found.specificity.value == pytest.approx(1 / 3)
    assert found.sensitivity.low < 2 / 3 < found.sensitivity.high < 1
    assert 0 < found.calibration_error.low < found.calibration_error.value < found.calibration_error.high
    assert report.unusable[0].startswith("4 labels of another schema, first in labels/id-7/")
    shown = json.dumps(report.document()) + table(report)
    assert "3 answered otherwise: id-3, id-5, id-6" in shown
    assert '"n"' not in shown  # a note is nobody's but the reader's of the bucket


@captures
def test_faulty_lines_are_counted_and_named_and_the_rest_is_read(environment: Environment) -> None:
    row = rows(drawn(1, RNG))[0]
    refused = captured(row)
    refused["captureData"]["endpointOutput"]["data"] = '{"title": "not a brain MRI", "status": 422}'
    other = captured(row)
    other["captureData"] = {"input": "{}"}
    whole = lines([captured(row)] * 3)
    wrong = {**row, "side": "wide"}, {**row, "score": float("nan")}
    environment.put(lines([captured(row, id_="golden-1"), refused]) + whole[:-40])
    other_key = environment.put(lines([other, captured(None), *map(captured, wrong)]))
    environment.put(b"\xff\x00[[[")
    environment.put(b"")
    old = environment.put(lines([captured(row)]), time=NOW - timedelta(days=8))
    environment.put(lines([captured(row, time=NOW - timedelta(days=8))]))
    found = records(environment.settings, since=SINCE)
    assert len(list(found)) == 2
    assert dict(found.faults.counts) == {
        "lines that are not JSON or cut short": 2,
        "lines of another schema": 3,
        "answers without statistics": 1,
    }
    assert f"first in {other_key}:1" in str(found.faults.lines())
    assert old not in str(found.faults.lines())


@captures
def test_models_are_judged_apart_and_one_without_a_reference_is_named(environment: Environment) -> None:
    second, old, lost = ("2e" * 32, "0e" * 32, "1e" * 32)
    models = environment.bucket("models")
    moved = reference(drawn(400, np.random.default_rng(7), contrast=2))
    for sha256, document in ((second, moved), (old, None)):
        environment.cloud.s3.put_object(Bucket=models, Key=artifact_key(sha256), Body=artifact(document))
    each = rows(drawn(500, np.random.default_rng(9)))
    environment.put(lines(captured(row, sha256=sha) for row in each for sha in (SHA256, second, old, lost)))
    report = monitor(environment.settings, since=SINCE)
    assert {model.sha256: model.verdict for model in report.models} == {
        SHA256: "no drift",
        second: "drift",
        old: "no reference",
        lost: "no reference",
    }
    assert report.verdict == "drift"
    reasons = {model.sha256: model.reason for model in report.models}
    assert "trained before" in str(reasons[old])
    assert artifact_key(lost) in str(reasons[lost])


@captures
def test_images_are_given_only_where_they_are_captured_and_asked_for(environment: Environment) -> None:
    exchange = captured(rows(drawn(1, RNG))[0], id_="one")
    exchange["captureData"]["endpointInput"] = {"mode": "INPUT", "data": "AAEC", "encoding": "BASE64"}
    environment.put(lines([exchange]))
    (found,) = records(environment.settings, since=SINCE, images=True)
    assert (found.id, found.image) == ("one", None)  # the settings capture answers alone
    hosting = environment.settings.hosting
    assert isinstance(hosting, RealTime)
    both = replace(hosting, data_capture=DataCapture(percent=1, expire_days=1, what=("input", "output")))
    (found,) = records(replace(environment.settings, hosting=both), since=SINCE, images=True)
    assert found.image == b"\x00\x01\x02"
    assert found.time == NOW.replace(microsecond=0)
    assert found.time.tzinfo is UTC


@captures
def test_without_its_bucket_or_mlflow_it_says_what_to_do(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.answer(rows(drawn(500, np.random.default_rng(9))))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert command.main(["--env", "any"]) == 0
    assert "not logged: the MLflow store" in capsys.readouterr().err
    absent = replace(environment.settings, environment="absent", feedback=None)
    with pytest.raises(DeliveryError, match=r"no bucket tumor-detector-absent-sample"):
        monitor(absent, since=SINCE)


@pytest.mark.parametrize("age", ["7", "d", "0d", "366d", "-1h", "7w"])
def test_a_wrong_age_is_refused(age: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--env", "any", f"--since={age}"])
    assert "write hours or days" in capsys.readouterr().err
