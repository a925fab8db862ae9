"""Prod's templates as they were reviewed, and the logical ids that decide what an update would replace.

After an intended change write the snapshot anew and read `git diff tests/infra/snapshots`:
`TUMOR_UPDATE_SNAPSHOTS=1 .venv/bin/python -m pytest tests/infra/test_snapshots.py`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from infra.paths import ROOT
from tests.infra.synthesis import FULL, normalised, synthesize_written

if TYPE_CHECKING:
    from tests.infra.synthesis import Assembly

SNAPSHOT = ROOT / "tests" / "infra" / "snapshots" / "prod.json"
# Resources with data or addresses in use: CloudFormation would replace them under another id.
LOGICAL_IDS = {
    ("registry", "S3::Bucket"): {
        *("ModelsBucket970C6ADA", "CapturedBucket681C726A", "LabelsBucketA0B421D0", "BatchBucket7637E275"),
        "TrainingBucketA0D7F0AB",
    },
    ("registry", "ECR::Repository"): {"ImagesRepository2D0F5B9C"},
    ("registry", "KMS::Key"): {"EnvironmentKeyC299B772"},
    ("gateway", "Cognito::UserPool"): {"UsersPoolBFC35D3B"},
    ("gateway", "ApiGateway::RestApi"): {"ApiRestApiE35FEAFE"},
    # This one has no data, but a second function of the same name cannot be created.
    ("gateway", "Lambda::Function"): {"FrontFunction5E39A28E"},
}


def test_prods_templates_are_those_that_were_reviewed(prod: Assembly) -> None:
    if os.environ.get("TUMOR_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(normalised(prod))
    assert normalised(prod) == SNAPSHOT.read_text(), "the templates have changed; see this file's docstring"


@pytest.fixture(scope="module")
def with_people(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    people = FULL.replace('auth = "iam"', 'auth = "cognito"')
    return synthesize_written(people, tmp_path_factory.mktemp("people"))


@pytest.mark.parametrize(("stack", "kind"), LOGICAL_IDS)
def test_resources_that_must_not_be_replaced_keep_their_logical_ids(
    with_people: Assembly, stack: str, kind: str
) -> None:
    assert set(with_people.template(stack).all(kind)) == LOGICAL_IDS[stack, kind]
