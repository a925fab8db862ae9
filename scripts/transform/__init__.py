"""Many images at once, by SageMaker's Batch Transform: `scripts/batch`."""
