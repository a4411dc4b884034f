"""Values: canonical JSON, digests, labels and ids, errors, events, actions. No clock, and no IO but in `world`, which reads what a host says of itself."""
