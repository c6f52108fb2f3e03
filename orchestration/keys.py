"""Another key for the person tokens, without losing what the first one vouches for.

Tokens and `person_id` come from the home's key and change with it: every model is rebuilt.
Tombstones, receipts and manifests cannot be made anew, since the ids that they stand for are
gone; the keys derived for them are kept in a file of their own when the key changes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestration import durable
from orchestration.errors import SettingsError, TandemError
from orchestration.lock import build_lock
from orchestration.settings import Settings

ERASURES: Final = "tandem erasure v1"
RECEIPTS: Final = "tandem erasure receipt v1"
MANIFESTS: Final = "tandem/audience/manifest/1"
LABELS: Final = (ERASURES, RECEIPTS, MANIFESTS)
"""What keys are derived for. From a derived key the home's cannot be told."""
KEPT: Final = "derived-keys.json"


@dataclass(frozen=True)
class Rotation:
    """What `rotate_key` did: `is_in_file` is False where the key comes from `TANDEM_KEY`."""

    is_in_file: bool
    kept: Path
    resumed: bool


def derived_key(settings: Settings, label: str) -> bytes:
    """A key of 32 bytes for one purpose: of the home's first key, whatever it is now.

    Raises SettingsError when the file of kept keys can be read by others, or is none.
    """
    kept = _read_kept(settings)
    if label in kept:
        return kept[label]
    return hmac.new(settings.secret_key(), label.encode(), hashlib.sha256).digest()


def bring_kept_keys(settings: Settings, work: Settings) -> None:
    """Give another home of the same records, a rebuild, the keys that were kept."""
    path = kept_path(settings)
    if path.exists() and work.home != settings.home:
        work.home.mkdir(parents=True, exist_ok=True)
        durable.write(kept_path(work), path.read_bytes(), mode=0o600)


def kept_path(settings: Settings) -> Path:
    """The file (mode 0600) of the keys derived from the first key."""
    return settings.home / KEPT


def rotate_key(settings: Settings) -> Rotation:
    """Put a new random key in the key file's place; the next build rebuilds every model with it.

    With `TANDEM_KEY` only the derived keys are kept: the variable is not ours to change. May be
    killed at any moment and called again: the derived keys are kept before the key changes, and
    the key changes by one rename. Raises TandemError while an erasure waits, and LockedError.
    """
    from orchestration.erasure import journal

    with build_lock(settings):
        journal.require_none(settings)
        kept = _read_kept(settings)
        if not kept:
            found = {label: derived_key(settings, label).hex() for label in LABELS}
            durable.write(kept_path(settings), json.dumps(found, indent=1) + "\n", mode=0o600)
        _drop_older(settings)
        if settings.key is not None:
            return Rotation(False, kept_path(settings), bool(kept))
        durable.write(settings.key_path, secrets.token_hex(32), mode=0o600)
        return Rotation(True, kept_path(settings), bool(kept))


def _drop_older(settings: Settings) -> None:
    """Versions under the old key: all but the served one now, that one with the next build."""
    from orchestration.publish import drop_older, drop_with_next, sweep

    sweep(settings)
    drop_older(settings)
    drop_with_next(settings)


def _read_kept(settings: Settings) -> dict[str, bytes]:
    path = kept_path(settings)
    if not path.exists():
        return {}
    if path.stat().st_mode & 0o077:
        raise SettingsError(f"{path} can be read by others: run chmod 600 on it")
    try:
        found = json.loads(path.read_text(encoding="ascii"))
        return {label: bytes.fromhex(found[label]) for label in LABELS}
    except (ValueError, KeyError, TypeError) as error:
        raise TandemError(
            f"{path} is damaged: put it back from a backup; without it erased persons would be "
            "taken in again"
        ) from error
