"""Landing files without the person: found, written anew beside the old, and swapped in."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import duckdb
import orjson
import zstandard

from orchestration import durable
from orchestration.contracts import LogContract, PersonField, contracts
from orchestration.erasure.journal import Journal, NewFile
from orchestration.erasure.tombstones import BLANK_JSON
from orchestration.errors import TandemError
from orchestration.ingest.landing import CONTROL_SUFFIX, Landed, look
from orchestration.ingest.lines import csv_lines, members
from orchestration.ingest.readers import parquet_source
from orchestration.ingest.scan import UnreadableError, content

WORD = "A-Za-z0-9_-"
Values = Mapping[str, Any]


def free_text(contract: LogContract) -> tuple[str, ...]:
    """Fields in which anybody may quote anything, and which may be NULL."""
    if contract.log in ("community/accounts", "group/members"):
        return ()
    return tuple(
        field.name
        for field in contract.fields
        if (field.pii or field.personal) and field.type in ("text", "object")
    )


class Scrubber:
    """Says what of one record changes when a person is erased."""

    def __init__(self, journal: Journal) -> None:
        self.ids = {(kind, source, number): new for kind, source, number, new, _ in journal.ids}
        self.numbers = {number for _, _, number in self.ids}
        self.units: dict[tuple[str, str], set[str]] = {}
        for source, experiment, unit in journal.units:
            self.units.setdefault((source, experiment), set()).add(unit)
        self.pattern = pattern(journal.bounded, journal.loose)
        self.alone = pattern(self.numbers, ()) or re.compile("(?!)")
        texts = self.numbers | set(journal.bounded) | set(journal.loose)
        self.needles = sorted({form for text in texts for form in _forms(text)})
        self.escapes = [b"\\u00"]
        if any(not text.isascii() for text in texts):
            self.escapes = [b"\\u"]
        if any("/" in text for text in texts):
            self.escapes.append(b"\\/")

    def may_be_in(self, data: bytes) -> bool:
        """Whether the bytes may name the person; False is certain."""
        return any(needle in data for needle in self.needles) or any(
            escape in data for escape in self.escapes
        )

    def changes(self, contract: LogContract, values: Values) -> dict[str, Any]:
        """New values of the fields that change; None for those that go."""
        known = {field.name for field in contract.all_fields}
        unknown = [name for name in values if name not in known]
        found: dict[str, Any] = {}
        is_own = False
        for field in contract.person_fields:
            new = self._new(field, values)
            if new is not None:
                found[field.name] = new
                is_own = is_own or field.is_own
        if is_own:
            gone: Iterable[str] = [*contract.cleared_fields, *unknown]
        else:
            gone = [
                name
                for name in (*free_text(contract), *unknown)
                if self.is_quoted(values.get(name)) or self.is_quoted(name)
            ]
        for name in gone:
            if values.get(name) not in (None, ""):
                found[name] = None
        return found

    def is_named(self, values: Values) -> bool:
        """Whether a rejected record, whose fields may be anything, names the person anywhere."""
        return any(text in self.numbers or self.is_quoted(text) for text in _texts(values))

    def is_named_in(self, text: str) -> bool:
        """The same for a line that is no record at all."""
        return self.is_quoted(text) or self.alone.search(text) is not None

    def is_quoted(self, value: Any) -> bool:
        """Whether a value holds one of the texts that point to the person."""
        if value is None or self.pattern is None:
            return False
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return self.pattern.search(text) is not None

    def _new(self, field: PersonField, values: Values) -> Any:
        source, held = values.get(field.source_field), values.get(field.name)
        if held in (None, "") or source is None:
            return None
        if field.is_list:
            if isinstance(held, str):
                try:
                    items = orjson.loads(held)
                except orjson.JSONDecodeError:
                    return None
            else:
                items = held
            if not isinstance(items, list):
                return None
            named = [self.ids.get((field.kind, str(source), str(item)), item) for item in items]
            return None if named == items else named
        kinds: Iterable[str] = [field.kind]
        if field.kind == "unit":
            experiment = (str(source), str(values.get("experiment_id")))
            kinds = sorted(self.units.get(experiment, {"account", "member"}))
        for kind in kinds:
            new = self.ids.get((kind, str(source), str(held)))
            if new is not None:
                return new
        return None


def blank_csv(header: Sequence[str]) -> str:
    """What stands in the place of a rejected CSV record: no field has a value."""
    return "," * (len(header) - 1) or '""'


def pattern(bounded: Iterable[str], loose: Iterable[str]) -> re.Pattern[str] | None:
    """What finds a bounded text that stands alone, or a loose one anywhere; None for neither."""
    parts = []
    if alone := "|".join(sorted(map(re.escape, bounded))):
        parts.append(f"(?<![{WORD}])(?:{alone})(?![{WORD}])")
    parts += sorted(map(re.escape, loose))
    return re.compile("|".join(parts)) if parts else None


def _forms(text: str) -> set[bytes]:
    """The text as it may stand in a file."""
    return {
        text.encode(),
        json.dumps(text)[1:-1].encode(),
        json.dumps(text, ensure_ascii=False)[1:-1].encode(),
        text.replace('"', '""').encode(),
    }


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield str(name)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield str(value)


class Rewriter:
    """Writes landing files anew without the person."""

    def __init__(
        self,
        root: Path,
        scrubber: Scrubber,
        rejected: Mapping[str, set[int]],
        number: int,
        max_line_bytes: int,
    ) -> None:
        """`rejected` gives the lines of each path that ingestion turned away."""
        self.root = root
        self.scrubber = scrubber
        self.rejected = rejected
        self.number = number
        self.max_line_bytes = max_line_bytes

    def rewrite(self, file: Landed) -> NewFile | None:
        """The file's successor beside it, or None when the person is not in it.

        Raises TandemError, which names the file, when it cannot be read or written.
        """
        path = (self.root / file.path).resolve()
        work = _FileWork(self, file, path)
        try:
            if not work.is_candidate():
                return None
            return work.write()
        except (UnreadableError, UnicodeDecodeError, OSError, ValueError, duckdb.Error) as error:
            work.temporary.unlink(missing_ok=True)
            raise TandemError(
                f"{file.path} cannot be rewritten ({type(error).__name__}), and nothing was "
                "changed: mend or remove it, or leave landing files alone with --keep-landing"
            ) from None

    def is_anywhere(self) -> bool:
        """Whether any landing file names the person."""
        return any(self.count(file) for file in ready_files(self.root))

    def count(self, file: Landed) -> int:
        """How many of the file's records name the person."""
        new = self.rewrite(file)
        if new is None:
            return 0
        discard(self.root, [new])
        return new.lines


class _FileWork:
    """One file on its way."""

    def __init__(self, rewriter: Rewriter, file: Landed, path: Path) -> None:
        self.scrubber = rewriter.scrubber
        self.file = file
        self.path = path
        self.contract = contracts()[file.log]
        self.rejected = rewriter.rejected.get(file.path, set())
        self.limit = rewriter.max_line_bytes
        self.root = rewriter.root
        self.temporary = path.with_name(f".{path.name}.erased-{rewriter.number}.tmp")
        self.lines = 0
        self.lost: dict[str, int] = {}

    def is_candidate(self) -> bool:
        if self.file.kind == "parquet":
            return True
        tail = b""
        longest = max(8, *(len(needle) for needle in self.scrubber.needles))
        for piece in content(self.path, self.file.compression):
            if self.scrubber.may_be_in(tail + piece):
                return True
            tail = piece[-longest:]
        return False

    def write(self) -> NewFile | None:
        if self.file.kind == "parquet":
            self._write_parquet()
        else:
            pieces = content(self.path, self.file.compression)
            lines = self._json(pieces) if self.file.kind == "jsonl" else self._csv(pieces)
            with _writer(self.temporary, self.file.compression) as out:
                for data in lines:
                    out.write(data)
        if not self.lines:
            self.temporary.unlink(missing_ok=True)
            return None
        status = self.path.stat()
        shutil.copymode(self.path, self.temporary)
        # Kept, so that only the content tells the file from the one before.
        os.utime(self.temporary, ns=(status.st_atime_ns, status.st_mtime_ns))
        durable.sync(self.temporary)
        new = NewFile(
            path=self.file.path,
            log=self.file.log,
            lines=self.lines,
            old_sha256=_sha256(self.path),
            sha256=_sha256(self.temporary),
            bytes=self.temporary.stat().st_size,
            mtime_ns=status.st_mtime_ns,
            temporary=_beside(self.file.path, self.temporary),
        )
        self._write_control(new)
        return new

    def _json(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for number, line in enumerate(_physical(pieces), start=1):
            if not self.scrubber.may_be_in(line):
                yield line
                continue
            body = line.rstrip(b"\r\n")
            new = self._json_line(number, body)
            self.lines += new != body
            yield new + line[len(body) :]

    def _json_line(self, number: int, body: bytes) -> bytes:
        text = body.decode("utf-8")
        mark = "\ufeff" if number == 1 and text.startswith("\ufeff") else ""
        text = text.removeprefix(mark)
        try:
            values = orjson.loads(text)
        except orjson.JSONDecodeError:
            values = None
        if not isinstance(values, dict):
            return BLANK_JSON.encode() if self.scrubber.is_named_in(text) else body
        if number in self.rejected:
            if not self.scrubber.is_named(values) or text == BLANK_JSON:
                return body
            self._lose(values)
            return (mark + BLANK_JSON).encode()
        changes = self.scrubber.changes(self.contract, values)
        if not changes:
            return body
        self._lose({name: values.get(name) for name in changes})
        kept = []
        for name_text, value_text in members(text):
            name = orjson.loads(name_text)
            if name in changes and changes[name] is None:
                continue
            if name in changes:
                value_text = orjson.dumps(changes[name]).decode()
            kept.append(f"{name_text}:{value_text}")
        return (mark + "{" + ",".join(kept) + "}").encode()

    def _csv(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        header: list[str] = []
        following = 1
        for line, fields in csv_lines(pieces, self.limit):
            # Empty lines are passed over by the reader, and keep their place.
            yield b"\n" * (line.number - following)
            if line.oversized:
                raise ValueError("a line is too long")
            following = line.number + max(line.data.count(b"\n"), 1)
            if not header:
                header = fields or []
                yield line.data
                continue
            new = line.data
            if self.scrubber.may_be_in(line.data):
                new = self._csv_line(line.number, line.data, fields, header)
                self.lines += new != line.data
            yield new

    def _csv_line(
        self, number: int, data: bytes, fields: list[str] | None, header: list[str]
    ) -> bytes:
        end = data[len(data.rstrip(b"\r\n")) :]
        blank = blank_csv(header).encode() + end
        extra_lines = data.count(b"\n") - end.count(b"\n")
        if fields is None or len(fields) != len(header):
            text = data.decode("utf-8", errors="ignore")
            return blank + b"\n" * extra_lines if self.scrubber.is_named_in(text) else data
        values = dict(zip(header, fields, strict=True))
        if number in self.rejected:
            if not self.scrubber.is_named(values):
                return data
            self._lose(values)
            return blank + b"\n" * extra_lines
        changes = self.scrubber.changes(self.contract, values)
        if not changes:
            return data
        self._lose({name: values[name] for name in changes})
        for name, new in changes.items():
            values[name] = json.dumps(new) if isinstance(new, list) else new or ""
        out = io.StringIO()
        csv.writer(out, lineterminator="").writerow(values.values())
        new_lines = out.getvalue().count("\n")
        padding = b"\n" * (data.count(b"\n") - end.count(b"\n") - new_lines)
        return out.getvalue().encode() + end + padding

    def _write_parquet(self) -> None:
        changes = self._parquet_changes()
        self.lines = len(changes)
        if not changes:
            return
        import pyarrow as pa
        from pyarrow import parquet

        table = parquet.read_table(self.path)
        for place, name in enumerate(table.column_names):
            new = {line: values[name] for line, values in changes.items() if name in values}
            if not new:
                continue
            column = table.column(place)
            kind = column.type
            if any(isinstance(value, str) for value in new.values()) and not (
                pa.types.is_string(kind) or pa.types.is_large_string(kind)
            ):
                kind = pa.string()
                column = column.cast(kind)
            items = column.combine_chunks()
            mask = [False] * len(items)
            for line in new:
                mask[line - 1] = True
            values = [new[line] for line in sorted(new)]
            if pa.types.is_nested(kind):
                every = items.to_pylist()
                for line, value in new.items():
                    every[line - 1] = value
                items = pa.array(every, kind)
            else:
                items = pa.compute.replace_with_mask(items, pa.array(mask), pa.array(values, kind))
            table = table.set_column(place, pa.field(name, kind), items)
        with parquet.ParquetFile(self.path) as old:
            compression = old.metadata.row_group(0).column(0).compression
        parquet.write_table(table, self.temporary, compression=compression)

    def _parquet_changes(self) -> dict[int, dict[str, Any]]:
        """Line (from 1) to what changes in it."""
        source = parquet_source([self.path], self.contract)
        found: dict[int, dict[str, Any]] = {}
        with duckdb.connect(config={"threads": "1", "memory_limit": "512MB"}) as connection:
            cursor = connection.execute(
                f"select * exclude (file_index) from {source} order by line"
            )
            names = [column[0] for column in cursor.description or []]
            while rows := cursor.fetchmany(10_000):
                for row in rows:
                    if not self.scrubber.may_be_in(
                        "\n".join(str(item) for item in row[1:] if item is not None).encode()
                    ):
                        continue
                    values = dict(zip(names, row, strict=True))
                    line, extra = values.pop("line"), values.pop("_extra")
                    more = orjson.loads(extra) if extra else {}
                    changes = self._parquet_row(line, values | more)
                    if changes:
                        self._lose({name: values.get(name) for name in changes})
                        found[line] = changes
        return found

    def _parquet_row(self, line: int, values: dict[str, Any]) -> dict[str, Any]:
        if line in self.rejected:
            return dict.fromkeys(values) if self.scrubber.is_named(values) else {}
        return self.scrubber.changes(self.contract, values)

    def _lose(self, values: Values) -> None:
        """Note what goes of the sums that a control file may hold."""
        for name, value in values.items():
            if re.fullmatch("-?[0-9]+", str(value)):
                self.lost[name] = self.lost.get(name, 0) + int(str(value))

    def _write_control(self, new: NewFile) -> None:
        control = self.path.with_name(self.path.name + CONTROL_SUFFIX)
        if not control.exists():
            return
        try:
            totals = json.loads(control.read_bytes())
            if str(totals.get("sha256", "")).lower() == new.old_sha256:
                totals["sha256"] = new.sha256
            for name in totals.get("sums") or {}:
                totals["sums"][name] -= self.lost.get(name, 0)
        except (ValueError, AttributeError, TypeError):
            # What ingestion cannot read either.
            return
        temporary = control.with_name(f".{control.name}.erased.tmp")
        temporary.write_text(json.dumps(totals, ensure_ascii=False), encoding="utf-8")
        shutil.copymode(control, temporary)
        status = control.stat()
        os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns))
        durable.sync(temporary)
        new.control_temporary = _beside(self.file.path, temporary)
        new.control_bytes = temporary.stat().st_size
        new.control_mtime_ns = status.st_mtime_ns


def swap(root: Path, files: Iterable[NewFile]) -> None:
    """Put the new files in place of the old; done twice, it does nothing more."""
    for file in files:
        path = (root / file.path).resolve()
        control = path.with_name(path.name + CONTROL_SUFFIX)
        for temporary, target in ((file.temporary, path), (file.control_temporary, control)):
            if temporary is not None:
                new = path.with_name(Path(temporary).name)
                if new.exists():
                    new.replace(target)
        durable.sync(path.parent)


def discard(root: Path, files: Iterable[NewFile]) -> None:
    """Remove new files that are not wanted after all."""
    for file in files:
        folder = (root / file.path).resolve().parent
        for name in (file.temporary, file.control_temporary):
            if name is not None:
                (folder / Path(name).name).unlink(missing_ok=True)


def clear_leftovers(root: Path) -> None:
    """Remove new files that a kill left behind before they were noted."""
    for path in root.rglob(".*.tmp"):
        if re.search(r"\.erased(-\d+)?\.tmp$", path.name):
            path.unlink(missing_ok=True)


def other_files(root: Path, files: Iterable[Landed]) -> Iterator[Path]:
    """Files in the landing zone that are no landing files."""
    known = {(root / file.path).resolve() for file in files}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.resolve() not in known:
            yield path


def ready_files(root: Path) -> list[Landed]:
    """The landing zone's files that ingestion takes."""
    return look(root).files


def _physical(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines with their ends."""
    held: list[bytes] = []
    for piece in pieces:
        *whole, rest = piece.split(b"\n")
        for data in whole:
            held.append(data + b"\n")
            yield b"".join(held)
            held = []
        if rest:
            held.append(rest)
    if held:
        yield b"".join(held)


@contextmanager
def _writer(path: Path, compression: str) -> Iterator[IO[bytes]]:
    with path.open("wb") as handle:
        if compression == "gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=handle, mtime=0) as out:
                yield cast("IO[bytes]", out)
        elif compression == "zst":
            with zstandard.ZstdCompressor().stream_writer(handle, closefd=False) as writer:
                yield cast("IO[bytes]", writer)
        else:
            yield handle


def _beside(path: str, temporary: Path) -> str:
    return str(Path(path).with_name(temporary.name))


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
