"""A shadow of the served release: what is declared, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra import config, release
from infra.config import SettingsError
from infra.release import ReleaseError, artifact_key, card_path, load, save
from scripts.pricing.rules import Traffic
from tests.delivery.test_cost import estimate
from tests.infra.synthesis import FULL, RELEASE, SHADOW_SHA256, record_for, shadow_for, synthesize

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.synthesis import Assembly, Json


def config_of(assembly: Assembly) -> Json:
    return assembly.template("endpoint").properties("SageMaker::EndpointConfig")


def test_a_second_variant_runs_the_other_artifact_on_as_many_instances(full: Assembly) -> None:
    (served,), (shadow,) = (
        config_of(full)[name] for name in ("ProductionVariants", "ShadowProductionVariants")
    )
    assert (shadow["VariantName"], shadow["InitialVariantWeight"]) == ("shadow", 0.25)
    same = ("InstanceType", "InitialInstanceCount", "ContainerStartupHealthCheckTimeoutInSeconds")
    assert [shadow[name] for name in same] == [served[name] for name in same]
    model_id, _ = shadow["ModelName"]["Fn::GetAtt"]
    model = full.template("endpoint").all("SageMaker::Model")[model_id]
    container = model["Properties"]["PrimaryContainer"]
    assert json.dumps(container["ModelDataUrl"]).count(artifact_key(SHADOW_SHA256)) == 1
    assert (container["Environment"]["MODEL_SHA256"], model["UpdateReplacePolicy"]) == (
        SHADOW_SHA256,
        "Retain",
    )


def test_the_dashboard_has_both_variants_side_by_side(full: Assembly, prod: Assembly) -> None:
    body = json.dumps(full.template("monitoring").properties("CloudWatch::Dashboard")["DashboardBody"])
    for metric in ("Invocations", "ModelLatency", "InvocationModelErrors"):
        for variant in ("champion", "shadow"):
            assert (
                f'\\"{metric}\\",\\"EndpointName\\",\\"tumor-detector-full-real-time\\",\\"VariantName\\",\\"{variant}'
                in body
            )
    assert "ShadowProductionVariants" not in config_of(prod)
    assert "shadow" not in str(prod.template("monitoring").properties("CloudWatch::Dashboard"))


def test_its_instances_and_captured_answers_are_priced(full: Assembly, tmp_path: Path) -> None:
    (tmp_path / "full.toml").write_text(FULL)
    alone = synthesize("full", tmp_path / "out", release=record_for("full", tmp_path), environments=tmp_path)
    with_shadow, without = (
        {
            item.what: item.quantity
            for item in estimate([each.content for each in assembly.templates()], "prod").items
        }
        for assembly in (full, alone)
    )
    instances = "4 x ml.m7i.xlarge, all hours"
    assert with_shadow[instances] == 2 * without[instances]
    kept = "captured answers, written"
    assert without[kept] == Traffic().requests_per_month * 0.2 / 1000
    assert with_shadow[kept] == pytest.approx(1.25 * without[kept])


def refusal(folder: Path, **changes: object) -> str:
    """Change the shadow's record, and return why a synth refuses it."""
    (folder / "full.toml").write_text(FULL + shadow_for("full", folder))
    record = folder / "full.shadow.json"
    save(record, replace(load(record), **changes))  # type: ignore[arg-type]
    with pytest.raises(ReleaseError) as error:
        synthesize("full", folder / "out", release=record_for("full", folder), environments=folder)
    assert str(record) in str(error.value)
    return str(error.value)


def test_a_shadow_is_checked_as_the_release_is(tmp_path: Path) -> None:
    assert "model.sha256: this is what serves" in refusal(tmp_path, model=load(RELEASE).model)
    assert "the record of another environment" in refusal(tmp_path, environment="prod")
    settings = config.load("full", folder=tmp_path)
    (tmp_path / "full.shadow.json").unlink()
    with pytest.raises(ReleaseError, match=r"full\.shadow\.json cannot be used:\n.*cannot be read"):
        release.load_shadow(settings, load(RELEASE))


def test_a_gate_needs_answers_that_are_kept_as_long(tmp_path: Path) -> None:
    (tmp_path / "full.toml").write_text(f"{FULL}\n[gates]\nshadow_hours = 721\n")
    with pytest.raises(
        SettingsError, match=r"shadow_hours = 721: .* expire after 30 days; write at most 720"
    ):
        config.load("full", folder=tmp_path)


def test_a_promotion_keeps_the_shadows_card(tmp_path: Path) -> None:
    shadow_for("prod", tmp_path)
    release.replace(tmp_path / "prod.json", load(RELEASE), card="# The served one")
    assert card_path(tmp_path / "prod.shadow.json", sha256=SHADOW_SHA256).is_file()
