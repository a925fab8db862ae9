"""The AWS resources as CDK stacks: up to five per environment, filled by a release record."""
