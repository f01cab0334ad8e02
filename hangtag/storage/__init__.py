"""Bytes, local or at `s3://`: files written whole, locks, retries, cache and mirror."""
