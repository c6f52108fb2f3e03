"""Opening the warehouse: one writer at a time, a private file, bounded memory."""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from orchestration import durable, machine
from orchestration.errors import LockedError, TandemError, first_line
from orchestration.settings import Settings


def duckdb_config(settings: Settings) -> dict[str, str]:
    """The DuckDB options that every writer of the warehouse uses.

    One process must open one file with one configuration; DuckDB refuses a second one.
    """
    return {
        "memory_limit": settings.memory_limit,
        "threads": str(settings.threads),
        "temp_directory": str(settings.home.absolute() / "tmp"),
        "preserve_insertion_order": "false",
    }


@contextmanager
def open_warehouse(
    settings: Settings, *, read_only: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to `warehouse.duckdb`, created on first use with mode 0600, in UTC.

    Waits up to `lock_wait_seconds` for another process to let go; then raises LockedError,
    which names that process. A full disk or a damaged file is a TandemError.
    """
    path = settings.warehouse_path
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() and read_only:
        raise TandemError(f"{path} does not exist yet: run `tandem build` first")
    connection = _connect(settings, path, read_only)
    try:
        if not read_only:
            path.chmod(0o600)
        connection.execute("set timezone = 'UTC'")
        give_room(connection, settings)
        # It would be drawn on stdout, into what `--json` prints.
        connection.execute("set enable_progress_bar = false")
        yield connection
    except duckdb.Error as error:
        if _is_damage(error):
            raise _cannot_read(path, error) from error
        raise
    finally:
        connection.close()


def give_room(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Raise a `memory_limit` that nobody set to what the warehouse's size asks for.

    Set on the open connection: the options it is opened with must not change with the file.
    """
    if "memory_limit" in settings.model_fields_set:
        return
    path = settings.warehouse_path
    data = path.stat().st_size if path.exists() else 0
    limit = machine.memory_limit(settings.threads, machine.usable_memory(), data)
    if limit != settings.memory_limit:
        connection.execute(f"set memory_limit = '{limit}'")


def literal(value: object) -> str:
    """A SQL text literal. DuckDB imports pandas to bind a Python value, which takes a second."""
    text = "'" + str(value).replace("'", "''") + "'"
    # A NUL would end the statement.
    return "(" + text.replace("\0", "' || chr(0) || '") + ")" if "\0" in text else text


def set_key(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Give the session the HMAC-SHA256 key, as the padded keys of RFC 2104.

    Session variables die with the connection and show in no query text.
    """
    key = settings.secret_key()
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    block = key.ljust(64, b"\0")
    connection.execute("set variable tandem_ipad = ?::blob", [bytes(b ^ 0x36 for b in block)])
    connection.execute("set variable tandem_opad = ?::blob", [bytes(b ^ 0x5C for b in block)])


def _connect(settings: Settings, path: Path, read_only: bool) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + settings.lock_wait_seconds
    previous_umask = os.umask(0o077)
    try:
        if not path.exists():
            _create(path)
        while True:
            try:
                return duckdb.connect(
                    str(path), read_only=read_only, config=dict(duckdb_config(settings))
                )
            except duckdb.IOException as error:
                if "could not set lock" not in str(error).lower():
                    raise _cannot_read(path, error) from error
                if time.monotonic() >= deadline:
                    raise LockedError(
                        f"{path} is held by {_holder(str(error))}; waited "
                        f"{settings.lock_wait_seconds:g} s. Let it finish, or stop it, and retry"
                    ) from error
                time.sleep(0.2)
            except duckdb.Error as error:
                raise _cannot_read(path, error) from error
    finally:
        os.umask(previous_umask)


def _create(path: Path) -> None:
    """Put an empty warehouse in place whole: a kill or a second opener must find no half of one."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        duckdb.connect(str(temporary), config={"threads": "1"}).close()
        try:
            # A rename would replace what another process has made meanwhile.
            path.hardlink_to(temporary)
        except FileExistsError:
            return
        except OSError:
            # A file system without hard links.
            temporary.replace(path)
        durable.sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


_DAMAGE = re.compile(r"(?i)corrupt|checksum|not a valid duckdb|read enough bytes|replaying wal")


def _is_damage(error: duckdb.Error) -> bool:
    return isinstance(error, (duckdb.FatalException, duckdb.InternalException)) or (
        isinstance(error, (duckdb.IOException, duckdb.SerializationException))
        and _DAMAGE.search(str(error)) is not None
    )


def _cannot_read(path: Path, error: duckdb.Error) -> TandemError:
    """What is wrong with the warehouse file, and for a damaged one the way out.

    All but the ledgers is made anew from the landing zone; docs/operations.md says which copies
    those come back from.
    """
    if not _is_damage(error):
        return TandemError(f"cannot open {path}: {first_line(error)}")
    return TandemError(
        f"{path} is damaged ({first_line(error)}). Put a backup back; or move it and its .wal "
        "away and run `tandem build --full-refresh`, which takes everything from the landing zone "
        'again (docs/operations.md, "A damaged file")'
    )


def _holder(message: str) -> str:
    found = re.search(r"held in (.+?) \(PID (\d+)\)", message)
    return f"process {found[2]} ({found[1]})" if found else "another process"
