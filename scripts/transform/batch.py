"""One call of `scripts/batch`, from INPUT to the results."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections import Counter
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from container.problem import MAX_IMAGE_BYTES
from infra import names
from infra.config.hosting import has_local_disks
from infra.names import BATCH_RUNS
from scripts.commands.cost import read_prices
from scripts.console import DeliveryError, echo, progress, step
from scripts.delivery.aws import assume, session, stack_outputs
from scripts.transform import results
from scripts.transform.run import THREADS, Prefix, Run, cores, mapped

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from infra.config import Settings

MOST_IMAGES_PER_JOB = 100_000  # a manifest of some 10 MB
MOST_INSTANCES = 10  # by default
STATE = "run.json"
POLL_S, LOCAL_POLL_S = 15.0, 0.5
INTERRUPTED = 130  # a shell's exit status after Ctrl-C
# Of the estimate, as docs/scale.md says
CORE_S_PER_IMAGE = 0.012
START_S = 300  # of a job's instance, UNVERIFIED on AWS
_NAMED = 10  # images without an answer, and reasons
_CALLS = Config(
    retries={"mode": "standard", "total_max_attempts": 10},
    max_pool_connections=THREADS,
    response_checksum_validation="when_required",  # a quarter of the time of reading an answer
)


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
    aws = assume(names.role(environment, "batch", region=settings.region))
    deployment = names.deployment(environment)
    id_ = hashlib.sha256(f"{source}\n{output}".encode()).hexdigest()[:10]
    key = None
    if settings.customer_key:
        parameter = session().client("ssm").get_parameter(Name=names.key_parameter(environment))
        key = parameter["Parameter"]["Value"]
    copied = Prefix(bucket, f"{BATCH_RUNS}/{id_}/images/")
    run = Run(
        s3=aws.client("s3", config=_CALLS),
        sagemaker=aws.client("sagemaker", config=_CALLS),
        bucket=bucket,
        id=id_,
        images=source if isinstance(source, Prefix) else copied,
        model=model,
        name=f"{deployment}-{id_}",
        instance_type=options.instance_type,
        key=key,
        tags={"project": names.PROJECT, "environment": environment, "deployment": deployment},
        poll_s=LOCAL_POLL_S if settings.local else POLL_S,
    )
    state = _earlier(run, output, options) or _begin(run, source, options)
    images, shards = state["images"], range(1, state["shards"] + 1)
    try:
        with step(f"classifying with model {model}"):
            run.classify(shards, images, at_once=_at_once(options, images))
    except KeyboardInterrupt:
        if not options.leave:
            run.stop()
        what = "run on" if options.leave else "are being stopped"
        echo(f"✗ stopped: the jobs {what}; the same command with --resume continues.")
        raise SystemExit(INTERRUPTED) from None
    counts = Counter[bool]()

    def rows() -> Iterator[results.Row]:
        for row in chain.from_iterable(run.rows(shard, strip=copied.prefix) for shard in shards):
            counts["problem" in row] += 1
            yield row

    with step("writing the results"):
        place = results.write(rows(), output, options.format, s3=run.s3)
    unanswered = chain.from_iterable(map(run.waiting, shards if counts.total() < images else ()))
    return {
        "results": place,
        "model": model,
        "images": images,
        "answered": counts.total(),
        "refused": counts[True],
        "unanswered": list(islice(unanswered, _NAMED)),
        "jobs": run.created,
        "failures": run.failures,
        "seconds": round(time.monotonic() - began, 1),
    }


def conclude(report: dict[str, Any]) -> None:
    """Raise a `DeliveryError` if an image has no answer."""
    if missing := report["images"] - report["answered"]:
        reasons = [f"job {name} {why}" for name, why in report["failures"].items()]
        some = f"{missing:,} images have no answer, such as {', '.join(report['unanswered'])}"
        again = "The same command with --resume sends them again."
        raise DeliveryError("\n  ".join([some, *reasons[:_NAMED], again]))


def estimate(images: int, jobs: int, *, instance_type: str, at_once: int, uploads: bool) -> str:
    """Return one line on time and cost; `uploads` is whether the images are copied to S3 first."""
    table = read_prices()
    hours = (images * CORE_S_PER_IMAGE / cores(instance_type) + jobs * START_S) / 3600
    put = table.prices["s3-puts-thousand"]
    puts = images * (2 if uploads else 1) / 1000 * put.usd
    price = table.prices.get(f"instance-{instance_type}")
    begun = f"{images:,} images in {jobs:,} jobs, {at_once} at a time: {hours:,.1f} hours of {instance_type}"
    if price is None:
        return f"{begun}, whose price is not in scripts/pricing/prices.toml, and {puts:,.2f} USD for S3"
    unverified = "" if put.checked and price.checked else ", not verified"
    usd = f"{hours * price.usd + puts:,.2f} USD with S3 (prices of {table.written}{unverified})"
    return f"about {begun}, {hours / at_once:,.1f} on the clock, {usd}"


def parse(text: str) -> Prefix | Path:
    """Read a place as the command line has it."""
    if not text.startswith("s3://"):
        return Path(text).expanduser().resolve()
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    if not bucket:
        raise DeliveryError(f"{text}: write s3://BUCKET/PREFIX, or a folder.")
    return Prefix(bucket, prefix.rstrip("/") + "/" if prefix.strip("/") else "")


def files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and those below it, in no order, without what is hidden."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from files(Path(entry.path))
                elif entry.is_file():
                    yield Path(entry.path)
    except OSError as error:
        raise DeliveryError(f"{folder} cannot be read: {error.strerror}.") from error


def _check_places(
    source: Prefix | Path, output: Prefix | Path, *, bucket: str, readable: tuple[str, ...]
) -> None:
    inner, outer = (f"{str(each).rstrip('/')}/" for each in (output, source))
    wrong = ""
    if isinstance(source, Path):
        if not source.is_dir():
            wrong = f"INPUT {source} is not a folder."
    elif source.bucket not in readable:
        wrong = f"Jobs may not read {source}: name the bucket in [batch] buckets, and deploy."
    elif source.bucket == bucket and source.prefix.partition("/")[0] in ("", BATCH_RUNS):
        wrong = f"INPUT {source} includes {BATCH_RUNS}/, where runs are kept: name another prefix."
    if isinstance(output, Prefix) and output.bucket != bucket:
        wrong = f"OUTPUT {output}: name a folder, or a prefix of s3://{bucket}/."
    elif inner.startswith(outer):
        wrong = f"OUTPUT {output} lies in INPUT, whose every file is an image: name another place."
    if wrong:
        raise DeliveryError(wrong)


def _earlier(run: Run, output: Prefix | Path, options: argparse.Namespace) -> dict[str, Any] | None:
    """Return what an earlier call has planned; refuse it without --resume, or if another model serves now."""
    state: dict[str, Any] = json.loads(run.read(STATE) or b"{}")
    if state and not options.resume:
        raise DeliveryError(
            "An earlier call began to classify this INPUT into this OUTPUT: --resume continues it. To begin "
            "anew, name another OUTPUT."
        )
    if not state and isinstance(output, Path) and any(output.glob("results.*")):
        raise DeliveryError(f"{output} has results of an earlier call: name another OUTPUT.")
    if state and state["model"] != run.model:
        raise DeliveryError(
            f"The earlier call used model {state['model']}, but {run.model} serves now, and one file would "
            "hold the answers of both: name another OUTPUT."
        )
    return state or None


def _begin(run: Run, source: Prefix | Path, options: argparse.Namespace) -> dict[str, Any]:
    """Count, estimate, upload and divide the images, and write down that all of that is done."""
    with step(f"listing {source}"):
        images = sum(1 for _ in (files(source) if isinstance(source, Path) else source.list(run.s3)))
    if not images:
        raise DeliveryError(f"{source} holds no image.")
    at_once = _at_once(options, images)
    per_job = options.images_per_job or min(MOST_IMAGES_PER_JOB, math.ceil(images / at_once))
    jobs, uploads = math.ceil(images / per_job), isinstance(source, Path)
    kind, at_once = options.instance_type, min(at_once, jobs)
    echo(f"  {estimate(images, jobs, instance_type=kind, at_once=at_once, uploads=uploads)}")
    if isinstance(source, Path):
        with step(f"uploading to {run.images}"):
            copies = mapped(lambda path: _upload(run, path, source), files(source))
            for done, _ in enumerate(copies, start=1):
                progress(f"{done:,} of {images:,}")
    with step("dividing the images among jobs"):
        images, shards = run.plan(run.images.list(run.s3), per_job=per_job)
    state = {"model": run.model, "images": images, "shards": shards}
    run.write(STATE, json.dumps(state).encode())
    return state


def _upload(run: Run, path: Path, folder: Path) -> None:
    """Copy a file; of one that is too large anyway, only as much as shows that."""
    name = path.relative_to(folder).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        named = os.fsencode(path)
        raise DeliveryError(f"{named!r}: the name is not UTF-8, as keys of S3 are; rename it.") from None
    with path.open("rb") as file:
        run.write(f"images/{name}", file.read(MAX_IMAGE_BYTES + 1))


def _at_once(options: argparse.Namespace, images: int) -> int:
    return options.instances or min(MOST_INSTANCES, math.ceil(images / MOST_IMAGES_PER_JOB))
