"""A finished run to a directory that others may trust: documents, index, commit, and loading it again."""
