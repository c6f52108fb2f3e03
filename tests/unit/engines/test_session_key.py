"""The key as Spark's session has it."""

from __future__ import annotations

import hashlib
import hmac
import re

import pytest

from orchestration.engines import session_key


@pytest.mark.parametrize("length", [16, 63, 64, 65, 200])
def test_the_padded_keys_make_an_hmac(length: int) -> None:
    key = bytes(range(length))
    padded = session_key.padded_keys(key)
    inner = hashlib.sha256(bytes.fromhex(padded["tandem_ipad"]) + "电话".encode()).digest()
    token = hashlib.sha256(bytes.fromhex(padded["tandem_opad"]) + inner).hexdigest()
    assert token == hmac.new(key, "电话".encode(), "sha256").hexdigest()


def test_what_spark_redacts_is_the_key_and_no_token() -> None:
    for padded in session_key.padded_keys(b"k").values():
        for written in (f"X'{padded}'", f"0x{padded.upper()}"):
            assert padded not in re.sub(session_key.LITERAL, "", written).lower()
    token = hashlib.sha256(b"").hexdigest()
    assert re.search(session_key.LITERAL, f"select '{token}', '{token}'") is None
