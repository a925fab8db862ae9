"""What is sent and received: the members as the code has them, each with what it means."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import faults
import metrics
from container import predictor, refusal
from container.limits import MAX_IMAGE_PIXELS
from problems import MEDIA_TYPE, Problem
from settings import Model
from upload import MAX_IMAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Node = dict[str, Any]  # an object of the document

MEGAPIXELS = MAX_IMAGE_PIXELS // 1_000_000
REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
OF_ONE_MODEL = ("name", "version", "sha256")  # what a prediction says of the model; /health says it all


class ContractError(Exception):
    """The code sends what the document does not describe, or the other way round."""


def schemas() -> Node:
    """Return the document's schemas by name."""
    return {
        "Image": {
            "description": f"The bytes of a JPEG or PNG file, of at most {MEGAPIXELS} megapixels.",
            "type": "string",
            "format": "binary",
            "minLength": 1,
            "maxLength": MAX_IMAGE_BYTES,
        },
        "Prediction": _prediction(),
        "Model": _model(),
        "Heatmap": _heatmap(),
        "Health": {
            "description": "The endpoint serves, with this model.",
            "type": "object",
            "required": ["status", "model"],
            "properties": {"status": {"const": "ok"}, "model": ref("ServedModel")},
        },
        "ServedModel": _served_model(),
        "Problem": _problem(),
    }


def ref(name: str, kind: str = "schemas") -> Node:
    """Return a reference to one of the document's components."""
    return {"$ref": f"#/components/{kind}/{name}"}


def text(meaning: str | None = None) -> Node:
    """Return the schema of a text, with what it means where its name does not say so."""
    return {"description": meaning, "type": "string"} if meaning else {"type": "string"}


def example_of(problem: Problem) -> Node:
    """Return a problem as it is sent."""
    return problem.document(request_id=REQUEST_ID)


def example_prediction(label: str, probability: float, **more: object) -> Node:
    """Return a prediction as it is sent."""
    threshold = 0.41
    return {
        "label": label,
        "class": int(probability >= threshold),
        "probability": probability,
        "threshold": threshold,
        "model": example_model(),
        **more,
        "request_id": REQUEST_ID,
    }


def example_model(**more: object) -> Node:
    """Return a model as it is named."""
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    return {"name": "tumor-detector", "version": "3", "sha256": sha256, **more}


def example_refusal() -> Node:
    """Return the problem of an image whose score is too low, in the container's own words."""
    told = refusal.unlike_a_brain(score=0.0213, threshold=0.37)
    return example_of(Problem(faults.REFUSED, told.detail, extensions=told.extensions))


def problem_content(**examples: object) -> Node:
    """Return an answer's content that is a problem."""
    return {MEDIA_TYPE: {"schema": ref("Problem"), **examples}}


def _prediction() -> Node:
    heatmap = {
        "description": "Only where it was asked for; null where the model offers none.",
        "anyOf": [ref("Heatmap"), {"type": "null"}],
    }
    members: Mapping[str, Node] = {
        "label": {
            "description": "YES: it sees a tumour. NO: it sees none.",
            "enum": sorted(map(str, metrics.OF_A_LABEL)),
        },
        "class": {
            "description": "1 for YES, where the probability is at or above the threshold; else 0.",
            "enum": [0, 1],
        },
        "probability": {"description": "The calibrated probability of YES.", **SHARE},
        "threshold": {
            "description": "From which probability the model says YES; chosen on validation data, it travels "
            "with the model.",
            **SHARE,
        },
        "model": ref("Model"),
        "heatmap": heatmap,
        "request_id": text("Names this request in the logs."),
    }
    return _object(
        "What the model says of one image.",
        members,
        sent={*predictor.Answer.__annotations__, "request_id"},
        required={*predictor.Answer.__required_keys__, "request_id"},
    )


def _model() -> Node:
    members: Mapping[str, Node] = {
        "name": text(),
        "version": text("Its version in the model registry."),
        "sha256": text("The hash of its artifact."),
    }
    return _object("The model that answered.", members, sent=OF_ONE_MODEL, required=OF_ONE_MODEL)


def _served_model() -> Node:
    fields = {field.name: field for field in dataclasses.fields(Model) if field.name not in OF_ONE_MODEL}
    required = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    members: Mapping[str, Node] = {
        "kind": {
            "description": "What it was trained on: real images, or phantoms drawn by the project, which "
            "make its answers mean nothing.",
            "enum": ["images", "phantom"],
        },
        "gates_failed": {
            "description": "The quality gates that it did not pass, by name.",
            "type": "array",
            "items": text(),
        },
        "forced": text("Why it serves although a gate failed, where somebody decided so."),
    }
    more = _object(
        "The model that serves, and whether it should.", members, sent=fields.keys(), required=required
    )
    return {"description": more.pop("description"), "allOf": [ref("Model")], **more}


def _heatmap() -> Node:
    members: Mapping[str, Node] = {
        "width": {"description": "Columns.", "type": "integer", "minimum": 1},
        "height": {"description": "Rows.", "type": "integer", "minimum": 1},
        "values": {
            "description": "Rows of values, each the probability of YES if the whole image looked like this "
            "cell: at or above the threshold it speaks for YES, below it for NO.",
            "type": "array",
            "items": {"type": "array", "items": SHARE},
        },
    }
    sent = predictor.Heatmap.__annotations__.keys()
    about = "What the model decided by: a grid over the image's whole area, upright, rows from the top."
    return _object(about, members, sent=sent, required=sent)


def _problem() -> Node:
    required = Problem(400, "").document(request_id="").keys()
    score, score_threshold = faults.SCORES
    members: Mapping[str, Node] = {
        "type": {"type": "string", "format": "uri-reference"},
        "title": text(),
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": text("What is wrong and what to do instead."),
        score: {
            "description": "Only with a 422 that the model's score decided: how much the image looks like a "
            "brain MRI to it.",
            **SHARE,
        },
        score_threshold: {
            "description": "Comes with the score: from which score on the model judges; chosen by "
            "cross-validation, it travels with the model.",
            **SHARE,
        },
        "request_id": text("Names this request in the logs."),
    }
    about = "Why the request was not answered (RFC 9457)."
    return _object(about, members, sent={*required, *faults.SCORES}, required=required)


def _object(
    description: str, members: Mapping[str, Node], *, sent: Collection[str], required: Collection[str]
) -> Node:
    """Return the schema of an object with the members that the code sends: no more, no fewer."""
    if members.keys() != set(sent):
        differ = ", ".join(sorted(members.keys() ^ set(sent)))
        raise ContractError(f"{json.dumps(description)}: code and description differ in {differ}.")
    return {
        "description": description,
        "type": "object",
        "required": [name for name in members if name in required],
        "properties": dict(members),
    }
