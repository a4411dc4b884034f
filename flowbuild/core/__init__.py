"""Values: canonical JSON, digests, labels and ids, errors, events, actions. No clock; no IO but `world`, about a host."""
