#!/usr/bin/env python3
"""Performs steps for whoever speaks REP v0.1. What it prints goes to stderr."""

from steps import greet

from flowbuild.rep import serve


def handle(with_, context):
    context.log(f"attempt {context.attempt} of {context.step_id}")
    return greet(**with_)


serve({"${{ new.kind }}": handle})
