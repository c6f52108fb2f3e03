"""Short ways to write changes of records and files that arrive."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.faults.fault import Delivery, InjectionError, Record

Wanted = Callable[[Record], object]
Change = Callable[[Delivery], None]


def each(change: Callable[[Record], None], wanted: Wanted = bool, least: int = 1) -> Change:
    """Apply a change to a share of the records that are wanted."""

    def apply(delivery: Delivery) -> None:
        for record in delivery.some(wanted, least):
            change(record)

    return apply


def given(field: str) -> Wanted:
    """Records that have the field."""
    return lambda record: record.get(field) not in (None, "")


def put(field: str, value: object) -> Change:
    """Set a field that is there."""

    def change(record: Record) -> None:
        record[field] = value

    return each(change, given(field))


def turn(field: str, change: Callable[[str], object], least: int = 1) -> Change:
    """Turn a field's text into something else."""

    def apply(record: Record) -> None:
        record[field] = change(str(record[field]))

    return each(apply, given(field), least)


def lost(field: str) -> Change:
    """Leave a field out."""

    def change(record: Record) -> None:
        del record[field]

    return each(change, given(field))


def renamed(field: str, name: str) -> Change:
    """Send a field under another name."""

    def change(record: Record) -> None:
        record[name] = record.pop(field)

    return each(change, given(field))


def shifted(field: str, by: timedelta) -> Change:
    """Move a time."""
    return turn(field, lambda text: moved(text, by))


def moved(text: str, by: timedelta) -> str:
    """An ISO time, moved."""
    return (datetime.fromisoformat(text) + by).isoformat()


def again(change: Callable[[Record, int], None], least: int = 1) -> Change:
    """Send a share of the records a second time, changed; the number tells the copies apart."""

    def apply(delivery: Delivery) -> None:
        chosen = {id(record) for record in delivery.some(bool, least)}
        number = 0
        for name, records in delivery.files.items():
            copies = [dict(record) for record in records if id(record) in chosen]
            for copy in copies:
                number += 1
                change(copy, number)
            delivery.files[name] = records + copies

    return apply


def dropped(unwanted: Callable[[Record, float, str], object]) -> Change:
    """Leave records out; the function gets the record, the rate and the last date of all."""

    def apply(delivery: Delivery) -> None:
        times = [str(record["occurred_at"]) for record in delivery.records()]
        last = max(datetime.fromisoformat(text) for text in times).date().isoformat()
        for name, records in delivery.files.items():
            delivery.files[name] = [
                record for record in records if not unwanted(record, delivery.rate, last)
            ]

    return apply


def newest(delivery: Delivery) -> list[Path]:
    """The files that a rate is about: the newest one, or at a large rate all of them.

    Raises InjectionError if there is none.
    """
    files = sorted(delivery.folder.rglob("*.jsonl"), key=lambda path: (path.stem, path))
    if not files:
        raise InjectionError("no file was delivered")
    return files if delivery.rate > 0.1 else files[-1:]


def bytewise(change: Callable[[bytes], bytes], suffix: str = "") -> Change:
    """Change the bytes of files; `suffix` is added to their names, `.gz` packs them before."""

    def apply(delivery: Delivery) -> None:
        for path in newest(delivery):
            data = path.read_bytes()
            if suffix == ".gz":
                data = gzip.compress(data, mtime=0)
            path.unlink()
            path.with_name(path.name + suffix).write_bytes(change(data))

    return apply


def promised(change: Callable[[list[str]], list[str]]) -> Change:
    """Write control totals for the files as they are, then change their lines."""

    def apply(delivery: Delivery) -> None:
        for path in newest(delivery):
            lines = path.read_text("utf-8").splitlines()
            totals = path.with_name(f"{path.name}.control.json")
            totals.write_text(json.dumps({"lines": len(lines)}), encoding="utf-8")
            path.write_text("\n".join(change(lines)) + "\n", encoding="utf-8")

    return apply


def line_by_line(change: Callable[[str], str]) -> Change:
    """Change a share of the written lines."""

    def apply(delivery: Delivery) -> None:
        for path in sorted(delivery.folder.rglob("*.jsonl")):
            lines = path.read_text("utf-8").split("\n")[:-1]
            count = min(len(lines), max(1, round(delivery.rate * len(lines))))
            for number in delivery.rng.sample(range(len(lines)), count):
                lines[number] = change(lines[number])
            path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogatepass")

    return apply
