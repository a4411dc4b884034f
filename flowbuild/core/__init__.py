"""Values: canonical JSON, digests, labels and ids, errors, events, actions. No IO, no clock."""
