def greet(name):
    """The step: a plain function from what the step says under `with` to a JSON object."""
    if not name:
        raise ValueError("nobody to greet")
    return {"text": f"Hello, {name}"}
