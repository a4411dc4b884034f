"""The seed's command line: `python -m flowbuild.evidence COMMAND`.

Knows nothing of how anything is done: each command calls the public function of its name and prints what it came to.

Shapes:  what is listed or described is JSON; what was done is a line `[+] ...`, what is wrong a line `[!] ...`.
Errors:  those of `guard`, with the exit codes of the whole tool: 1 for findings, 2 for what was asked wrongly.
Source:  seed 003, stable command line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import flowbuild.evidence as evidence
from flowbuild.bundle.layout import LATEST, SUMMARY, latest
from flowbuild.core.errors import BadFlag, FlowError
from flowbuild.core.label import is_label
from flowbuild.front.guard import guarded

Arguments = argparse.Namespace


class _Parser(argparse.ArgumentParser):
    """Flags that can't be read are a BadFlag, like those of every other command line of ours."""

    def error(self, message: str) -> Any:
        raise BadFlag(message, remedy=f"`{self.prog} --help` lists what there is")


def _show(value: Any) -> int:
    print(json.dumps(value, indent=2, ensure_ascii=False))
    return 0


def _done(*lines: str) -> int:
    for line in lines:
        print(f"[+] {line}")
    return 0


def _found(errors: Sequence[FlowError | str], *well: str) -> int:
    for error in errors:
        print(f"[!] {error}")
    return 1 if errors else _done(*well)


def _plan_lint(given: Arguments) -> int:
    return _found(evidence.lint_plan(given.plan).errors, "plan ok")


def _registry_lint(given: Arguments) -> int:
    return _found(evidence.lint_registry(given.registry).errors, "registry ok")


def _registry_upgrade(given: Arguments) -> int:
    from flowbuild.graph.registries import upgrade_registry

    done = upgrade_registry(given.registry, out_dir=given.out_dir, overwrite=given.overwrite)
    return _done(*(f"wrote {path}" for path in done))


def _run(given: Arguments) -> int:
    spec = evidence.ChannelSpec(
        channel=evidence.ChannelName(given.channel),
        require_clean=given.channel != evidence.ChannelName.DIRECT,
        lock_mode=evidence.LockMode(given.lock_mode),
        lock_timeout_seconds=given.lock_timeout_seconds,
    )
    out = given.out or _beside(given.plan) / "out"
    filters = {"only_profiles": given.only_profile, "only_scenarios": given.only_scenario}
    bundle = evidence.run_plan(given.plan, out, channel=spec, **filters, dry_run=given.dry)
    _done(f"wrote {bundle.out_dir}")
    if latest(out) == bundle.out_dir.name:
        _done(f"updated {out / LATEST}")
    status = bundle.document(SUMMARY)["status"]
    return _found([f"the run failed: {(bundle.status or {}).get('error')}"] if status == "failed" else [])


def _beside(plan: str) -> Path:
    """The directory of a plan; a label's is where somebody stands."""
    place = Path(plan)
    return Path() if is_label(plan) else place if place.is_dir() else place.parent


def _validate(given: Arguments) -> int:
    return _found(evidence.validate_bundle(given.bundle).errors, "bundle ok")


def _emit(given: Arguments) -> int:
    packet = evidence.emit_promotion_packet(given.bundle, given.out, require_promotable=given.require_promotable)
    judged = packet["promotability"]
    if not judged["promotable_decision_stage"]:
        print(f"[!] not promotable: {judged['reasons']}")
    return _done(f"wrote {given.out}")


def _reindex(given: Arguments) -> int:
    evidence.reindex_bundle(given.bundle, repair=given.repair)
    return _done("bundle reindexed" if given.repair else "bundle ok")


def _status(given: Arguments) -> int:
    return _show(evidence.runtime_status())


def _list_templates(given: Arguments) -> int:
    return _show(evidence.list_plan_templates())


def _plan_build(given: Arguments) -> int:
    made = evidence.build_plan_from_template(
        given.template, given.out, overwrite=given.overwrite, write_expected_matrix=given.write_expected_matrix
    )
    paths = (made.plan_path, made.probes_path, made.profiles_path, made.expected_matrix_path)
    return _done(*(f"wrote {path}" for path in paths if path is not None))


def _summarize_ops(given: Arguments) -> int:
    if given.bundle is not None:
        evidence.summarize_ops_from_bundle(given.bundle, out_path=given.out, strict=not given.allow_unverified)
    else:
        must = not given.allow_nonpromotable
        evidence.summarize_ops_from_packet(given.packet, out_path=given.out, require_promotable=must)
    return _done(f"wrote {given.out}")


def _describe_plan(given: Arguments) -> int:
    doc = evidence.load_plan(given.plan)
    return _show({"plan": doc, "path": str(given.plan), "plan_digest": evidence.plan_digest(doc)})


def _seconds(text: str) -> float:
    """A number of seconds that somebody could wait."""
    with suppress(ValueError):
        if float(text) >= 0:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")


_PLAN = ("--plan", {"required": True, "metavar": "PLAN", "help": "A plan.json, its directory, or a label."})
_REGISTRY = ("--registry", {"required": True, "metavar": "ID", "help": "The registry's id."})
_BUNDLE = ("--bundle", {"required": True, "type": Path, "metavar": "DIR", "help": "A bundle, or an output root."})
_OUT = ("--out", {"required": True, "type": Path, "metavar": "FILE"})
_SWITCH = {"action": "store_true"}
_Flags = Sequence[tuple[str, dict[str, Any]]]

# command: what it does, its flags, and the function that does it
COMMANDS: dict[str, tuple[str, _Flags, Callable[[Arguments], int]]] = {
    "run": (
        "Run a plan, and commit what was observed.",
        (
            _PLAN,
            ("--out", {"type": Path, "metavar": "DIR", "help": "Below it; `out` beside the plan by default."}),
            ("--channel", {"choices": [*map(str, evidence.ChannelName)], "default": "direct"}),
            ("--lock-mode", {"choices": [*map(str, evidence.LockMode)], "default": "fail"}),
            ("--lock-timeout-seconds", {"type": _seconds, "default": 30.0, "metavar": "N"}),
            ("--only-profile", {"action": "append", "default": [], "metavar": "ID"}),
            ("--only-scenario", {"action": "append", "default": [], "metavar": "ID"}),
            ("--dry", _SWITCH),
        ),
        _run,
    ),
    "validate-bundle": ("Say whether a bundle is whole.", (_BUNDLE,), _validate),
    "emit-promotion": ("Write a bundle's promotion packet.", (_BUNDLE, _OUT, ("--require-promotable", _SWITCH)), _emit),
    "reindex-bundle": (
        "Verify a bundle's index, or write it anew.",
        (_BUNDLE, ("--strict", _SWITCH), ("--repair", _SWITCH)),
        _reindex,
    ),
    "status": ("Say what this host enforces, and which tools it has.", (), _status),
    "list-templates": ("List the plan templates.", (), _list_templates),
    "plan-build": (
        "Write a template's plan and registry.",
        (
            ("--template", {"required": True, "metavar": "ID"}),
            ("--out", {"required": True, "type": Path, "metavar": "DIR"}),
            ("--overwrite", _SWITCH),
            ("--write-expected-matrix", _SWITCH),
        ),
        _plan_build,
    ),
    "summarize-ops": (
        "Write what each operation came to. One of --bundle and --packet is given.",
        (
            ("--bundle", {"type": Path, "metavar": "DIR", "help": "A bundle, or an output root."}),
            ("--packet", {"type": Path, "metavar": "FILE", "help": "A promotion packet."}),
            _OUT,
            ("--allow-unverified", _SWITCH),
            ("--allow-nonpromotable", _SWITCH),
        ),
        _summarize_ops,
    ),
    "list-plans": ("List the plans of this tree.", (), lambda given: _show(evidence.list_plans())),
    "describe-plan": ("Show a plan and its digest.", (_PLAN,), _describe_plan),
    "plan-lint": ("Find everything wrong with a plan.", (_PLAN,), _plan_lint),
    "list-registries": ("List the registries of this tree.", (), lambda given: _show(evidence.list_registries())),
    "list-probes": (
        "List a registry's probes.",
        (_REGISTRY,),
        lambda given: _show(evidence.list_probes(given.registry)),
    ),
    "list-profiles": (
        "List a registry's profiles.",
        (_REGISTRY,),
        lambda given: _show(evidence.list_profiles(given.registry)),
    ),
    "describe-probe": (
        "Show one probe.",
        (_REGISTRY, ("--probe", {"required": True, "metavar": "ID"})),
        lambda given: _show(evidence.resolve_probe(given.registry, given.probe)),
    ),
    "describe-profile": (
        "Show one profile.",
        (_REGISTRY, ("--profile", {"required": True, "metavar": "ID"})),
        lambda given: _show(evidence.resolve_profile(given.registry, given.profile)),
    ),
    "registry-lint": (
        "Find everything wrong with a registry, or with all.",
        (("--registry", {"metavar": "ID", "help": "All of the tree when left out."}),),
        _registry_lint,
    ),
    "registry-upgrade": (
        "Write a registry in the current schema.",
        (_REGISTRY, ("--out-dir", {"type": Path, "metavar": "DIR"}), ("--overwrite", _SWITCH)),
        _registry_upgrade,
    ),
}

# Of these flags of a command exactly one is given.
EITHER = {"reindex-bundle": ("--strict", "--repair"), "summarize-ops": ("--bundle", "--packet")}


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m flowbuild.evidence", description="Evidence that others can trust.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for name, (doc, flags, _) in COMMANDS.items():
        command = commands.add_parser(name, help=doc, description=doc, allow_abbrev=False)
        either = command.add_mutually_exclusive_group(required=True) if name in EITHER else command
        for flag, settings in flags:
            (either if flag in EITHER.get(name, ()) else command).add_argument(flag, **settings)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code."""

    def run() -> int:
        given = _parser().parse_args(argv)
        return COMMANDS[given.command][2](given)

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
