"""`manifest.json`: what a pack says of itself, signed; only declared or released figures in it."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from orchestration.audience.files import sha256_of
from orchestration.audience.interface import AttackResult, Column, Guarantee, PackSpec
from orchestration.audience.ledger import Balance, Row
from orchestration.errors import TandemError
from orchestration.ingest.landing import open_regular
from orchestration.keys import MANIFESTS, derived_key
from orchestration.settings import Settings

NAME = "manifest.json"
MAX_BYTES = 4 * 1024 * 1024
WRONG_SHAPE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What a manifest that is none makes its readers raise."""
LIBRARIES = ("duckdb", "dp-accounting", "opendp", "pyarrow")
_GUARANTEE = ("epsilon", "delta", "beta", "k", "l", "alpha", "t")


def manifest_key(settings: Settings) -> bytes:
    """The key that signs manifests, derived from the settings' key for this use alone."""
    return derived_key(settings, MANIFESTS)


def make_manifest(
    spec: PackSpec,
    *,
    number: int,
    created_at: datetime,
    expires_at: datetime,
    snapshot_id: str,
    folder: Path,
    rows: int,
    accuracy: Mapping[str, float],
    balance: Balance,
    charge: Row,
    attacks: Sequence[AttackResult],
    key: bytes,
) -> dict[str, Any]:
    """The manifest of version `number`, over the files that `folder` holds now.

    Values of attacks stand as the gate gave them, which rounds up to 0.001.
    """
    files = {
        path.name: {
            "sha256": sha256_of(path),
            "bytes": path.stat().st_size,
            "rows": rows if path.suffix in (".parquet", ".csv") else None,
        }
        for path in sorted(folder.iterdir())
        if path.name != NAME
    }
    content = {
        "pack": spec.pack,
        "version": number,
        "kind": spec.product,
        "purpose": spec.purpose,
        "recipients": list(spec.recipients),
        "created_at": _moment(created_at),
        "expires_at": _moment(expires_at),
        "snapshot_id": snapshot_id,
        "spec_sha256": spec.sha256,
        "columns": [_column(column, accuracy) for column in spec.columns],
        "quasi_identifiers": list(spec.quasi_identifiers),
        "sensitive": list(spec.sensitive),
        "guarantee": {name: getattr(spec.guarantee, name) for name in _GUARANTEE},
        "composition": {
            "population": balance.population,
            "window_days": balance.window_days,
            "epsilon_after": balance.epsilon,
            "delta_after": balance.delta,
            "caps": {
                "epsilon": balance.epsilon_cap,
                "delta": balance.delta_cap,
                "purpose_epsilon": balance.purpose_epsilon_cap,
            },
        },
        "files": files,
        "attacks": [
            {
                "id": result.id,
                "value": as_json(result.value),
                "gate": result.gate,
                "pass": result.passed,
            }
            for result in attacks
        ],
        "ledger": {"seq": charge.seq, "row_hash": charge.row_hash},
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    return content | {"hmac": sign(content, key)}


def as_json(value: float) -> float:
    """An attack's value as it is; infinities and NaN as 1e9, since JSON has neither."""
    return value if math.isfinite(value) else 1e9


def sign(manifest: Mapping[str, Any], key: bytes) -> str:
    """HMAC-SHA256 over the canonical JSON of everything but `hmac`."""
    content = {name: value for name, value in manifest.items() if name != "hmac"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def to_text(manifest: Mapping[str, Any]) -> str:
    """The file's text."""
    return json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"


def read_manifest(folder: Path) -> dict[str, Any]:
    """A folder's manifest. Raises TandemError when it is missing or no manifest."""
    path = folder / NAME
    try:
        with open_regular(path) as handle:
            text = handle.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise TandemError(f"{path} is no manifest (larger than {MAX_BYTES} bytes)")
        manifest = json.loads(text.decode())
        spec_of(manifest, path)
    except FileNotFoundError as error:
        raise TandemError(f"{path} is missing") from error
    except (*WRONG_SHAPE, OSError) as error:
        raise TandemError(f"{path} is no manifest ({type(error).__name__})") from error
    return dict(manifest)


def spec_of(manifest: Mapping[str, Any], path: Path) -> PackSpec:
    """As much of the definition as the manifest holds: enough to judge the file by."""
    return PackSpec(
        pack=manifest["pack"],
        product=manifest["kind"],
        purpose=manifest["purpose"],
        recipients=tuple(manifest["recipients"]),
        population=manifest["composition"]["population"],
        window_days=0,
        ttl_days=0,
        segment=(),
        recode=(),
        columns=tuple(
            Column(item["name"], item["type"], item["role"]) for item in manifest["columns"]
        ),
        guarantee=Guarantee(**{name: manifest["guarantee"][name] for name in _GUARANTEE}),
        sha256=manifest["spec_sha256"],
        path=path,
    )


def _column(column: Column, accuracy: Mapping[str, float]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "type": column.type, "role": column.role}
    if column.name in accuracy:
        found["accuracy"] = math.ceil(accuracy[column.name])
    return found


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"
