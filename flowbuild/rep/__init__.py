"""For people who write executors in Python: `serve` turns functions into a program that speaks REP v0.1.

Knows nothing of flowbuild: it needs the standard library only, and any client of REP may be at the other end.

    from flowbuild.rep import serve

    def read(with_, context):
        return {"endpoint": with_["endpoint"], "values": {}}

    serve({"opcua.read": read})

A handler gets what its step says under `with`, its references resolved, and returns a JSON object. It raises
`StepFailed` when the step has failed; any other exception counts as one. What it prints goes to stderr.
"""

from flowbuild.rep.flow import Handler, StepFailed
from flowbuild.rep.run import Context
from flowbuild.rep.server import serve

__all__ = ["Context", "Handler", "StepFailed", "serve"]
