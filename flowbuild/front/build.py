"""Build: a request from its words to its exit code. The middle of the main road.

Knows nothing of how anything is performed, stored or printed; it puts the floors together.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowbuild.core.errors import FlowError
from flowbuild.core.event import RunCompleted, RunStarted, RunStatus, StateStatus
from flowbuild.core.canonical import EMPTY_CONTEXT, canonical
from flowbuild.core.ids import new_run_id, op_of
from flowbuild.core.label import Label, parse, parse_pattern
from flowbuild.front.arguments import Request
from flowbuild.front.console import Console
from flowbuild.graph.lower import Setting, lower
from flowbuild.graph.state import StateGraph
from flowbuild.load.catalog import Catalog
from flowbuild.load.workspace import find
from flowbuild.run.desk import RunDesk
from flowbuild.run.evaluate import Continue, Evaluation, Result, blocked_by
from flowbuild.run.manifest import manifest
from flowbuild.run.policy import Policy
from flowbuild.run.record import Record
from flowbuild.run.remark import remarks
from flowbuild.run.session import Session
from flowbuild.run.shown import show, shown_paths
