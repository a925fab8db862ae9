"""`scripts/compare --shadow`: figures as computed by hand, and wrong arguments."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from infra import config, names
from infra.config.hosting import DataCapture, RealTime, Shadow
from infra.release import load
from scripts.commands import compare as command
from scripts.monitoring.shadow import compare, table
from tests.emulator.deployment import dimensions
from tests.emulator.feedback import capture_key
from tests.infra.synthesis import RELEASE, SHADOW_SHA256
from tests.monitoring.served import NOW, captured, lines

if TYPE_CHECKING:
    from infra.config import Settings
    from tests.emulator.cloud import Cloud

SERVED_SHA256 = load(RELEASE).model.sha256
START = NOW.replace(minute=10, second=0, microsecond=0) - timedelta(hours=5)
STATISTICS = {"side": 512.0, "grey_spread": 0.2, "sharpness": 0.05, "symmetry": 0.9, "content": 0.5} | {
    "score": 0.1, "format": "png",
}  # fmt: skip


class Environment:
    """What SageMaker would have captured and measured of both variants."""

    def __init__(self, cloud: Cloud, settings: Settings) -> None:
        self._cloud, self._settings = cloud, settings
        self.bucket = names.bucket(
            settings.environment, "sample", account="000000000000", region=settings.region
        )
        cloud.create_bucket(self.bucket)

    def put(self, variant: str, content: bytes) -> None:
        key = capture_key(self._settings, START).replace("/champion/", f"/{variant}/")
        self._cloud.s3.put_object(Bucket=self.bucket, Key=key, Body=content)

    def answer(self, variant: str, id_: str, probability: float, *, hours: float, sha256: str = "") -> None:
        sha256 = sha256 or {"champion": SERVED_SHA256, "shadow": SHADOW_SHA256}[variant]
        row = {**STATISTICS, "probability": probability}
        exchange = captured(row, id_=id_, sha256=sha256, time=START + timedelta(hours=hours))
        self.put(variant, lines([exchange]))

    def measure(self, variant: str, **metrics: list[float]) -> None:
        """Publish values of the variant's metrics."""
        named = dimensions(self._settings.endpoint_name, variant)
        data = [
            {"MetricName": name, "Dimensions": named, "Value": value, "Timestamp": NOW}
            for name, values in metrics.items()
            for value in values
        ]
        self._cloud.client("cloudwatch").put_metric_data(Namespace="AWS/SageMaker", MetricData=data)


@pytest.fixture
def settings() -> Settings:
    local = config.load("local")
    assert isinstance(local.hosting, RealTime)
    capture, shadow = DataCapture(percent=100, expire_days=1), Shadow(release="any.json")
    return replace(
        local, environment="paired", hosting=replace(local.hosting, data_capture=capture, shadow=shadow)
    )


def test_the_figures_are_those_computed_by_hand(
    cloud: Cloud, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.connect(monkeypatch)
    environment = Environment(cloud, settings)
    # Given four pairs in three hours of the clock
    for number, (served, shadow, hours) in enumerate(
        [(0.1, 0.2, 0.0), (0.6, 0.4, 0.5), (0.7, 0.9, 1.0), (0.4, 0.7, 3.0)]
    ):
        environment.answer("champion", f"id-{number}", served, hours=hours)
        environment.answer("shadow", f"id-{number}", shadow, hours=hours)
    # And what has no partner: one while the shadow ran, one before, one of the shadow, golden answers
    environment.answer("champion", "id-4", 0.5, hours=2)
    environment.answer("champion", "id-5", 0.5, hours=-1)
    environment.answer("shadow", "id-6", 0.5, hours=2)
    environment.answer("shadow", "golden-1", 0.5, hours=2)
    # And what cannot be used: an earlier shadow's answer, another schema, and a line cut short
    environment.answer("shadow", "id-4", 0.5, hours=2, sha256="0d" * 32)
    environment.put("shadow", lines([{"captureData": {"endpointOutput": {"mode": "OUTPUT"}}}]) + b'{"cap')
    environment.measure(
        "champion", Invocations=[1.0] * 10, Invocation4XXErrors=[1.0], InvocationModelErrors=[1.0] * 3,
        ModelLatency=[10_000.0, 30_000.0],
    )  # fmt: skip
    environment.measure(
        "shadow", Invocations=[1.0] * 8, Invocation4XXErrors=[1.0, 1.0], InvocationModelErrors=[1.0, 1.0],
        ModelLatency=[40_000.0],
    )  # fmt: skip
    first = load(RELEASE)
    second = replace(first, model=replace(first.model, sha256=SHADOW_SHA256))
    # When they are compared
    found = compare(settings, served=first, shadow=second, since=NOW - timedelta(days=7))
    # Then two of four agree, with Wilson's interval, and differences +0.1, -0.2, +0.2, +0.3 have the mean 0.1
    assert (found.pairs, found.hours, found.alone) == (4, 3, (1, 1))
    assert found.agreement
    assert found.difference
    assert vars(found.agreement) == pytest.approx({"value": 0.5, "low": 0.150039, "high": 0.849961}, abs=1e-5)
    assert vars(found.difference) == pytest.approx({"value": 0.1, "low": -0.111700, "high": 0.3117}, abs=1e-5)
    assert found.largest == pytest.approx(0.3)
    assert found.disagreements == [("id-1", 0.6, 0.4), ("id-3", 0.4, 0.7)]
    assert found.traffic["champion"] == pytest.approx(
        {"requests": 10, "refused": 1, "failed": 2, "mean_ms": 20, "p90_ms": 28}
    )
    assert found.traffic["shadow"] == pytest.approx(
        {"requests": 8, "refused": 2, "failed": 0, "mean_ms": 40, "p90_ms": 40}
    )
    assert [line.partition(",")[0] for line in sorted(found.unusable)] == [
        "1 answers of shadow by other models",
        "1 lines of another schema",
        "1 lines that are not JSON or cut short",
    ]
    shown = table(found)
    assert "2 of another class: id-1 (0.60, 0.40), id-3 (0.40, 0.70)" in shown
    assert "the same class: 0.500 (0.150 to 0.850)" in shown
    assert found.outcome()["disagreements"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shadow"], "write two versions, A and B, or --shadow --env E"),
        (["--shadow", "1", "--env", "prod"], "write two versions"),
        (["1"], "write two versions"),
        (["1", "2", "--env", "prod"], "write two versions"),
        (["--shadow", "--env", "dev"], "dev has no shadow: its settings have no"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert said in capsys.readouterr().err
