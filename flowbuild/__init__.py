"""flowbuild: a build system for pipelines that must be believed.

Importing it imports nothing else: each name is fetched from its module when somebody asks for it.
"""

_HOMES = {
    "__version__": "flowbuild.version",
    "FlowError": "flowbuild.core.errors",
    "run_ir_flow": "flowbuild.front.flow_run",
    "RunResult": "flowbuild.front.flow_run",
}

__all__ = ["__version__", "FlowError", "run_ir_flow", "RunResult"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'flowbuild' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
