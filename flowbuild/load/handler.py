from pathlib import PurePosixPath
def import_name(path: str, package: str) -> str:
    """The name that a module of a package is imported by: its path within the package, dots for slashes."""
    inner = PurePosixPath(path).relative_to(package).with_suffix("")
    parts = inner.parts[:-1] if inner.name == "__init__" else inner.parts
    return ".".join(parts)
