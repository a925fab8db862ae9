"""What a batch takes and costs, before it begins: the assumptions are those of docs/scale.md."""

from __future__ import annotations

from scripts.commands.cost import read_prices
from scripts.transform.jobs import cores

CORE_S_PER_IMAGE = 0.012
START_S = 300  # of a job's instance, UNVERIFIED on AWS


def line(images: int, jobs: int, *, instance_type: str, at_once: int, uploads: bool) -> str:
    """Return one line for people; `uploads` is whether the images are copied to S3 first."""
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
