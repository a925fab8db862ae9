"""The system on AWS, declared: a handful of stacks per environment, filled by a release record."""
