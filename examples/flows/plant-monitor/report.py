"""The one step of the plant monitor that is our own."""


def report(values: dict, decided: str, written: dict | None) -> dict:
    hottest = max(values, key=lambda name: (values[name], name))
    said = f"{hottest} is hottest at {values[hottest]:g}"
    return {"decided": decided, "said": said, "valve": written["value"] if written else None}
