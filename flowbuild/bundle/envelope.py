"""DSSE envelopes and the keys behind them: signing bytes with ed25519, and knowing who signed.

Knows nothing of bundles or statements. A private key is read from its file, used, and never kept, printed or copied.

Shapes:  a private key is PKCS#8 PEM, for its owner's eyes only; a public key is SubjectPublicKeyInfo PEM, as `openssl`
         reads both. A key id is securesystemslib's: 64 lowercase hexadecimal digits. An envelope is one line of JSON,
         {payload, payloadType, signatures: [{keyid, sig}]}; the payload is canonical JSON.
Errors:  CapabilitiesMismatch without the extra `sign`; BadPath for a key that can't be read, is of another kind, or
         that others may read; DiskRefused.
Source:  DSSE v1.0.2; RFC 8032; RFC 8785.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from flowbuild.core.canonical import canonical
from flowbuild.core.errors import BadPath, CapabilitiesMismatch
from flowbuild.store.files import created, refused

Signer = Any  # securesystemslib's CryptoSigner and Key: the library is imported only where something is signed
Key = Any

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_KEY = 1 << 16


class NewKey(NamedTuple):
    """A key pair on the disk."""

    key_id: str
    private: Path
    public: Path


class Envelope(NamedTuple):
    """One line of a file of statements: what was signed, and by which of the keys that were given."""

    payload: bytes
    key_ids: tuple[str, ...]  # whom it names
    signed_by: tuple[str, ...]  # whose signature holds


def new_key(where: Path) -> NewKey:
    """Make a key pair: in a directory `flowbuild.key` and `flowbuild.pub`, else the file and the file with `.pub`."""
    signer = _library("securesystemslib.signer").CryptoSigner.generate_ed25519()
    private = where / "flowbuild.key" if where.is_dir() else where
    public = private.with_name(f"{private.name.removesuffix('.key')}.pub")
    if not private.parent.is_dir():
        raise BadPath(f"{private.parent}: there is no such directory", remedy=f"mkdir -p {private.parent}")
    for path in (private, public):
        if os.path.lexists(path):
            raise BadPath(f"{path} is there already", remedy="no key is overwritten: name another file")
    for path, data, mode in ((private, signer.private_bytes, 0o600), (public, _public_pem(signer), 0o644)):
        with refused(path), created(path, mode) as descriptor, open(descriptor, "wb", closefd=False) as file:
            file.write(data)
    return NewKey(str(signer.public_key.keyid), private, public)


def private_key(path: Path) -> Signer:
    """The signer of a private key's file."""
    signing, loading = _library("securesystemslib.signer"), _serialization()
    data, mode = _read(path)
    try:
        key = _ed25519(loading.load_pem_private_key(data, None))
    except (ValueError, TypeError) as error:
        raise BadPath(f"{path}: not a private ed25519 key without a passphrase", remedy=_hint(error)) from None
    if mode & 0o077:
        raise BadPath(f"{path}: others may read this private key", remedy=f"chmod 600 {path}")
    return signing.CryptoSigner(key)


def public_key(path: Path) -> Key:
    """The key of a public key's file."""
    signing, loading = _library("securesystemslib.signer"), _serialization()
    data, _ = _read(path)
    try:
        return signing.SSlibKey.from_crypto(_ed25519(loading.load_pem_public_key(data)))
    except (ValueError, TypeError) as error:
        raise BadPath(f"{path}: not a public ed25519 key", remedy=_hint(error)) from None


def sign(doc: Any, signer: Signer) -> bytes:
    """The line of an envelope around a document."""
    envelope = _library("securesystemslib.dsse").Envelope(canonical(doc), PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return canonical(envelope.to_dict()) + b"\n"


def open_envelope(line: bytes, keys: Sequence[Key]) -> Envelope | None:
    """What a line holds, and whose signatures hold; None when it is no envelope of a statement."""
    from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError

    try:
        envelope = _library("securesystemslib.dsse").Envelope.from_dict(json.loads(line))
        named = tuple(str(key_id) for key_id in envelope.signatures)
        payload = bytes(envelope.payload)
        if envelope.payload_type != PAYLOAD_TYPE:
            return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    holding = []
    for key in keys:
        try:
            holding += list(envelope.verify([key], 1))
        except (VerificationError, UnverifiedSignatureError):
            continue
    return Envelope(payload, named, tuple(holding))


def _public_pem(signer: Signer) -> bytes:
    loading = _serialization()
    raw = bytes.fromhex(signer.public_key.keyval["public"])
    key = _library("cryptography.hazmat.primitives.asymmetric.ed25519").Ed25519PublicKey.from_public_bytes(raw)
    pem: bytes = key.public_bytes(loading.Encoding.PEM, loading.PublicFormat.SubjectPublicKeyInfo)
    return pem


def _ed25519(key: Any) -> Any:
    kinds = _library("cryptography.hazmat.primitives.asymmetric.ed25519")
    if not isinstance(key, kinds.Ed25519PrivateKey | kinds.Ed25519PublicKey):
        raise ValueError(f"it is {type(key).__name__}")
    return key


def _read(path: Path) -> tuple[bytes, int]:
    """The bytes and the mode of a key's file. What they are never stands in a message."""
    with refused(path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            raise BadPath(f"{path}: there is no such key", remedy="`flowbuild key new FILE` makes one") from None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_KEY:
                raise BadPath(f"{path}: not the file of a key")
            return os.read(descriptor, MAX_KEY), found.st_mode
        finally:
            os.close(descriptor)


def _hint(error: Exception) -> str:
    said = str(error)
    return said if said.startswith("it is ") else "`flowbuild key new FILE` makes a pair"


def _serialization() -> Any:
    return _library("cryptography.hazmat.primitives.serialization")


def _library(name: str) -> ModuleType | Any:
    """A module of the extra `sign`: imported only where something is signed or verified."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise CapabilitiesMismatch(
            "this installation can't sign or verify: the extra `sign` is missing",
            remedy="pip install 'flowbuild[sign]'",
        ) from None
