"""ECR's answers as `docker push` and the CDK's publishing of images need them."""

from __future__ import annotations

import base64
import json
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import ecr

from infra.local_aws import HOST, endpoint_url

if TYPE_CHECKING:
    from collections.abc import Mapping

# The CDK tags an image asset with the hash of all that it is built from.
_ASSET_TAG = re.compile(r"[0-9a-f]{64}")
_DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
_TOKEN = base64.b64encode(b"AWS:local").decode()
_TOKEN_LIFE_S = 12 * 3600


def patch(*, port: int, builds_images: bool) -> None:
    """Replace four of ministack's answers.

    Docker accepts a registry at ``127.0.0.1:<port>`` without TLS. Where no engine builds images, the CDK's
    image asset counts as published, so that the CDK does not call `docker`.
    """
    describe, put = ecr._describe_images, ecr._put_image

    def describe_images(request: Mapping[str, Any]) -> object:
        """Answer ImageNotFoundException for a missing image, as AWS does; ministack answers an empty list."""
        repository = request["repositoryName"]
        for identifier in request.get("imageIds") or []:
            if repository not in ecr._repositories or ecr._find_image(repository, identifier):
                continue
            if not builds_images and _ASSET_TAG.fullmatch(identifier.get("imageTag", "")):
                asset = {"imageTags": [identifier["imageTag"]], "imageManifestMediaType": _DOCKER}
                return json_response({"imageDetails": [asset]})
            message = f"The image with imageId {json.dumps(identifier)} does not exist within the repository."
            return error_response_json("ImageNotFoundException", message, HTTPStatus.BAD_REQUEST)
        return describe(request)

    def get_authorization_token(_request: object) -> object:
        token = {
            "authorizationToken": _TOKEN,
            "expiresAt": int(time.time()) + _TOKEN_LIFE_S,
            "proxyEndpoint": endpoint_url(port),
        }
        return json_response({"authorizationData": [token]})

    def put_image(request: Mapping[str, Any]) -> object:
        """Take the media type from the manifest where the request has none, as AWS does."""
        manifest = json.loads(request.get("imageManifest") or "{}")
        declared = {"imageManifestMediaType": manifest["mediaType"]} if "mediaType" in manifest else {}
        return put(declared | {**request})

    ecr._put_image = put_image
    ecr._describe_images = describe_images
    ecr._get_authorization_token = get_authorization_token
    ecr._repo_uri = lambda name: f"{HOST}:{port}/{name}"
