"""Secret payloads: facts that are kept as ciphertext, and can be read in their own run only.

Knows nothing of where payloads are kept. AES-GCM with a key of 32 bytes, which a variable holds in base64; what a
payload belongs to (its run, the state that recorded it, its fact key) is authenticated with it.

Shapes:  canonical JSON {"schema_version", "alg": "A256GCM", "key": name of the variable, "run_id", "state_id",
         "fact_key", "nonce", "ciphertext"}; the last two in base64. The plain text is canonical JSON.
Errors:  Refused: secret_key_undeclared, secret_key_missing, secret_key_invalid, secret_payload_refused,
         secret_unavailable.
Source:  seed 001, secret payloads; NIST SP 800-38D.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from typing import Any

from flowbuild.core.action import Action
from flowbuild.core.canonical import canonical
from flowbuild.engine.transport import Refused
from flowbuild.run.secret import Secrets

SCHEMA = "flowbuild.secret_payload.v1"
MOST = 16 << 10  # bytes of a plain text
_BOUND = ("schema_version", "alg", "key", "run_id", "state_id", "fact_key")


def sealed(secrets: Secrets, action: Action, fact_key: str, plain: bytes) -> bytes:
    """The payload of a plain text."""
    if secrets.key_name is None:
        raise Refused(
            "secret_key_undeclared", "name the variable with the key in flowbuild.yaml: io: {secret_key: NAME}"
        )
    if len(plain) > MOST:
        raise Refused("io_request_too_large", f"a secret of {len(plain)} bytes; the limit is {MOST}")
    doc = {
        "schema_version": SCHEMA,
        "alg": "A256GCM",
        "key": secrets.key_name,
        "run_id": secrets.run_id,
        "state_id": action.state_id,
        "fact_key": fact_key,
    }
    nonce = os.urandom(12)
    ciphertext = _cipher(secrets, secrets.key_name).encrypt(nonce, plain, canonical(doc))
    return canonical({**doc, "nonce": _text(nonce), "ciphertext": _text(ciphertext)})


def opened(secrets: Secrets, fact_key: str, payload: bytes) -> bytes:
    """The plain text of a payload of this run."""
    try:
        doc = json.loads(payload)
        bound = {name: doc[name] for name in _BOUND}
        nonce, ciphertext = (base64.b64decode(doc[name], validate=True) for name in ("nonce", "ciphertext"))
    except (ValueError, KeyError, TypeError):
        raise Refused("secret_payload_refused", f"the fact {fact_key!r} is no secret payload", "Storage") from None
    if bound["schema_version"] != SCHEMA or bound["run_id"] != secrets.run_id or bound["fact_key"] != fact_key:
        raise Refused("secret_payload_refused", f"the fact {fact_key!r} is of another run or key", "Storage")
    from cryptography.exceptions import InvalidTag

    try:
        plain: bytes = _cipher(secrets, str(bound["key"])).decrypt(nonce, ciphertext, canonical(bound))
    except (InvalidTag, ValueError):
        message = f"the fact {fact_key!r} can't be opened: it was changed, or {bound['key']} holds another key"
        raise Refused("secret_payload_refused", message, "Storage") from None
    return plain


def _cipher(secrets: Secrets, name: str) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise Refused("secret_unavailable", "secret payloads need flowbuild[sign]: cryptography is missing") from None
    text = secrets.variables.get(name)
    if not text:
        raise Refused("secret_key_missing", f"the key of secret payloads is in the variable {name}, which is not set")
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        remedy = "32 random bytes in base64, as `openssl rand -base64 32` prints"
        raise Refused("secret_key_invalid", f"the variable {name} holds no key: {remedy}")
    secrets.know([name])
    return AESGCM(key)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
