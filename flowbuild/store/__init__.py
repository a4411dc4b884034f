"""Bytes at rest: atomic files, locks, the content-addressed store, journal, memo, stamps. Knows digests and paths,
never labels."""
