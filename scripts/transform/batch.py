"""One call of `scripts/batch`, from INPUT to the results."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from container.problem import MAX_IMAGE_BYTES
from infra import names
from infra.config.hosting import has_local_disks
from infra.names import BATCH_RUNS
from scripts.console import DeliveryError, echo, progress, step
from scripts.delivery.aws import assume_for_hours, session, stack_outputs
from scripts.transform import cost, results
from scripts.transform.jobs import Jobs, request
from scripts.transform.place import THREADS, Prefix, files, key_of, mapped, parse
from scripts.transform.run import Run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from infra.config import Settings

MOST_IMAGES_PER_JOB = 100_000  # a manifest of some 10 MB
MOST_INSTANCES = 10  # by default
STATE = "run.json"
POLL_S, LOCAL_POLL_S = 15.0, 0.5
INTERRUPTED = 130  # a shell's exit status after Ctrl-C
_CALLS = Config(retries={"mode": "standard", "total_max_attempts": 10}, max_pool_connections=THREADS)


def batch(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Classify the images of INPUT and return what became of them; a `DeliveryError` says what to correct."""
    began, environment = time.monotonic(), settings.environment
    if settings.batch is None:
        raise DeliveryError(f"infra/environments/{environment}.toml has no [batch]: add it, and deploy.")
    if settings.customer_key and has_local_disks(kind := options.instance_type):
        raise DeliveryError(f"No key encrypts the local disks of {kind}: name a type without, like ml.c7i.")
    bucket = stack_outputs(names.stack(environment, "registry")).get("BatchBucketName")
    if bucket is None:
        raise DeliveryError(f"The batch bucket is not there yet: `scripts/deploy --env {environment}`.")
    model = stack_outputs(names.stack(environment, "endpoint"))["ModelName"]
    source, output = parse(options.input), parse(options.output)
    _check_places(source, output, bucket=bucket, readable=(bucket, *settings.batch.buckets))
    aws = assume_for_hours(names.batch_role(environment, region=settings.region))
    id_ = hashlib.sha256(f"{source}\n{output}".encode()).hexdigest()[:10]
    copied = Prefix(bucket, f"{BATCH_RUNS}/{id_}/images/")
    images = source if isinstance(source, Prefix) else copied
    run = Run(aws.client("s3", config=_CALLS), bucket, id_, images)
    state = _earlier(run, output, options, model) or _begin(run, source, options, model)
    deployment = names.deployment(environment)
    tags = {"project": names.PROJECT, "environment": environment, "deployment": deployment}
    jobs = Jobs(
        client=aws.client("sagemaker", config=_CALLS),
        run=run,
        request=request(model, instance_type=options.instance_type, key=_key(settings), tags=tags),
        name=f"{deployment}-{id_}",
        at_once=_at_once(options, state["images"]),
        poll_s=LOCAL_POLL_S if settings.local else POLL_S,
    )
    try:
        with step(f"classifying with model {model}"):
            jobs.classify(state["shards"], state["images"])
    except KeyboardInterrupt:
        if not options.leave:
            jobs.stop()
        what = "run on" if options.leave else "are being stopped"
        echo(f"✗ stopped: the jobs {what}; the same command with --resume continues.")
        raise SystemExit(INTERRUPTED) from None
    counts: Counter[bool] = Counter()

    def counted() -> Iterator[results.Row]:
        for row in results.rows(run, state["shards"], strip=copied.prefix):
            counts["problem" in row] += 1
            yield row

    with step("writing the results"):
        place = results.write(counted(), output, options.format, s3=run.s3)
    return {
        "results": place,
        "model": model,
        "images": state["images"],
        "answered": counts.total(),
        "refused": counts[True],
        "unanswered": jobs.first,
        "jobs": jobs.created,
        "failures": jobs.failures,
        "seconds": round(time.monotonic() - began, 1),
    }


def conclude(report: dict[str, Any]) -> None:
    """Raise a `DeliveryError` if an image has no answer."""
    if missing := report["images"] - report["answered"]:
        reasons = [f"job {name} {why}" for name, why in report["failures"].items()]
        some = f"{missing:,} images have no answer, such as {', '.join(report['unanswered'])}"
        again = "The same command with --resume sends them again."
        raise DeliveryError("\n  ".join([some, *reasons[:10], again]))


def _check_places(
    source: Prefix | Path, output: Prefix | Path, *, bucket: str, readable: tuple[str, ...]
) -> None:
    wrong = None
    if isinstance(source, Path):
        inside = isinstance(output, Path) and source in (output, *output.parents)
        if not source.is_dir():
            wrong = f"INPUT {source} is no folder."
    else:
        inside = str(output).startswith(str(source))
        if source.bucket not in readable:
            wrong = f"Jobs may not read {source}: name the bucket in [batch] buckets, and deploy."
        elif source.bucket == bucket and source.prefix.partition("/")[0] in ("", BATCH_RUNS):
            wrong = f"INPUT {source} includes {BATCH_RUNS}/, where runs are kept: name another prefix."
    if isinstance(output, Prefix) and output.bucket != bucket:
        wrong = f"OUTPUT {output}: name a folder, or a prefix of s3://{bucket}/."
    elif inside:
        wrong = f"OUTPUT {output} lies in INPUT, whose every file is an image: name another place."
    if wrong:
        raise DeliveryError(wrong)


def _earlier(
    run: Run, output: Prefix | Path, options: argparse.Namespace, model: str
) -> dict[str, Any] | None:
    """Return what an earlier call has planned; refuse it without --resume, or if another model serves now."""
    state: dict[str, Any] = json.loads(run.read(STATE) or b"{}")
    if state and not options.resume:
        raise DeliveryError(
            "An earlier call began to classify this INPUT into this OUTPUT: --resume continues it. To begin "
            "anew, name another OUTPUT."
        )
    if not state and isinstance(output, Path) and any(output.glob("results.*")):
        raise DeliveryError(f"{output} has results of an earlier call: name another OUTPUT.")
    if state and state["model"] != model:
        raise DeliveryError(
            f"The earlier call used model {state['model']}, but {model} serves now, and one file would hold "
            "the answers of both: name another OUTPUT."
        )
    return state or None


def _begin(run: Run, source: Prefix | Path, options: argparse.Namespace, model: str) -> dict[str, Any]:
    """Count, estimate, upload and divide the images, and write down that all of that is done."""
    with step(f"listing {source}"):
        images = sum(1 for _ in (files(source) if isinstance(source, Path) else source.list(run.s3)))
    if not images:
        raise DeliveryError(f"{source} holds no image.")
    at_once = _at_once(options, images)
    per_job = options.images_per_job or min(MOST_IMAGES_PER_JOB, math.ceil(images / at_once))
    jobs, uploads = math.ceil(images / per_job), isinstance(source, Path)
    kind, at_once = options.instance_type, min(at_once, jobs)
    echo(f"  {cost.line(images, jobs, instance_type=kind, at_once=at_once, uploads=uploads)}")
    if isinstance(source, Path):
        with step(f"uploading to {run.images}"):
            copies = mapped(lambda path: _upload(run, path, source), files(source))
            for done, _ in enumerate(copies, start=1):
                progress(f"{done:,} of {images:,}")
    with step("dividing the images among jobs"):
        images, shards = run.plan(run.images.list(run.s3), per_job=per_job)
    state = {"input": options.input, "model": model, "images": images, "shards": shards}
    run.write(STATE, json.dumps(state).encode())
    return state


def _upload(run: Run, path: Path, folder: Path) -> None:
    """Copy a file; of one that is too large anyway, only as much as shows that."""
    with path.open("rb") as file:
        run.write(f"images/{key_of(path, folder)}", file.read(MAX_IMAGE_BYTES + 1))


def _at_once(options: argparse.Namespace, images: int) -> int:
    return options.instances or min(MOST_INSTANCES, math.ceil(images / MOST_IMAGES_PER_JOB))


def _key(settings: Settings) -> str | None:
    """Return the ARN of the environment's key, if it has one."""
    if not settings.customer_key:
        return None
    parameter = names.key_parameter(settings.environment)
    return str(session().client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"])
