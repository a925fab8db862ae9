"""Buckets, the image repository and the encryption key."""
