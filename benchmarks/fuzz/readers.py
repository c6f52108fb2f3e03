"""What is fuzzed: every reader of the product, each with good files to spoil and its own judge."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import zstandard
from hypothesis import strategies as st

from benchmarks.fuzz.judge import FindingError, judge_text
from benchmarks.fuzz.strategies import CANARY, Draw, Files, spoil, spoilt
from orchestration.errors import TandemError
from orchestration.settings import Settings

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "unit" / "connectors" / "fixtures"
SEEDS = Path(__file__).parent / "seeds"
KEY = "fuzz-key-0123456789abcdef"
EVENT = {
    "source": "app",
    "event_id": "e1",
    "account_id": "a1",
    "event_type": "read",
    "occurred_at": "2026-05-01T08:00:00+08:00",
    "dwell_ms": 5,
    "query": "words",
    "topic": "1.10",
    "properties": {"a": [1, 2]},
    "received_at": "2026-05-02T00:00:00Z",
    "later": "extra",
}
EXPERIMENT = {
    "source": "app",
    "experiment_id": "x",
    "updated_at": "2026-05-01T00:00:00Z",
    "unit": "account",
    "starts_at": "2026-05-01T00:00:00Z",
    "variants": {"a": 1, "b": 2},
}


@dataclass(frozen=True)
class Reader:
    """One target: `inputs` draws the files, `run` reads them from the folder's `in`."""

    name: str
    inputs: st.SearchStrategy[Files]
    run: Callable[[Path], None]
    weight: int = 1
    """How much of a run's time it gets."""


def _seed(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _one_by_one(folder: Path) -> list[Files]:
    return [{name: data} for name, data in _seed(folder).items()]


def settings_at(home: Path, **values: Any) -> Settings:
    """Settings of a fuzzed home: small, and with a fixed clock and key."""
    return Settings.model_validate(
        {
            "home": home,
            "key": KEY,
            "threads": 1,
            "memory_limit": "400MB",
            "now": "2026-06-01T00:00:00Z",
        }
        | values
    )


# Converters -----------------------------------------------------------------------------------


def _convert(
    format_name: str, zone: str | None = None, *, folder: bool = True, **more: str
) -> Callable[[Path], None]:
    def run(place: Path) -> None:
        from orchestration.connectors import ConversionError, ConvertOptions, convert

        given = place / "in"
        if not folder:
            inside = sorted(path for path in given.rglob("*") if path.is_file())
            given = inside[0] if inside else given / "gone"
        options = {name: value.replace("{in}", str(place / "in")) for name, value in more.items()}
        landing = place / "out"
        try:
            report = convert(
                format_name, given, landing, "fuzz", zone, ConvertOptions(more=options)
            )
        except ConversionError as error:
            _nothing_in(landing)
            if not any(str(part) in str(error) for part in (given, place)):
                raise FindingError(f"the error names no file: {error}") from None
            raise
        judge_text(json.dumps(report.to_dict(), ensure_ascii=False), "the report", 20_000)
        _judge_landed(landing, report.records_out)

    return run


def _nothing_in(landing: Path) -> None:
    left = sorted(path.relative_to(landing).as_posix() for path in landing.rglob("*"))
    if left:
        raise FindingError(f"a conversion that failed left {left[:3]}")


def _judge_landed(landing: Path, records_out: Mapping[str, int]) -> None:
    """Every landed line is an object of the source, and there are as many as were reported."""
    found: dict[str, int] = {}
    for path in sorted(item for item in landing.rglob("*") if item.is_file()):
        if not path.name.endswith(".jsonl.zst"):
            raise FindingError(f"left behind: {path.name}")
        log = "/".join(path.relative_to(landing).parts[:2])
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
            for line in io.BufferedReader(stream):
                try:
                    record = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise FindingError(f"{log}: landed a line that is no JSON: {error}") from None
                if not isinstance(record, dict) or record.get("source") != "fuzz":
                    raise FindingError(f"{log}: landed a line without its source")
                found[log] = found.get(log, 0) + 1
    if found != dict(records_out):
        raise FindingError(f"reported {dict(records_out)}, landed {found}")


_HOSTILE_NAMES = (
    "../outside.json",
    "/outside.json",
    "a/../../outside.json",
    "C:\\outside.json",
    "channels.json",
    "general/../channels.json",
    "odd\n\x1b[31m.json",
    "x" * 300 + ".json",
    "con.jsonl",
    "chat.txt",
    "messages-000001.json",
    "realm.json",
    "dump.sql",
)


@st.composite
def _zipped(draw: Draw, files: st.SearchStrategy[Files], name: str) -> Files:
    """The files as one zip: with odd members, or its own bytes spoilt."""
    inner: Files = draw(files)
    sink = io.BytesIO()
    method = draw(st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_LZMA]))
    with zipfile.ZipFile(sink, "w", method) as archive:
        for member, data in inner.items():
            archive.writestr(member, data)
        if draw(st.booleans()):
            archive.writestr(draw(st.sampled_from(_HOSTILE_NAMES)), draw(st.sampled_from(_INNER)))
    made = {name: sink.getvalue()}
    return spoil(draw, [made], 2) if draw(st.booleans()) else made


_INNER = (b"[]", b"{}", b"", b"\0" * 3_000_000, b"[" * 200_000, b'{"a":"' + b"x" * 3_000_000)


@st.composite
def _tarred(draw: Draw, files: st.SearchStrategy[Files], name: str) -> Files:
    """The files as one compressed tar: with odd members, or its own bytes spoilt."""
    inner: Files = draw(files)
    sink = io.BytesIO()
    mode: Any = "w:gz" if name.endswith("gz") else "w"
    with tarfile.open(fileobj=sink, mode=mode) as archive:
        for member, data in inner.items():
            info = tarfile.TarInfo(f"export/{member}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        if draw(st.booleans()):
            info = tarfile.TarInfo(draw(st.sampled_from(_HOSTILE_NAMES)))
            kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
            info.type = draw(st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, *kinds]))
            info.linkname = draw(st.sampled_from(["/etc/passwd", "../../x", "realm.json", ""]))
            data = draw(st.sampled_from(_INNER)) if info.type == tarfile.REGTYPE else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    made = {name: sink.getvalue()}
    return spoil(draw, [made], 2) if draw(st.booleans()) else made


@st.composite
def _gzipped(draw: Draw, files: st.SearchStrategy[Files]) -> Files:
    inner: Files = draw(files)
    made = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in inner.items()}
    return spoil(draw, [made], 1) if draw(st.booleans()) else made


def _mapping_seeds() -> list[Files]:
    shop = _seed(FIXTURES / "mapping")
    plain = {"map.yml": shop["shop.yml"], "data/shop.csv": shop["shop.csv"]}
    header, *rows = shop["shop.csv"].decode("utf-8-sig").splitlines()
    names = header.split(",")
    lines = [
        json.dumps(dict(zip(names, row.split(","), strict=False)), ensure_ascii=False)
        for row in rows
    ]
    return [plain, {"map.yml": shop["shop.yml"], "data/shop.jsonl": "\n".join(lines).encode()}]


def _run_mapping(place: Path) -> None:
    from orchestration.connectors import ConversionError, ConvertOptions, convert

    landing = place / "out"
    options = ConvertOptions(more={"map": str(place / "in" / "map.yml")})
    try:
        report = convert("mapping", place / "in" / "data", landing, "fuzz", None, options)
    except ConversionError as error:
        _nothing_in(landing)
        # A mapping is its author's own: its faults may quote it, and say all of them.
        raise type(error)(str(error).replace(CANARY, "…")[:4000]) from None
    _judge_landed(landing, report.records_out)


# Landing files --------------------------------------------------------------------------------


@cache
def _template() -> bytes:
    """A warehouse with its tables and nothing in them, to begin each input with."""
    import tempfile

    from orchestration.ingest import ingest

    folder = Path(tempfile.mkdtemp())
    try:
        settings = settings_at(folder)
        ingest(settings)
        return settings.warehouse_path.read_bytes()
    finally:
        shutil.rmtree(folder)


def _ingest(place: Path) -> None:
    """Ingest, and hold the ledger against the files; a second time changes nothing."""
    from orchestration.ingest import ingest, list_quarantine, pending

    home = place / "out"
    (home / "warehouse.duckdb").write_bytes(_template())
    settings = settings_at(home, landing=place / "in")
    try:
        report = ingest(settings)
    except TandemError as error:
        # What lies in a landing zone is quarantined; it never stops what lies beside it.
        raise FindingError(f"ingest gave up: {error}") from error
    for file in report.files:
        if file.lines_read != file.accepted + file.rejected + file.duplicates:
            raise FindingError(f"{file.path}: its lines do not add up")
        _judge_count(place / "in" / file.path, file.state, file.reason, file.lines_read)
    _judge_stored(settings)
    list_quarantine(settings)
    if ingest(settings).files or pending(settings):
        raise FindingError("taking the same files again took something")


def _judge_count(path: Path, state: str, reason: str | None, lines: int) -> None:
    """A loaded file of JSON lines has as many lines as are in it."""
    if state != "loaded":
        if reason not in ("unreadable_file", "control_mismatch") or lines:
            raise FindingError(f"a {state} file has reason {reason} and {lines} lines")
        return
    name = path.name
    data = path.read_bytes()
    if name.endswith(".gz"):
        data = gzip.decompress(data)
    elif name.endswith(".zst"):
        data = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(data)
    if ".jsonl" in name:
        there = sum(1 for line in data.split(b"\n") if line.strip())
        if there != lines:
            raise FindingError(f"{lines} lines read of {there}")


def _judge_stored(settings: Settings) -> None:
    from orchestration.contracts import contracts
    from orchestration.warehouse import open_warehouse

    with open_warehouse(settings, read_only=True) as connection:
        run = connection.execute
        unions = " union all ".join(
            f"select _file_id from raw.{contract.table}" for contract in contracts().values()
        )
        wrong = run(
            f"""
            select files.path from control.files as files
            where files.accepted <> (
                select count(*) from ({unions}) as rows where rows._file_id = files.file_id
            ) or files.rejected <> (
                select count(*) from quarantine.lines as lines
                where lines.file_id = files.file_id and lines.line is not null
            )
            """
        ).fetchall()
        if wrong:
            raise FindingError("the ledger's counts are not those of the tables")
        rows = run("select * from quarantine.lines where raw_text is null and line is not null")
        if rows.fetchall():
            raise FindingError("a rejected line without its text")
        # Field names are the producer's; what stands in them is not for the ledger.
        texts = run("select path, log, coalesce(reason, '') from quarantine.lines").fetchall()
        judge_text("\n".join("\n".join(row) for row in texts), "the quarantine", 100_000)


def _replay(place: Path) -> None:
    from orchestration.ingest import ingest, replay_quarantine

    home = place / "out"
    (home / "warehouse.duckdb").write_bytes(_template())
    settings = settings_at(home, landing=place / "in")
    try:
        ingest(settings)
        replay_quarantine(settings)
    except TandemError as error:
        raise FindingError(f"replay gave up: {error}") from error
    _judge_stored(settings)
    again = replay_quarantine(settings)
    if again.accepted or again.duplicates:
        raise FindingError("a second replay accepted what the first did not")


_NAME = b"community/events/a"


@cache
def _landing_seeds() -> dict[str, list[Files]]:
    records = [
        EVENT | {"event_id": f"e{number}", "dwell_ms": number, "topic": f"t{number}"}
        for number in range(6)
    ]
    body = b"".join(orjson.dumps(record) + b"\n" for record in records)
    regular = b"".join(
        orjson.dumps({name: value for name, value in record.items() if name != "later"}) + b"\n"
        for record in records
    )
    experiments = orjson.dumps(EXPERIMENT) + b"\n"
    table = _csv_of(records)
    sums = b'{"lines": 6, "sums": {"dwell_ms": 15}}'
    return {
        "jsonl": [
            {"community/events/a.jsonl": body},
            {"community/events/a.jsonl": regular},
            {
                "community/events/a.jsonl": body,
                "community/events/a.jsonl.control.json": sums,
                "operations/experiments/b.jsonl": experiments,
            },
        ],
        "csv": [
            {"community/events/a.csv": table},
            {"community/events/a.csv": table, "community/events/a.csv.control.json": sums},
        ],
        "packed": [
            {"community/events/a.jsonl.gz": gzip.compress(body, mtime=0)},
            {"community/events/a.jsonl.zst": zstandard.compress(body)},
            {"community/events/a.csv.gz": gzip.compress(table, mtime=0)},
            {"community/events/a.csv.zst": zstandard.compress(table)},
            {"community/events/a.jsonl.gz": gzip.compress(body, mtime=0) * 2},
        ],
        "parquet": _parquet_seeds(records),
    }


def _csv_of(records: list[dict[str, Any]]) -> bytes:
    import csv

    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(records[0])
    for record in records:
        writer.writerow(
            json.dumps(value) if isinstance(value, dict) else value for value in record.values()
        )
    return text.getvalue().encode()


def _parquet_seeds(records: list[dict[str, Any]]) -> list[Files]:
    import pyarrow as pa
    from pyarrow import parquet

    found: list[Files] = []
    texts = [
        {name: orjson.dumps(v).decode() if isinstance(v, dict) else str(v) for name, v in r.items()}
        for r in records
    ]
    for rows, compression in ((texts, "zstd"), (texts, "snappy"), (records, "none")):
        sink = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(rows), sink, compression=compression)
        found.append({"community/events/a.parquet": sink.getvalue()})
    return found


@st.composite
def _typed_parquet(draw: Draw) -> Files:
    """A sound Parquet file with columns of any type, name and nesting."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = [
        pa.int8(), pa.uint64(), pa.float16(), pa.float64(), pa.bool_(), pa.string(), pa.binary(),
        pa.date32(), pa.date64(), pa.time64("ns"), pa.timestamp("ns", "UTC"), pa.timestamp("s"),
        pa.timestamp("us", "Asia/Shanghai"), pa.decimal128(38, 10), pa.decimal256(60, 3),
        pa.list_(pa.int32()), pa.struct([("a", pa.string()), ("", pa.int8())]),
        pa.map_(pa.string(), pa.float64()), pa.null(), pa.duration("us"),
        pa.large_list(pa.list_(pa.timestamp("ms"))), pa.dictionary(pa.int32(), pa.string()),
    ]  # fmt: skip
    names = [*EVENT, "", "a.b", '"', "'; --", CANARY + "\x1b[31m", "EVENT_ID", "_extra", "line"]
    columns: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=14, unique=True)):
        kind = draw(st.sampled_from(kinds))
        values = draw(st.lists(_value_of(kind), min_size=3, max_size=3))
        try:
            columns[name] = pa.array(values, kind)
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            columns[name] = pa.nulls(3, kind)
    sink = io.BytesIO()
    try:
        parquet.write_table(pa.table(columns), sink)
    except (pa.ArrowException, NotImplementedError):
        return {"community/events/a.parquet": b"PAR1"}
    return {"community/events/a.parquet": sink.getvalue()}


def _value_of(kind: Any) -> st.SearchStrategy[Any]:
    from pyarrow import types

    base: list[Any] = [None]
    if types.is_string(kind) or types.is_dictionary(kind):
        base += [CANARY, "", "\x00", "2026-05-01T00:00:00Z", "e1"]
    elif types.is_binary(kind):
        base += [b"\xff\xfe", CANARY.encode(), b""]
    elif types.is_floating(kind):
        base += [float("nan"), float("inf"), -0.0, 1e308, 1.5]
    elif types.is_list(kind) or types.is_large_list(kind):
        base += [[], [None], [1, 2]]
    elif types.is_struct(kind):
        base += [{"a": CANARY, "": 1}, {}]
    elif types.is_map(kind):
        base += [[("a", 1.0), ("a", float("nan"))], []]
    elif not types.is_null(kind):
        base += [0, 1, -1, 2**31 - 1, -(2**62), 2**62]
    return st.sampled_from(base)


_LANDING_NAMES = (
    "community/events/it's.jsonl",
    "community/events/a\nb.jsonl",
    "community/events/a\x1b[31m.jsonl",
    "community/events/[red]*?[a].jsonl",
    "community/events/%2e%2e%2fa.jsonl",
    "community/events/a=b/c='x'.jsonl",
    "community/events/\u202efdp.jsonl",
    'community/events/"; drop table control.files; --.jsonl',
    "community/events/" + "n" * 240 + ".jsonl",
    "community/events/" + "/".join(["d" * 50] * 30) + "/a.jsonl",
    "community/events/a.JSONL",
    "community/events/a.exe",
    "community/events/.jsonl",
    "community/events/ .jsonl",
    "community/events/..jsonl",
    "community/ev'ents/a.jsonl",
    "comm unity/events/a.jsonl",
    "community/a.jsonl",
    "a.jsonl",
    "community/events/$HOME`id`.jsonl",
    "community/events/http:/x/a.jsonl",
    "community/events/\udcff\udcfe.jsonl",
    "community/\udcff/a.jsonl",
    "\udcff",
    "community/events/\udcff/a.jsonl",
)


@st.composite
def _named(draw: Draw) -> Files:
    body = _landing_seeds()["jsonl"][0]["community/events/a.jsonl"]
    names = draw(st.lists(st.sampled_from(_LANDING_NAMES), min_size=1, max_size=5, unique=True))
    found: Files = {}
    for number, name in enumerate(names):
        if not any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in found):
            found[name] = body.replace(b'"e', f'"{number}e'.encode())
    return found


# Settings, definitions, ledgers ------------------------------------------------------------------

_TOML = b"""\
timezone = "Asia/Shanghai"
reporting_currency = "CNY"
rfm_recency_days = 30
experiment_srm_min_p = 0.001
memory_limit = "400MB"
landing = "landing"
as_of_date = 2026-05-01
touch_scene_kinds = ["live_class", "homework"]
[audience]
packs = ["packs"]
[[funnels]]
name = "first"
window_days = 7
steps = ["view", "pay"]
"""


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    import os

    before = dict(os.environ)
    for name in before:
        if name.startswith("TANDEM_"):
            del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _settings(place: Path) -> None:
    from orchestration.errors import SettingsError
    from orchestration.settings import load_settings

    path = place / "in" / "tandem.toml"
    with _environment(TANDEM_CONFIG=str(path)):
        try:
            load_settings()
        except SettingsError as error:
            # The file is its operator's own, who is told what stands in it.
            raise SettingsError(str(error).replace(CANARY, "…")) from None


def _pack(place: Path) -> None:
    from orchestration.audience.definition import SpecError
    from orchestration.audience.policy import AudiencePolicy
    from orchestration.audience.spec import compile_spec

    for path in sorted((place / "in").glob("*.yml")):
        try:
            compile_spec(path, AudiencePolicy())
        except SpecError as error:
            raise SpecError(
                [line.replace(CANARY, "…")[:300] for line in error.problems[:10]]
            ) from None


_YAML_BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n".encode()
    for n in range(8)
)
_POLICIES: list[Files] = [
    {
        "p.yaml": b"policies:\n- {source: app, policy_id: p1, scope: platform, share_bps: 5000, "
        b"valid_from: 2026-01-01}\n"
        b"- {source: app, policy_id: p2, scope: node, scope_id: n1, share_bps: 10, "
        b"valid_from: 2026-01-01}\n"
    },
    {"p.csv": b"source,policy_id,scope,share_bps,valid_from\napp,p1,platform,5000,2026-01-01\n"},
    {
        "p.jsonl": b'{"source":"app","policy_id":"p1","scope":"platform","share_bps":5000,'
        b'"valid_from":"2026-01-01"}\n'
    },
    {"p.yaml": _YAML_BOMB + b"policies: *i\n"},
    {"p.yaml": b"policies: &a\n- *a\n"},
]


def _policies(place: Path) -> None:
    from orchestration.payouts.policies import read_policies

    for path in sorted((place / "in").iterdir()):
        try:
            read_policies(path)
        except TandemError as error:
            raise TandemError(str(error).replace(CANARY, "…")) from None


@cache
def _pack_seed() -> Files:
    """A released version's folder, as far as verification reads it."""
    import hashlib

    import pyarrow as pa
    from pyarrow import csv, parquet

    table = pa.table({"region": ["north", "north", "south"], "topic": ["a", "b", "a"]})
    sink, text = io.BytesIO(), io.BytesIO()
    parquet.write_table(table, sink)
    csv.write_csv(table, text)
    files = {"rows.parquet": sink.getvalue(), "rows.csv": text.getvalue()}
    manifest = {
        "pack": "seeds",
        "version": 1,
        "kind": "rows",
        "purpose": "coldstart",
        "recipients": ["growth"],
        "created_at": "2026-05-01T00:00:00Z",
        "expires_at": "2026-08-01T00:00:00Z",
        "snapshot_id": "s",
        "spec_sha256": "0" * 64,
        "columns": [
            {"name": "region", "type": "VARCHAR", "role": "quasi_identifier"},
            {"name": "topic", "type": "VARCHAR", "role": "sensitive"},
        ],
        "quasi_identifiers": ["region"],
        "sensitive": ["topic"],
        "guarantee": {
            "epsilon": 1, "delta": 1e-8, "beta": 0.3, "k": 1, "l": 1, "alpha": 0.5, "t": 0.6,
        },
        "composition": {"population": "community"},
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "rows": 3}
            for name, data in files.items()
        },
        "attacks": [{"id": "x", "value": 0.1, "gate": 0.2, "pass": True}],
        "ledger": {"seq": 1, "row_hash": "0" * 64},
        "libraries": {},
        "hmac": "0" * 64,
    }  # fmt: skip
    return {"manifest.json": json.dumps(manifest).encode(), **files}


def _verify_pack(place: Path) -> None:
    from orchestration.audience.verify import verify_pack

    home = place / "out"
    (home / "warehouse.duckdb").write_bytes(_template())
    folder = home / "exports" / "seeds" / "v001"
    folder.parent.mkdir(parents=True)
    shutil.copytree(place / "in", folder)
    _, checks = verify_pack(settings_at(home), "seeds")
    if all(check.passed for check in checks):
        raise FindingError("a pack that was never released was found to be sound")
    judge_text("\n".join(check.detail.replace(CANARY, "…") for check in checks), "a check")


@cache
def _served_seed() -> Files:
    """A small database with a published file's marks and a payout ledger."""
    import tempfile

    import duckdb

    folder = Path(tempfile.mkdtemp())
    path = folder / "marts.duckdb"
    try:
        with duckdb.connect(str(path)) as connection:
            connection.execute("create schema revenue; create schema users; create schema quality")
            connection.execute(
                "create table main._publish as select 1 as version, timestamp '2026-05-01' as "
                "published_at, date '2026-04-30' as as_of_date, 'b' as build_id"
            )
            connection.execute(
                "create table main._publish_tables as select 'users.daily_active' as table_name, "
                "1 as row_count"
            )
            connection.execute(
                f"""
                create table revenue.payout_ledger as select 1 as seq, date '2026-05-01' as
                    posted_on, date '2026-04-01' as month, 'pro_rata' as model, 'post' as
                    entry_kind, '{CANARY}' as payee, 5 as amount_minor, 0 as refunds_minor,
                    'c' as payee_commitment, repeat('0', 64) as prev_hash, 'x' as row_hash
                """
            )
        return {"marts.duckdb": path.read_bytes()}
    finally:
        shutil.rmtree(folder)


def _serve(place: Path) -> Path:
    home = place / "out"
    (home / "serving").mkdir(parents=True)
    for path in (place / "in").iterdir():
        shutil.copy(path, home / "serving" / path.name)
    return home


def _verify_payouts(place: Path) -> None:
    from orchestration.payouts import verify

    home = _serve(place)
    report = verify(settings_at(home), published=True)
    if report.ok and report.rows:
        raise FindingError("a ledger with a wrong hash was found to be in order")


def _dashboard(place: Path) -> None:
    from dashboard.site import build_site

    home = _serve(place)
    build_site(home / "serving" / "marts.duckdb", home / "site")


def _convert_readers() -> list[Reader]:
    made = []
    whole = {
        "telegram": [{"result.json": _seed(SEEDS / "telegram")["result.json"]}],
        "discord": [_seed(SEEDS / "discord")],
        "zulip": [_seed(SEEDS / "zulip")],
        "mattermost": [_seed(FIXTURES / "mattermost")],
        "slack": [_seed(FIXTURES / "slack")],
        "stackexchange": [_seed(FIXTURES / "stackexchange")],
        "discourse": [_seed(FIXTURES / "discourse")],
        "wecom": [*_one_by_one(FIXTURES / "wecom"), _seed(FIXTURES / "wecom")],
        "zsxq": [_seed(FIXTURES / "zsxq")],
    }
    alone = ("telegram",)
    for name, seeds in whole.items():
        made.append(
            Reader(f"convert/{name}", spoilt(seeds), _convert(name, folder=name not in alone))
        )
    for name, zone in (("irc", "Europe/Berlin"), ("whatsapp", "Europe/Berlin")):
        more = {"channel": "#tea", "date": "2024-05-13"} if name == "irc" else {"date_order": "dmy"}
        made.append(
            Reader(
                f"convert/{name}",
                spoilt(_one_by_one(SEEDS / name)),
                _convert(name, zone, folder=False, **more),
            )
        )
    made.append(Reader("convert/mapping", spoilt(_mapping_seeds()), _run_mapping))
    slack = spoilt(whole["slack"], most=1)
    zulip = spoilt(whole["zulip"], most=1)
    chat = st.just({"WhatsApp Chat with Tea.txt": _seed(SEEDS / "whatsapp")["android.txt"]})
    dump = spoilt(whole["discourse"], most=1)
    made += [
        Reader("zip/slack", _zipped(slack, "slack.zip"), _convert("slack", folder=False)),
        Reader(
            "zip/mattermost",
            _zipped(st.just(whole["mattermost"][0]), "m.zip"),
            _convert("mattermost", folder=False),
        ),
        Reader(
            "zip/whatsapp",
            _zipped(chat, "c.zip"),
            _convert("whatsapp", "Europe/Berlin", folder=False, date_order="dmy"),
        ),
        Reader("tar/zulip", _tarred(zulip, "z.tar.gz"), _convert("zulip", folder=False)),
        Reader("tar/discourse", _tarred(dump, "d.tar.gz"), _convert("discourse", folder=False)),
        Reader("gzip/discourse", _gzipped(dump), _convert("discourse", folder=False)),
    ]
    return made


@cache
def readers() -> dict[str, Reader]:
    """Every target by its name."""
    landing = _landing_seeds()
    made = _convert_readers()
    made += [
        Reader("ingest/jsonl", spoilt(landing["jsonl"]), _ingest, 2),
        Reader("ingest/csv", spoilt(landing["csv"]), _ingest, 2),
        Reader("ingest/packed", spoilt(landing["packed"]), _ingest),
        Reader("ingest/parquet", spoilt(landing["parquet"]), _ingest),
        Reader("ingest/parquet types", _typed_parquet(), _ingest),
        Reader("ingest/names", _named(), _ingest),
        Reader("replay/jsonl", spoilt(landing["jsonl"]), _replay),
        Reader("replay/csv", spoilt(landing["csv"]), _replay),
        Reader("settings", spoilt([{"tandem.toml": _TOML}]), _settings),
        Reader(
            "packs/definition",
            spoilt([{path.name: path.read_bytes()} for path in _shipped()]),
            _pack,
        ),
        Reader("packs/verify", spoilt([_pack_seed()]), _verify_pack),
        Reader("payouts/policies", spoilt(_POLICIES), _policies),
        Reader("payouts/verify", spoilt([_served_seed()]), _verify_payouts),
        Reader("dashboard", spoilt([_served_seed()]), _dashboard),
    ]
    return {reader.name: reader for reader in made}


def _shipped() -> list[Path]:
    from orchestration.audience.spec import SHIPPED

    return sorted(SHIPPED.glob("*.yml"))
