"""What ministack's ECR must answer otherwise for `docker push` and for the CDK's publishing of images."""

from __future__ import annotations

import base64
import json
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from ministack.core.responses import error_response_json, json_response
from ministack.services import ecr

if TYPE_CHECKING:
    from collections.abc import Mapping

_Answer = tuple[int, dict[str, str], bytes]
# The CDK tags an image asset with the hash of all that it is built from.
_ASSET_TAG = re.compile(r"[0-9a-f]{64}")
_TOKEN = base64.b64encode(b"AWS:laptop").decode()
_TOKEN_LIFE_S = 12 * 3600


def mend(*, port: int, builds_images: bool) -> None:
    """Replace three of ministack's answers.

    Parameters
    ----------
    port
        Where the registry answers: Docker takes ``localhost:<port>`` without TLS.
    builds_images
        Whether this laptop has a container engine. Where it has none, the CDK is told that its image asset is
        already published, so that `cdk deploy` does not call `docker`; a stand-in is kept under its tag.
    """
    describe = ecr._describe_images

    def describe_images(asked: Mapping[str, object]) -> _Answer:
        """Answer as AWS does for an image that is not there; ministack answers an empty list."""
        identifiers = asked.get("imageIds") or []
        repository = str(asked.get("repositoryName"))
        for identifier in identifiers:  # type: ignore[attr-defined]
            if repository not in ecr._repositories or ecr._find_image(repository, identifier):
                continue
            if not builds_images and _ASSET_TAG.fullmatch(identifier.get("imageTag", "")):
                _keep_stand_in(repository, identifier["imageTag"])
                continue
            message = f"The image with imageId {json.dumps(identifier)} does not exist within the repository."
            answer: _Answer = error_response_json("ImageNotFoundException", message, HTTPStatus.BAD_REQUEST)
            return answer
        described: _Answer = describe(asked)
        return described

    def get_authorization_token(_asked: Mapping[str, object]) -> _Answer:
        token = {
            "authorizationToken": _TOKEN,
            "expiresAt": int(time.time()) + _TOKEN_LIFE_S,
            "proxyEndpoint": f"http://localhost:{port}",
        }
        answer: _Answer = json_response({"authorizationData": [token]})
        return answer

    ecr._describe_images = describe_images
    ecr._get_authorization_token = get_authorization_token
    ecr._repo_uri = lambda name: f"localhost:{port}/{name}"


def _keep_stand_in(repository: str, tag: str) -> None:
    """Put a manifest without layers under a tag: visible in ECR, and nothing that could run."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "layers": [],
        "annotations": {"description": f"stand-in for {tag}: the server runs as a process, without an image"},
    }
    ecr._put_image({"repositoryName": repository, "imageTag": tag, "imageManifest": json.dumps(manifest)})
