"""Targets to states: the frozen graph that everything after it reads."""
