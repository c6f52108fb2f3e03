"""Receipts: what an erasure did, in numbers, so that it can be shown without naming anybody.

Each receipt hashes the one before, and carries a code that only this home's key can make.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from orchestration import durable
from orchestration.errors import TandemError
from orchestration.keys import RECEIPTS, derived_key
from orchestration.settings import Settings
from orchestration.warehouse import literal

GENESIS = "0" * 64


@dataclass(frozen=True)
class Erasure:
    """A row of `control.erasures`; `is_sound` says that its receipt and chain hold."""

    number: int
    requested_at: datetime
    finished_at: datetime | None
    state: str
    ids: int
    is_sound: bool


def receipts_path(settings: Settings) -> Path:
    """The folder of the receipts."""
    return settings.home / "receipts"


def receipt_path(settings: Settings, number: int) -> Path:
    """One erasure's receipt."""
    return receipts_path(settings) / f"erasure-{number}.json"


def write_receipt(
    connection: duckdb.DuckDBPyConnection, settings: Settings, number: int, body: dict[str, Any]
) -> Path:
    """Chain a receipt to the one before, keep it in `control.erasures`, and write its file.

    A receipt that was kept already is written again as it was.
    """
    row = connection.execute(
        "select receipt from control.erasures where erasure = ? and state = 'done'", [number]
    ).fetchone()
    if row is None:
        before = connection.execute(
            "select row_hash from control.erasures where erasure < ? order by erasure desc limit 1",
            [number],
        ).fetchone()
        previous = (before[0] if before else None) or GENESIS
        text = json.dumps(body, sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(f"{previous}|{text}".encode()).hexdigest()
        whole = body | {
            "prev_hash": previous,
            "row_hash": digest,
            "hmac": _code(settings, digest),
        }
        receipt = json.dumps(whole, sort_keys=True, ensure_ascii=False, indent=2)
        connection.execute(
            f"""
            update control.erasures
            set state = 'done', finished_at = timestamp {literal(body["finished_at"])},
                receipt = {literal(receipt)}, prev_hash = {literal(previous)},
                row_hash = {literal(digest)}
            where erasure = {number}
            """
        )
    else:
        receipt = row[0]
    path = receipt_path(settings, number)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(receipt + "\n")
    durable.replace(temporary, path)
    return path


def list_erasures(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[Erasure]:
    """Every erasure in order, its receipt checked: its text, the chain, the key's code."""
    found = []
    previous = GENESIS
    for number, requested, finished, state, ids, receipt, row_hash in connection.execute(
        """
        select erasure, requested_at, finished_at, state, tombstones, receipt, row_hash
        from control.erasures
        order by erasure
        """
    ).fetchall():
        sound = receipt is None and state != "done"
        if receipt is not None:
            sound = is_sound(settings, receipt, previous)
            previous = row_hash
        found.append(Erasure(number, requested, finished, state, ids, sound))
    return found


def is_sound(settings: Settings, receipt: str, previous: str) -> bool:
    """Whether a receipt's text follows `previous` and was made with this home's key."""
    body = json.loads(receipt)
    stated, digest, code = (body.pop(name, "") for name in ("prev_hash", "row_hash", "hmac"))
    text = json.dumps(body, sort_keys=True, ensure_ascii=False)
    return (
        stated == previous
        and digest == hashlib.sha256(f"{previous}|{text}".encode()).hexdigest()
        and hmac.compare_digest(code, _code(settings, digest))
    )


def keep_tombstones(connection: duckdb.DuckDBPyConnection, settings: Settings) -> int:
    """Take over the tombstones of receipts that this warehouse does not know; how many erasures.

    So a warehouse that is made anew does not take an erased person in again. Raises TandemError
    for a receipt that was changed or made with another key.
    """
    folder = receipts_path(settings)
    if not folder.is_dir():
        return 0
    known = {
        row[0] for row in connection.execute("select erasure from control.erasures").fetchall()
    }
    taken = 0
    for path in sorted(folder.glob("erasure-*.json")):
        text = path.read_text(encoding="utf-8").rstrip("\n")
        try:
            body = json.loads(text)
            number = int(body["erasure"])
            if number in known:
                continue
            sound = is_sound(settings, text, body["prev_hash"])
        except (ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise TandemError(
                f"{path} was changed, or made with another key: the erased persons it stands "
                "for would be taken in again. Put the receipt and its key back"
            )
        connection.begin()
        for mark in body["tombstones"]:
            values = ", ".join(
                literal(mark[name]) for name in ("tombstone", "id_kind", "source", "replacement_id")
            )
            connection.execute(
                f"insert into control.tombstones values ({values}, "
                f"timestamp {literal(body['erased_at'])}, {number})"
            )
        connection.execute(
            f"""
            insert into control.erasures values (
                {number}, timestamp {literal(body["requested_at"])},
                timestamp {literal(body["finished_at"])}, 'done', {len(body["tombstones"])},
                {literal(body["key_check"])}, {literal(text)}, {literal(body["prev_hash"])},
                {literal(body["row_hash"])}
            )
            """
        )
        connection.commit()
        taken += 1
    return taken


def _code(settings: Settings, digest: str) -> str:
    key = derived_key(settings, RECEIPTS)
    return hmac.new(key, digest.encode(), hashlib.sha256).hexdigest()
