"""One graph, three build systems, their CPU time: `python -m benchmarks`. Never a test."""
