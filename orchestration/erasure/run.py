"""`tandem erase`: one person out of everything, in steps that a kill can interrupt anywhere.

The order: note what is to be done, write the new landing files beside the old, scrub raw in one
transaction, swap the files, build, drop what is older, compact, search, write the receipt.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from orchestration.contracts import contracts
from orchestration.erasure import journal as journals
from orchestration.erasure import receipts
from orchestration.erasure.journal import Journal
from orchestration.erasure.landing import (
    Rewriter,
    Scrubber,
    clear_leftovers,
    free_text,
    other_files,
    ready_files,
    swap,
)
from orchestration.erasure.raw import scrub
from orchestration.erasure.receipts import Erasure, keep_tombstones, receipt_path, write_receipt
from orchestration.erasure.search import Found, Wanted, compact, find_common, path_names, search
from orchestration.erasure.tombstones import (
    PREFIX,
    count_rows,
    has_tombstones,
    key_check,
    name_erased,
    replacement,
    tombstone,
)
from orchestration.errors import SettingsError, TandemError, first_of
from orchestration.ingest.checks import quote
from orchestration.ingest.tables import create_tables, raw_ddl, require_tables
from orchestration.land.store import require_nothing_landed
from orchestration.lock import build_lock
from orchestration.publish import drop_older, sweep
from orchestration.settings import Settings
from orchestration.warehouse import literal, open_warehouse

if TYPE_CHECKING:
    from orchestration.build import Observer

Tell = Callable[[str], None]
Build = Callable[[Settings], object]
KINDS = ("account", "member")


@dataclass
class ErasureReport:
    """What an erasure did, or with a dry run would do; counts only.

    `ids` is (source, kind) to ids, `rows` log to raw rows, `files` landing files. `state` is
    `dry run`, `done` or `already erased`.
    """

    state: str
    number: int | None = None
    ids: dict[tuple[str, str], int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    files: int = 0
    landing_left: int = 0
    tables_searched: int = 0
    files_searched: int = 0
    receipt: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "state": self.state,
            "erasure": self.number,
            "ids": [
                {"source": source, "kind": kind, "count": count}
                for (source, kind), count in sorted(self.ids.items())
            ],
            "rows": self.rows,
            "files": self.files,
            "landing_left": self.landing_left,
            "tables_searched": self.tables_searched,
            "files_searched": self.files_searched,
            "receipt": str(self.receipt) if self.receipt else None,
        }


def erase(
    settings: Settings,
    source: str,
    number: str,
    *,
    id_kind: str | None = None,
    only_id: bool = False,
    keep_landing: bool = False,
    dry_run: bool = False,
    observer: Observer | None = None,
    tell: Tell | None = None,
    build: Build | None = None,
) -> ErasureReport:
    """Erase the person that an id belongs to, or with `only_id` that id alone.

    Builds and publishes, searches everything, and writes a receipt. Asked again after a kill it
    goes on; asked again after it is done it does nothing, unless a file brought the id back.
    `build` is what makes and publishes the marts, by default `run_build`.
    Raises SettingsError for an id that is not known or not told apart from another, TandemError
    when a landing file cannot be rewritten (nothing was changed then), when the build fails, or
    when the search still finds something.
    """
    with build_lock(settings):
        pending = journals.read(settings)
        if pending is not None and dry_run:
            raise TandemError("an erasure was interrupted: run `tandem erase --resume` first")
        if pending is not None and not pending.names(source, number):
            raise TandemError(
                "an erasure of somebody else was interrupted: run `tandem erase --resume` first"
            )
        if pending is None:
            pending = _plan(settings, source, number, id_kind, only_id, keep_landing)
            if pending is None:
                return _already(settings, source, number)
            if dry_run:
                return _dry_run(settings, pending)
            journals.write(settings, pending)
        _change(settings, pending, tell or _silent)
    return _finish(settings, pending, build or _builder(observer), tell or _silent)


def resume(
    settings: Settings,
    *,
    observer: Observer | None = None,
    tell: Tell | None = None,
    build: Build | None = None,
) -> ErasureReport | None:
    """Go on with the erasure that was interrupted; None if there is none."""
    with build_lock(settings):
        pending = journals.read(settings)
        if pending is None:
            return None
        _change(settings, pending, tell or _silent)
    return _finish(settings, pending, build or _builder(observer), tell or _silent)


def list_erasures(settings: Settings) -> list[Erasure]:
    """Every erasure of this home, and whether its receipt holds."""
    if not settings.warehouse_path.exists():
        return []
    with open_warehouse(settings, read_only=True) as connection:
        try:
            return receipts.list_erasures(connection, settings)
        except duckdb.CatalogException:
            return []


def _silent(_: str) -> None:
    return


def _plan(
    settings: Settings,
    source: str,
    number: str,
    id_kind: str | None,
    only_id: bool,
    keep_landing: bool,
) -> Journal | None:
    """Whom it is about, as the last build knows them; None for one who was erased before."""
    if not settings.warehouse_path.exists():
        raise TandemError(f"{settings.home} holds no warehouse yet: run `tandem build`")
    with open_warehouse(settings) as connection:
        create_tables(connection)
        require_tables(connection, "erasing a person")
        require_nothing_landed(settings, "erasing a person")
        keep_tombstones(connection, settings)
        has_tombstones(connection, settings)
        kinds = [id_kind] if id_kind else list(KINDS)
        ids = _ids_of(connection, source, number, kinds, only_id)
        if ids is None:
            ids = [
                (kind, source, number)
                for kind in kinds
                if _count(
                    connection,
                    "control.tombstones where tombstone = "
                    + literal(tombstone(settings, kind, source, number)),
                )
            ]
            if not ids:
                raise SettingsError(
                    f"no {' or '.join(kinds)} of that id in source {source}. The source and the "
                    "id must be written as the records have them"
                )
            again = Journal(number=0, requested_at="", ids=_marked(settings, ids))
            if keep_landing or not _rewriter(settings, connection, again).is_anywhere():
                return None
        last = _one(connection, "select coalesce(max(erasure), 0) from control.erasures")
        now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
        journal = Journal(
            number=last + 1,
            requested_at=now.isoformat(sep=" "),
            ids=_marked(settings, ids),
            keep_landing=keep_landing,
            units=connection.execute(
                "select distinct source, experiment_id, unit from raw.operations__experiments"
            ).fetchall(),
        )
        _collect(connection, journal)
    return journal


def _marked(
    settings: Settings, ids: list[tuple[str, str, str]]
) -> list[tuple[str, str, str, str, str]]:
    rows = []
    for kind, source, number in sorted(ids):
        mark = tombstone(settings, kind, source, number)
        rows.append((kind, source, number, replacement(mark), mark))
    return rows


def _ids_of(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    number: str,
    kinds: list[str],
    only_id: bool,
) -> list[tuple[str, str, str]] | None:
    """The (kind, source, id) that are one person; None for an unknown id."""
    last = "select max(batch_id) from control.builds where state in ('transformed', 'published')"
    unbuilt = _count(connection, f"control.batches where batch_id > coalesce(({last}), 0)")
    if unbuilt or not _count(
        connection,
        "information_schema.tables "
        "where table_schema = 'intermediate' and table_name = 'int_identities'",
    ):
        raise TandemError(
            "records were taken in that no build has gone through: run `tandem build` first, so "
            "that it is known which ids are one person's"
        )
    found = connection.execute(
        f"""
        select id_kind, person_id from intermediate.int_identities
        where source = ? and id = ? and id_kind in {_any_of(kinds)}
        """,
        [source, number],
    ).fetchall()
    if not found:
        return None
    if len(found) > 1 and (only_id or len({person for _, person in found}) > 1):
        raise SettingsError("an account and a member have that id: say which with --kind")
    if only_id:
        return [(found[0][0], source, number)]
    return connection.execute(
        f"""
        select id_kind, source, id from intermediate.int_identities
        where person_id = ? and not starts_with(id, {literal(PREFIX)})
        """,
        [found[0][1]],
    ).fetchall()


def _collect(connection: duckdb.DuckDBPyConnection, journal: Journal) -> None:
    """Everything that points to the person and must be found nowhere afterwards."""
    bounded = {number for _, _, number, _, _ in journal.ids}
    loose: set[str] = set()
    exact: set[str] = set()
    _name_ids(connection, journal)
    for contract in contracts().values():
        own = [item for item in contract.person_fields if item.is_own and item.kind in KINDS]
        mine = " or ".join(
            f"({quote(item.source_field)}, {quote(item.name)}) in "
            f"(select source, id from erased_ids where id_kind = '{item.kind}')"
            for item in own
        )
        for name in contract.pii_fields if own else ():
            values = connection.execute(
                f"select distinct {quote(name)} from raw.{contract.table} "
                f"where {quote(name)} is not null and ({mine})"
            ).fetchall()
            target = exact if name in free_text(contract) else loose
            target = bounded if name == "display_name" else target
            target.update(value for (value,) in values)
    persons = connection.execute(
        """
        select distinct person_id from intermediate.int_identities
        inner join erased_ids using (id_kind, source, id)
        """
    ).fetchall()
    loose.update(person for (person,) in persons)
    journal.bounded, journal.loose = sorted(bounded), sorted(loose)
    journal.exact = sorted(exact)


def _name_ids(connection: duckdb.DuckDBPyConnection, journal: Journal) -> None:
    name_erased(connection, [row[:4] for row in journal.ids])


def _tokens(settings: Settings, journal: Journal) -> set[str]:
    """What the person's values became in staging, of those that nobody else has."""
    values = (set(journal.bounded) | set(journal.loose)) - set(journal.common)
    for value in list(values):
        digits = re.sub("[^0-9]", "", value)
        values |= {digits, re.sub("^(00)?(86(?=[0-9]{11}$))?", "", digits)}
    values -= set(journal.common)
    return {
        hmac.new(settings.secret_key(), value.encode(), hashlib.sha256).hexdigest()
        for value in values
        if len(value) > 1
    }


def _rewriter(
    settings: Settings, connection: duckdb.DuckDBPyConnection, journal: Journal
) -> Rewriter:
    """Knows the landing files' rejected lines as they are now."""
    rejected: dict[str, set[int]] = {}
    for path, line in connection.execute(
        """
        select paths.path, lines.line
        from control.paths as paths
        inner join control.files as files
            on paths.log = files.log and paths.sha256 = files.sha256
        inner join quarantine.lines as lines on files.file_id = lines.file_id
        where lines.line is not null
        """
    ).fetchall():
        rejected.setdefault(path, set()).add(line)
    return Rewriter(
        settings.landing_path,
        Scrubber(journal),
        rejected,
        journal.number,
        settings.max_line_bytes,
    )


def _dry_run(settings: Settings, journal: Journal) -> ErasureReport:
    report = _report(journal, "dry run")
    with open_warehouse(settings, read_only=True) as connection:
        _name_ids(connection, journal)
        for contract in contracts().values():
            if rows := count_rows(connection, contract):
                report.rows[contract.log] = rows
        rewriter = _rewriter(settings, connection, journal)
    if not journal.keep_landing:
        report.files = sum(1 for file in ready_files(settings.landing_path) if rewriter.count(file))
    report.number = None
    return report


def _already(settings: Settings, source: str, number: str) -> ErasureReport:
    marks = _any_of(tombstone(settings, kind, source, number) for kind in KINDS)
    with open_warehouse(settings, read_only=True) as connection:
        erasure = _one(
            connection, f"select max(erasure) from control.tombstones where tombstone in {marks}"
        )
    return ErasureReport("already erased", erasure, receipt=receipt_path(settings, erasure))


def _change(settings: Settings, journal: Journal, tell: Tell) -> None:
    """Everything up to the build: landing files and raw."""
    root = settings.landing_path
    if journal.stage == "begun":
        clear_leftovers(root)
        tell("reading the landing zone")
        with open_warehouse(settings, read_only=True) as connection:
            rewriter = _rewriter(settings, connection, journal)
        try:
            _prepare(settings, journal, rewriter)
        except BaseException:
            # Nothing was changed: whoever comes next must not find an erasure under way.
            clear_leftovers(root)
            journals.remove(settings)
            raise
        _go_to(settings, journal, "prepared")
    if journal.stage == "prepared":
        tell("scrubbing raw")
        with open_warehouse(settings) as connection:
            scrub(connection, settings, journal)
            find_common(connection, journal)
        journal.loose = sorted({*journal.loose, *_tokens(settings, journal)})
        _go_to(settings, journal, "scrubbed")
    if journal.stage == "scrubbed":
        swap(root, journal.files)
        _go_to(settings, journal, "swapped")


def _prepare(settings: Settings, journal: Journal, rewriter: Rewriter) -> None:
    root = settings.landing_path
    files = ready_files(root)
    if journal.keep_landing:
        journal.landing_left = sum(1 for file in files if rewriter.count(file))
        return
    journal.files = [new for file in files if (new := rewriter.rewrite(file)) is not None]
    wanted = Wanted.of(journal)
    mine = {new.temporary for new in journal.files}
    mine |= {new.control_temporary for new in journal.files if new.control_temporary}
    for path in other_files(root, files) if root.is_dir() else ():
        name = str(path.relative_to(root))
        if name not in mine and path_names(path, wanted):
            raise TandemError(
                f"{name} names the person and is no landing file, so that nothing was changed: "
                "remove it, or leave the landing zone alone with --keep-landing"
            )


def _go_to(settings: Settings, journal: Journal, stage: journals.Stage) -> None:
    journal.stage = stage
    journals.write(settings, journal)


def _builder(observer: Observer | None) -> Build:
    from orchestration.build import run_build

    return lambda settings: run_build(settings, observer=observer)


def _finish(settings: Settings, journal: Journal, build: Build, tell: Tell) -> ErasureReport:
    """Build, drop, compact, search, and write the receipt."""
    from orchestration.build import nothing_new

    with build_lock(settings):
        sweep(settings)
        is_built = nothing_new(settings) is not None
    if not is_built:
        try:
            build(settings)
        except TandemError as error:
            error.args = (f"{error}. The erasure is not done: `tandem erase --resume` goes on",)
            raise
    with build_lock(settings):
        sweep(settings)
        tell("dropping older versions, compacting the warehouse")
        dropped = drop_older(settings)
        compact(
            settings.warehouse_path,
            settings.home / ".warehouse-compact.tmp",
            {f"raw.{item.table}": raw_ddl(item) for item in contracts().values()},
        )
        tell("searching every table and file")
        with open_warehouse(settings, read_only=True) as connection:
            rewriter = _rewriter(settings, connection, journal)
        found = search(settings, journal, None if journal.keep_landing else rewriter)
        with open_warehouse(settings, read_only=True) as connection:
            found.places += _raw_places(connection, journal)
        if found.places:
            raise TandemError(
                "the person is out of the warehouse, but is still found in "
                f"{first_of(found.places, 10)}. "
                "Remove that, then run `tandem erase --resume`"
            )
        with open_warehouse(settings) as connection:
            path = write_receipt(
                connection, settings, journal.number, _receipt(settings, journal, found, dropped)
            )
        journals.remove(settings)
    report = _report(journal, "done")
    report.tables_searched, report.files_searched = found.tables, found.files
    report.receipt = path
    return report


def _raw_places(connection: duckdb.DuckDBPyConnection, journal: Journal) -> list[str]:
    """Logs in which an id still stands in one of its own fields, with its own source."""
    _name_ids(connection, journal)
    return [
        f"raw.{contract.table} ({rows} rows)"
        for contract in contracts().values()
        if (rows := count_rows(connection, contract))
    ]


def _receipt(settings: Settings, journal: Journal, found: Found, dropped: int) -> dict[str, Any]:
    return {
        "erasure": journal.number,
        "requested_at": journal.requested_at,
        "erased_at": journal.requested_at,
        "finished_at": datetime.now(UTC).replace(tzinfo=None, microsecond=0).isoformat(sep=" "),
        "ids": len(journal.ids),
        "tombstones": [
            {"tombstone": mark, "id_kind": kind, "source": source, "replacement_id": new}
            for kind, source, _, new, mark in sorted(journal.ids, key=lambda row: row[4])
        ],
        "key_check": key_check(settings),
        "rows_changed": journal.rows,
        "landing_files_rewritten": len(journal.files),
        "landing_files_left": journal.landing_left,
        "versions_dropped": dropped,
        "search": {
            "values": found.values,
            "values_that_others_have_too": len(journal.common),
            "values_inside_longer_ones": len(set(journal.parts) - set(journal.common)),
            "tables": found.tables,
            "files": found.files,
            "hits": 0,
            "landing_searched": not journal.keep_landing,
        },
    }


def _report(journal: Journal, state: str) -> ErasureReport:
    report = ErasureReport(state, journal.number, rows=dict(journal.rows))
    for kind, source, *_ in journal.ids:
        report.ids[source, kind] = report.ids.get((source, kind), 0) + 1
    report.files, report.landing_left = len(journal.files), journal.landing_left
    return report


def _any_of(texts: Iterable[str]) -> str:
    return "(" + ", ".join(map(literal, texts)) + ")"


def _count(connection: duckdb.DuckDBPyConnection, what: str) -> int:
    return int(_one(connection, f"select count(*) from {what}"))


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None
