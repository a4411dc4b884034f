"""Values: canonical JSON, digests, labels, ids, errors, events, actions. No clock; no IO but in `world`."""
