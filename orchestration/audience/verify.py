"""`tandem audience verify`: recompute from a released version's files all that they allow."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from orchestration.audience import ledger
from orchestration.audience.definition import NAME as PACK_NAME
from orchestration.audience.files import (
    FILE_MODE,
    data_name,
    exports_path,
    sha256_of,
    version_path,
)
from orchestration.audience.interface import PackSpec
from orchestration.audience.manifest import NAME as MANIFEST
from orchestration.audience.manifest import (
    WRONG_SHAPE,
    manifest_key,
    read_manifest,
    sign,
    spec_of,
)
from orchestration.audience.recode import column_list
from orchestration.audience.rows import broken_classes_sql
from orchestration.errors import TandemError, first_of
from orchestration.settings import Settings
from orchestration.warehouse import literal, open_warehouse

MOST_NAMED = 10
"""So many files a check names; a manifest does not choose how long an answer is."""


@dataclass(frozen=True)
class Check:
    """One thing that `verify` recomputed."""

    name: str
    passed: bool
    detail: str = ""


def verify_pack(
    settings: Settings, pack: str, *, version: int | None = None
) -> tuple[Path, list[Check]]:
    """Recompute all that a released version's files allow; the last one by default.

    Signature, hashes, ledger, k, l, α, t, columns and modes. Raises TandemError when there is
    no such version, or no manifest to read.
    """
    folder = _folder_of(settings, pack, version)
    manifest = read_manifest(folder)
    try:
        signed = sign(manifest, manifest_key(settings)).encode()
        said = str(manifest["hmac"]).encode("utf-8", "replace")
        checks = [Check("signature", hmac.compare_digest(signed, said), "hmac of manifest.json")]
        checks += _verify_files(folder, manifest)
        checks += _verify_ledger(settings, folder, manifest)
        checks += _verify_rows(folder, manifest)
    except WRONG_SHAPE as error:
        raise TandemError(f"{folder / MANIFEST} is no manifest ({type(error).__name__})") from error
    return folder, checks


def _verify_files(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    declared: Mapping[str, Any] = manifest["files"]
    present = {path.name for path in folder.iterdir()}
    odd = sorted(present ^ {*declared, MANIFEST})
    checks = [Check("files", not odd, first_of(odd, MOST_NAMED, ", "))]
    for name, said in declared.items():
        path = folder / name
        same = (
            name in present
            and path.is_file()
            and (path.stat().st_size, sha256_of(path))
            == (
                said["bytes"],
                said["sha256"],
            )
        )
        checks.append(Check(f"bytes of {name}", same))
    modes = [path.name for path in folder.iterdir() if path.stat().st_mode & 0o777 != FILE_MODE]
    checks.append(Check("modes", not modes, first_of(modes, MOST_NAMED, ", ")))
    return checks


def _verify_ledger(settings: Settings, folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    with open_warehouse(settings, read_only=True) as connection:
        try:
            past = ledger.read_if_any(connection)
        except ledger.LedgerError as error:
            return [Check("ledger", passed=False, detail=str(error))]
    said, held = manifest["ledger"], manifest["guarantee"]
    charge = next((row for row in past if row.seq == said["seq"]), None)
    wanted = (
        "charged", manifest["pack"], manifest["version"], manifest["spec_sha256"],
        manifest["snapshot_id"], held["epsilon"], held["delta"], said["row_hash"],
    )  # fmt: skip
    paid = charge is not None and wanted == (
        charge.status, charge.pack, charge.version, charge.spec_sha256, charge.snapshot_id,
        charge.epsilon, charge.delta, charge.row_hash,
    )  # fmt: skip
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    released = [
        row
        for row in past
        if charge is not None and row.entry == charge.entry and row.status == "released"
    ]
    return [
        Check("ledger", passed=True, detail=f"{len(past)} rows"),
        Check("charge", paid),
        Check(
            "release", bool(released) and json.loads(released[-1].params) == {
                "manifest_sha256": digest
            },
        ),
    ]  # fmt: skip


def _verify_rows(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    spec = spec_of(manifest, folder)
    stem = folder / data_name(spec)
    names = [column.name for column in spec.columns]
    if not all(stem.with_suffix(suffix).is_file() for suffix in (".parquet", ".csv")):
        return [Check("rows", passed=False, detail="no data files")]
    connection = duckdb.connect(":memory:", config={"memory_limit": "1GB"})
    try:
        connection.execute(
            f"create table released as select * from read_parquet({literal(f'{stem}.parquet')})"
        )
        types = ", ".join(f"{literal(c.name)}: {literal(c.type)}" for c in spec.columns)
        connection.execute(
            f"""
            create table texts as select * from read_csv(
                {literal(f"{stem}.csv")}, header = true, columns = {{{types}}}, nullstr = '\\N'
            )
            """
        )
        described = connection.execute("describe released").fetchall()
        checks = [
            Check(
                "columns",
                [(row[0], row[1]) for row in described] == [(c.name, c.type) for c in spec.columns],
            ),
            Check("csv", _same(connection, names)),
        ]
        if spec.product == "rows":
            checks += _verify_classes(connection, spec)
        return checks
    except duckdb.Error as error:
        return [Check("rows", passed=False, detail=type(error).__name__)]
    finally:
        connection.close()


def _same(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> bool:
    columns = column_list(names)
    differing = connection.execute(
        f"""
        select count(*) from (
            (select {columns} from released except all select {columns} from texts)
            union all
            (select {columns} from texts except all select {columns} from released)
        )
        """
    ).fetchall()
    return bool(differing[0][0] == 0)


def _verify_classes(connection: duckdb.DuckDBPyConnection, spec: PackSpec) -> list[Check]:
    keys = column_list(spec.key_columns)
    connection.execute(
        f"create table cells as select {keys}, count(*) as cell_rows from released group by {keys}"
    )
    least = connection.execute("select coalesce(min(cell_rows), 0) from cells").fetchall()[0][0]
    checks = [Check("k", least >= (spec.guarantee.k or 1), f"the smallest cell has {least} rows")]
    for column in spec.sensitive:
        query = broken_classes_sql(spec, "cells", column)
        broken = connection.execute(f"select count(*) from ({query})").fetchall()[0][0]
        checks.append(Check(f"l, alpha, t of {column}", broken == 0, f"{broken} classes miss"))
    return checks


def _folder_of(settings: Settings, pack: str, version: int | None) -> Path:
    if not PACK_NAME.match(pack):
        raise TandemError(f"{pack[:60]!r} is no name of a pack")
    if version is None:
        home = exports_path(settings) / pack
        numbers = [int(path.name[1:]) for path in home.glob("v*") if path.name[1:].isdecimal()]
        if not numbers:
            raise TandemError(f"{pack} has no released version")
        version = max(numbers)
    folder = version_path(settings, pack, version)
    if not folder.is_dir():
        raise TandemError(f"{pack} has no released version {version}")
    return folder
