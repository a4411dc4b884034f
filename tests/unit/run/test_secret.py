"""The secrets of a run: given, refused, and taken out of outcomes; and payloads that only their run opens.

Seed 001: 001-14, 001-26.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import Digest, canonical
from flowbuild.core.secrets import LINE
from flowbuild.engine.transport import Refused
from flowbuild.run import vault
from flowbuild.run.secret import REDACTED, Secrets

VALUE = "a value of a secret"
KEY = base64.b64encode(b"k" * 32).decode()


def action(allows: tuple[str, ...] = (), state: str = "a.main.call", **with_: Any) -> Action:
    return Action(Digest("0" * 64), {"step_kind": "python", "with": with_, "allows": list(allows)}, "//:a", state, "")


def test_only_what_is_declared_is_given_and_then_it_is_known() -> None:
    secrets = Secrets({"TOKEN": VALUE, "ELSE": "of nobody's concern"})
    assert secrets.given(action(secrets={"TOKEN": {"version": None}, "GONE": {"version": None}})) == {"TOKEN": VALUE}
    assert secrets.mask.text(f"<{VALUE}> of nobody's concern") == "<***> of nobody's concern"


@pytest.mark.parametrize(
    ("error", "message", "details"),
    [
        (ErrorInfo("c", "exit 1", details={"exit_code": 1}), "exit 1", {"exit_code": 1}),
        (ErrorInfo("c", f"no {VALUE}", details={"sent": VALUE}), "no ***", None),
        (ErrorInfo("c", "no password", details={"password": "x"}), REDACTED, None),
        (ErrorInfo("c", "no", details=[VALUE, 0.5, {1, 2}]), "no", None),
    ],
)
def test_an_error_is_told_without_secrets(error: ErrorInfo, message: str, details: Any) -> None:
    secrets = Secrets({"TOKEN": VALUE})
    secrets.know(["TOKEN"])
    told = secrets.redacted(action(), Outcome(error=error, stderr_tail="one\npassword=x\ntwo\n")).error
    assert told is not None and (told.message, told.details) == (message, details)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("secret_key_missing", "secret_key_missing"),  # a plain word names an error, whatever it resembles
        ("exit_3", "exit_3"),
        ("bearer of bad news", "error_redacted"),
        (VALUE, "error_redacted"),
        (f"x-{VALUE}", "error_redacted"),
    ],
)
def test_the_code_of_an_error_is_no_secret_either(said: str, told: str) -> None:
    secrets = Secrets({"TOKEN": VALUE})
    secrets.know(["TOKEN"])
    error = secrets.redacted(action(), Outcome(error=ErrorInfo(said, "no"))).error
    assert error is not None and error.code == told


def test_last_words_lose_the_lines_that_look_secret_unless_excused() -> None:
    outcome = Outcome(stdout_tail="fine\n", stderr_tail="one\npassword=x\ntwo\n")
    told = Secrets({}).redacted(action(), outcome)
    assert (told.stdout_tail, told.stderr_tail) == ("fine\n", f"one\n{LINE}\ntwo\n")
    assert Secrets({}).redacted(action(("secret-words",)), outcome) == outcome


@pytest.mark.parametrize("written", [{"k": VALUE}, {"api_key": "x"}])
def test_a_context_that_holds_a_secret_is_not_written(written: Any) -> None:
    secrets = Secrets({"TOKEN": VALUE})
    secrets.know(["TOKEN"])
    told = secrets.redacted(action(), Outcome(context={"write": written, "delete": []}))
    assert told.context is None and told.error is not None and told.error.code == "secrets_detected"


def code(call: Any) -> str:
    with pytest.raises(Refused) as told:
        call()
    return told.value.info.code


def box(run_id: str = "r1", key: str | None = KEY, name: str | None = "BOX") -> Secrets:
    return Secrets({} if key is None else {"BOX": key}, run_id=run_id, key_name=name)


def test_a_payload_opens_in_its_run_under_its_key_and_nowhere_else() -> None:
    payload = vault.sealed(box(), action(), "session", b'"the plain text"')
    assert vault.opened(box(), "session", payload) == b'"the plain text"'
    assert vault.opened(box(name=None), "session", payload) == b'"the plain text"'  # the payload names its variable
    assert b"plain" not in payload and KEY.encode() not in payload
    assert payload != vault.sealed(box(), action(), "session", b'"the plain text"')
    assert code(lambda: vault.opened(box("r2"), "session", payload)) == "secret_payload_refused"
    assert code(lambda: vault.opened(box(), "other", payload)) == "secret_payload_refused"
    other = base64.b64encode(b"o" * 32).decode()
    assert code(lambda: vault.opened(box(key=other), "session", payload)) == "secret_payload_refused"
    assert code(lambda: vault.opened(box(key=None), "session", payload)) == "secret_key_missing"
    assert code(lambda: vault.opened(box(key="short"), "session", payload)) == "secret_key_invalid"
    assert code(lambda: vault.opened(box(key="?" * 44), "session", payload)) == "secret_key_invalid"
    assert code(lambda: vault.sealed(box(name=None), action(), "s", b"1")) == "secret_key_undeclared"
    assert code(lambda: vault.sealed(box(), action(), "s", b"1" * (vault.MOST + 1))) == "io_request_too_large"


@pytest.mark.parametrize("field", ["state_id", "run_id", "fact_key", "nonce", "ciphertext", "alg", "schema_version"])
def test_a_payload_that_was_changed_does_not_open(field: str) -> None:
    doc = json.loads(vault.sealed(box(), action(), "session", b'"the plain text"'))
    doc[field] = base64.b64encode(b"x" * 12).decode() if field in ("nonce", "ciphertext") else f"{doc[field]}x"
    secrets = box(doc["run_id"])  # even in a run of that name
    assert code(lambda: vault.opened(secrets, doc["fact_key"], canonical(doc))) == "secret_payload_refused"


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'"x"', b'{"nonce": 1}'])
def test_what_is_no_payload_does_not_open(payload: bytes) -> None:
    assert code(lambda: vault.opened(box(), "session", payload)) == "secret_payload_refused"
