"""A shadow of the served release: what is declared, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra import config, release
from infra.release import ReleaseError, artifact_key, card_path, load, load_shadow, save
from tests.infra.synthesis import FULL, RELEASE, SHADOW_SHA256, shadow_for
from tests.infra.test_hosting import config as config_of
from tests.infra.test_monitoring import drawn

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.synthesis import Assembly


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
    assert container["Environment"]["MODEL_SHA256"] == SHADOW_SHA256
    assert (model["UpdateReplacePolicy"], model["DeletionPolicy"]) == ("Retain", "Retain")


def test_the_dashboard_has_both_variants_side_by_side(full: Assembly, prod: Assembly) -> None:
    found = {tuple(metric[1:6:2]) for metric in drawn(full)}
    for metric in ("Invocations", "ModelLatency", "InvocationModelErrors"):
        assert found >= {(metric, "tumor-detector-full-real-time", each) for each in ("champion", "shadow")}
    assert "ShadowProductionVariants" not in config_of(prod)
    assert "shadow" not in str(prod.template("monitoring").properties("CloudWatch::Dashboard"))


def test_a_shadow_is_checked_as_the_release_is(tmp_path: Path) -> None:
    (tmp_path / "full.toml").write_text(FULL + shadow_for("full", tmp_path))
    settings, record = config.load("full", folder=tmp_path), tmp_path / "full.shadow.json"
    served = load(RELEASE)
    shadow = load_shadow(settings, served)
    assert shadow == load(record)
    with pytest.raises(ReleaseError, match=r"full\.shadow\.json cannot be used:\n.*this is what serves"):
        load_shadow(settings, shadow)
    save(record, replace(shadow, environment="prod"))
    with pytest.raises(ReleaseError, match="the record of another environment"):
        load_shadow(settings, served)
    record.unlink()
    with pytest.raises(ReleaseError, match=r"cannot be used:\n.*cannot be read"):
        load_shadow(settings, served)


def test_a_promotion_keeps_the_shadows_card(tmp_path: Path) -> None:
    shadow_for("prod", tmp_path)
    release.replace(tmp_path / "prod.json", load(RELEASE), card="# The served one")
    assert card_path(tmp_path / "prod.shadow.json", sha256=SHADOW_SHA256).is_file()
