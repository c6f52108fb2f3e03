"""The key of HMAC-SHA256 as variables of a Spark session: no table, view or log holds it."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from orchestration.errors import TandemError

LITERAL = "(?i)[0-9a-f]{128}"
"""What Spark leaves out of its logs and its interface: a block of the key's length, as hex."""
_BLOCK_BYTES = 64


def padded_keys(key: bytes) -> dict[str, str]:
    """Variable name to the key, padded and masked as RFC 2104 has it, as hex."""
    if len(key) > _BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    block = key.ljust(_BLOCK_BYTES, b"\0")
    masks = {"tandem_ipad": 0x36, "tandem_opad": 0x5C}
    return {name: bytes(byte ^ mask for byte in block).hex() for name, mask in masks.items()}


@contextmanager
def declared(key: bytes) -> Iterator[None]:
    """While this lasts, every connection that dbt-spark opens has the key.

    Each connection to HiveThriftServer2 is a session of its own; those of one process share one,
    which then is told once.
    """
    from dbt.adapters.spark.connections import SparkConnectionManager

    # It logs every statement as it stands.
    logging.getLogger("pyhive.hive").setLevel(logging.WARNING)
    statements = [
        f"declare or replace variable {name} binary default X'{padded}'"
        for name, padded in padded_keys(key).items()
    ]
    opened, lock, is_told = SparkConnectionManager.open, threading.Lock(), threading.Event()

    def open_with_key(connection: Any) -> Any:
        before = connection.state
        result = opened(connection)
        is_shared = str(connection.credentials.method).lower().endswith("session")
        with lock if is_shared else nullcontext():
            if before != result.state and not (is_shared and is_told.is_set()):
                _execute(result, statements)
                is_told.set()
        return result

    SparkConnectionManager.open = staticmethod(open_with_key)
    try:
        yield
    finally:
        SparkConnectionManager.open = opened


def _execute(connection: Any, statements: list[str]) -> None:
    try:
        for statement in statements:
            connection.handle.cursor().execute(statement)
    except Exception:  # noqa: BLE001 - whatever it is, its text quotes the statement
        raise TandemError(
            "this Spark takes no session variables: it must be 4.0 or later"
        ) from None
