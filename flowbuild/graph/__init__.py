"""Targets to states: lowering, plans, and the graph that is evaluated."""
