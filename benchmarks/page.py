"""The page docs/benchmarks.md and its plots, from whatever was measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks.measured import Record
from benchmarks.platforms import events_of
from benchmarks.plots import Bar, bars, lines

BUSY = 0.05
"""A share of the cores used by others from which on a figure is marked."""
_BUILDS = ("tandem build", "bare limit", "queries of the rules")
_LOADERS = ("tandem ingest", "bare read", "dlt, Arrow", "dlt, dictionaries")
_RIVALS = (
    "tandem, five marts",
    "dagster and pandas",
    "polars",
    "spark local",
    "dbt, a process a model",
)
_COLD = {"tandem --help": 0.5, "tandem status": 1.0, "code location": 5.0}
_HEAD = """# Benchmarks

<!-- Made by `python -m benchmarks report`: edit benchmarks/page.py, not this page. -->

Every figure is the median of the rounds, with the least and the greatest in brackets and the
number of rounds where it is not three. Rounds are interleaved (A B A B), so that ratios come from
one run on one machine; a ratio is the median of the rounds' ratios. CPU is user and system time
of a process and its children, memory the peak of the whole process tree, where shared pages
count twice. Files are in the page cache for all alike. dbt's parse of the project and the data
tests' SQL are there before: they are made in a user's first build, which takes some 20 s longer,
and kept until the project changes.

"""
_HOW = """## How to run it

```sh
python -m benchmarks --sizes 1M,5M,20M --rounds 3
python -m benchmarks --only year --days 365
python -m benchmarks report
```

Records are kept in `<home>/benchmarks/records.jsonl`, or the folder that `--results` names; what
is there is not measured again, so a run that was stopped goes on. `--only` takes `data`, `cold`,
`load`, `build`, `rivals`, `incremental` and `year`; `--sizes 100M` measures 100 million events;
`--spark-python` names a Python that has PySpark. dlt and Polars come with the extra `bench`.
"""


@dataclass(frozen=True)
class Figures:
    """The rounds of one subject at one size."""

    rounds: Sequence[Record]

    @property
    def events(self) -> int:
        """Lines in the landing zone."""
        return self.rounds[0].events

    def value(self, of: Callable[[Record], float]) -> float:
        """The median of a figure."""
        return statistics.median(of(record) for record in self.rounds)

    def seconds(self, of: Callable[[Record], float] = lambda record: record.wall) -> str:
        """Median and spread in seconds, with the rounds where they are not three."""
        values = [of(record) for record in self.rounds]
        text = f"{statistics.median(values):,.2f} s"
        if len(values) > 1:
            text += f" ({min(values):,.2f}–{max(values):,.2f})"
        if len(values) != 3:
            text += f", n = {len(values)}"
        if any(record.foreign_share > BUSY for record in self.rounds):
            text += " ⚠"
        return text

    def row(self) -> list[str]:
        """Wall, CPU, memory, disk."""
        return [
            self.seconds(),
            f"{self.value(lambda record: record.cpu):,.1f} s",
            size_text(self.value(lambda record: record.peak_bytes)),
            size_text(self.value(lambda record: record.disk_bytes)),
        ]

    def bar(self, label: str, colour: int = 0) -> Bar:
        """The wall time as a bar."""
        walls = [record.wall for record in self.rounds]
        median = statistics.median(walls)
        return Bar(label, median, min(walls), max(walls), f"{median:,.1f} s", colour)


class Measured:
    """Records by part, subject and size."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = list(records)

    def get(self, part: str, subject: str, size: str) -> Figures | None:
        """The rounds of one subject; None when there are none."""
        found = [r for r in self.records if (r.part, r.subject, r.size) == (part, subject, size)]
        return Figures(sorted(found, key=lambda record: record.round)) if found else None

    def sizes(self, *parts: str) -> list[str]:
        """The sizes that parts were measured at, the smallest first."""
        found = {r.size for r in self.records if r.part in parts and r.size}
        return sorted(found, key=events_of)

    def ratio(
        self,
        over: tuple[str, str],
        under: tuple[str, str],
        size: str,
        of: Callable[[Record], float] = lambda record: record.wall,
    ) -> float | None:
        """The median over the rounds that both have of one figure over the other's."""
        a, b = self.get(*over, size), self.get(*under, size)
        if a is None or b is None:
            return None
        base = {record.round: of(record) for record in b.rounds}
        ratios = [of(r) / base[r.round] for r in a.rounds if base.get(r.round)]
        return statistics.median(ratios) if ratios else None


def write_page(records: Sequence[Record], docs: Path) -> Path:
    """Write `benchmarks.md` and `images/benchmarks/*.svg` under `docs`; the page's path."""
    images = docs / "images" / "benchmarks"
    images.mkdir(parents=True, exist_ok=True)
    measured = Measured(records)
    parts = [
        _HEAD,
        _machine(measured),
        _bars(measured),
        _build(measured, images),
        _load(measured, images),
        _rivals(measured, images),
        _incremental(measured),
        _year(measured, images),
        _cold(measured),
        _data(measured),
        _missing(measured),
        _HOW,
    ]
    path = docs / "benchmarks.md"
    path.write_text("\n".join(part.rstrip("\n") + "\n" for part in parts if part), "utf-8")
    return path


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines_ = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines_ += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines_) + "\n"


def size_text(size: float) -> str:
    """Bytes in decimal units."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return (
                f"{size / factor:,.2f} {unit}" if unit == "GB" else f"{size / factor:,.0f} {unit}"
            )
    return f"{size:.0f} B"


def _machine(measured: Measured) -> str:
    if not measured.records:
        return "Nothing was measured yet.\n"
    kinds = {tuple(sorted(r.machine.items())): r for r in measured.records}
    facts = []
    for found in kinds.values():
        at = [r.at[:10] for r in measured.records if r.machine == found.machine]
        m = found.machine
        facts.append(
            [
                str(m.get("processor")),
                str(m.get("cores")),
                size_text(float(m.get("memory_bytes", 0))),
                f"Python {m.get('python')}, DuckDB {m.get('duckdb')}, dbt {m.get('dbt')}, "
                f"Dagster {m.get('dagster')}",
                str(m.get("commit")),
                min(at) if min(at) == max(at) else f"{min(at)} to {max(at)}",
            ]
        )
    text = "## Machine\n\n"
    text += table(["processor", "cores", "memory", "versions", "commit", "measured"], facts)
    busy = sum(record.foreign_share > BUSY for record in measured.records)
    if busy:
        text += (
            f"\n⚠ marks {busy} of {len(measured.records)} measurements during which others used "
            f"more than {BUSY:.0%} of the cores: read their wall times as upper bounds, and "
            "rather the CPU times.\n"
        )
    return text


@dataclass(frozen=True)
class _Bar:
    name: str
    bound: float
    at_most: bool
    size: str | None
    values: dict[str, float]
    unit: str = ""

    def row(self) -> list[str]:
        sign = "≤" if self.at_most else "≥"
        head = f"{self.name} {sign} {self.bound:g}{self.unit}"
        if not self.values:
            return [head, "not run", "–"]
        size = self.size if self.size in self.values else list(self.values)[-1]
        value = self.values[size]
        shown = self.values if self.size is None else {size: value}
        text = ", ".join(
            f"{each:,.2f}{self.unit}" + (f" at {name}" if name else "")
            for name, each in shown.items()
        )
        if self.size is not None and size != self.size:
            return [head, text, f"not run at {self.size}"]
        met = value <= self.bound if self.at_most else value >= self.bound
        return [head, text, "yes" if met else "**no**"]


def _bars(measured: Measured) -> str:
    def ratios(
        over: tuple[str, str],
        under: tuple[str, str],
        of: Callable[[Record], float] = lambda record: record.wall,
    ) -> dict[str, float]:
        sizes = measured.sizes(over[0], under[0]) if over[0] != "incremental" else []
        found = {size: measured.ratio(over, under, size, of) for size in sizes}
        return {size: value for size, value in found.items() if value is not None}

    build, bare = ("build", "tandem build"), ("build", "bare limit")
    ingest = ("load", "tandem ingest")
    peaks = {
        size: found.value(lambda record: record.peak_bytes) / 1e9
        for size in measured.sizes("build")
        if (found := measured.get(*build, size)) is not None
    }
    rows = [
        _Bar("full build / bare limit at 20M", 1.25, True, "20M", ratios(build, bare)),
        _Bar(
            "the same with the queries of the rules in the limit",
            1.25,
            True,
            "20M",
            _over_all_queries(measured),
        ),
        _Bar("fixed overhead: a full build of one event", 12, True, None, _tiny(measured), " s"),
        *_day_bars(measured),
        _Bar(
            "load: times the throughput of dlt (dictionaries)",
            10,
            False,
            None,
            ratios(("load", "dlt, dictionaries"), ingest),
            " ×",
        ),
        _Bar(
            "load: times the throughput of dlt (Arrow tables, unvalidated)",
            10,
            False,
            None,
            ratios(("load", "dlt, Arrow"), ingest),
            " ×",
        ),
        _Bar(
            "load: times the throughput of the bare read",
            0.65,
            False,
            None,
            ratios(("load", "bare read"), ingest),
            " ×",
        ),
        _Bar(
            "full build (all marts): times as fast as Dagster and pandas (five marts) at 5M",
            5,
            False,
            "5M",
            ratios(("rivals", "dagster and pandas"), build),
            " ×",
        ),
        _Bar("peak memory at 20M", 4, True, "20M", peaks, " GB"),
        _Bar(
            "peak memory at 100M",
            12,
            True,
            "100M",
            {size: peak for size, peak in peaks.items() if events_of(size) >= 100_000_000},
            " GB",
        ),
        *_year_bars(measured),
        *(
            _Bar(
                name,
                bound,
                True,
                None,
                {"": found.value(lambda record: record.wall)} if found else {},
                " s",
            )
            for name, bound in _COLD.items()
            for found in [measured.get("cold", name, "")]
        ),
    ]
    body = table(["bar", "measured", "met"], [row.row() for row in rows])
    return f"## Bars\n\nOne that names no size is judged at the largest.\n\n{body}"


def _tiny(measured: Measured) -> dict[str, float]:
    found = {
        size: measured.get("incremental", "tiny full build", size)
        for size in measured.sizes("incremental")
    }
    values = [figures.value(lambda record: record.wall) for figures in found.values() if figures]
    return {"": values[-1]} if values else {}


def _day_bars(measured: Measured) -> list[_Bar]:
    shares, ratios = {}, {}
    for size in measured.sizes("incremental"):
        day = measured.get("incremental", "180 days", size)
        tiny = measured.get("incremental", "tiny full build", size)
        if day is not None and tiny is not None:
            fixed = tiny.value(lambda record: float(record.values["second_wall"]))
            shares[size] = statistics.median(
                100 * (record.wall - fixed) / float(record.values["full_wall"])
                for record in day.rounds
            )
        ratio = measured.ratio(("incremental", "180 days"), ("incremental", "90 days"), size)
        if ratio is not None:
            ratios[size] = ratio
    return [
        _Bar(
            "one more day on 180 days, beyond a build of one event: of the full build",
            3,
            True,
            None,
            shares,
            " %",
        ),
        _Bar("one more day on 180 days / on 90 days", 1.15, True, None, ratios),
    ]


def _year_bars(measured: Measured) -> list[_Bar]:
    days = _days(measured)
    early = [r for r in days if 60 <= r.round <= 90]
    late = days[-30:]
    if not early or not late or late[0].round <= 90:
        return [
            _Bar(
                "a year of daily builds: build time, last 30 days / days 60–90",
                1.15,
                True,
                None,
                {},
            )
        ]

    def flat(of: Callable[[Record], float]) -> dict[str, float]:
        base = statistics.median(of(r) for r in early)
        return {late[0].size: statistics.median(of(r) for r in late) / base}

    name = "daily builds, last 30 days / days 60–90:"
    return [
        _Bar(f"{name} wall time", 1.15, True, None, flat(lambda r: r.wall)),
        _Bar(f"{name} CPU time", 1.15, True, None, flat(lambda r: r.cpu)),
        _Bar(f"{name} peak memory", 1.15, True, None, flat(lambda r: r.peak_bytes)),
        _Bar(
            f"{name} warehouse bytes a line taken in",
            1.15,
            True,
            None,
            _flat_bytes(days, early, late),
        ),
        _Bar(
            f"{name} Dagster's storage", 1.15, True, None, flat(lambda r: r.values["dagster_bytes"])
        ),
    ]


def _flat_bytes(
    days: Sequence[Record], early: Sequence[Record], late: Sequence[Record]
) -> dict[str, float]:
    """A warehouse that keeps what arrives grows with it; its size a line must not."""
    lines_ = 0
    total = {}
    for record in days:
        lines_ += record.events
        total[record.round] = lines_

    def bytes_a_line(records: Sequence[Record]) -> float:
        return statistics.median(
            float(r.values["warehouse_bytes"]) / max(total[r.round], 1) for r in records
        )

    return {late[0].size: bytes_a_line(late) / bytes_a_line(early)}


def _over_all_queries(measured: Measured) -> dict[str, float]:
    """Size to the median over the rounds of the build over load, models and rules without it."""
    found = {}
    for size in measured.sizes("build"):
        walls = [
            {record.round: record.wall for record in figures.rounds}
            for subject in _BUILDS
            if (figures := measured.get("build", subject, size)) is not None
        ]
        if len(walls) == len(_BUILDS):
            build, bare, rules = walls
            rounds = build.keys() & bare.keys() & rules.keys()
            ratios = [build[number] / (bare[number] + rules[number]) for number in rounds]
            if ratios:
                found[size] = statistics.median(ratios)
    return found


def _build(measured: Measured, images: Path) -> str:
    rows, groups = [], {}
    for size in measured.sizes("build"):
        group = []
        for colour, subject in enumerate(_BUILDS):
            found = measured.get("build", subject, size)
            if found is None:
                continue
            ratio = measured.ratio(("build", subject), ("build", "bare limit"), size)
            cpu = measured.ratio(
                ("build", subject), ("build", "bare limit"), size, lambda record: record.cpu
            )
            rows.append(
                [size, f"{found.events:,}", subject, *found.row()]
                + [f"{x:.2f}" if x is not None else "–" for x in (ratio, cpu)]
            )
            group.append(found.bar(subject, colour))
        groups[f"{size} events"] = group
    if not rows:
        return ""
    (images / "build.svg").write_text(bars("Full build: wall time", groups), "utf-8")
    head = ["size", "lines", "what", "wall", "CPU", "memory", "disk", "wall ratio", "CPU ratio"]
    text = (
        "## Full build against the bare limit\n\n"
        "The **bare limit** is the same typed load into the same tables and the same compiled SQL "
        "of all models, in order, in one DuckDB connection with the same settings; models in "
        "Python are called. It takes no look at duplicates or bad lines, keeps no ledger, runs no "
        "test and no gate, and publishes nothing. The **queries of the rules** are the SQL rules "
        "of the gates up to the marts on what Tandem has built, one after the other without Great "
        "Expectations: what of Tandem's time is the checks' own. Limit and rules together are "
        "all that a build asks of DuckDB, but for ingestion's own checks. Tandem's wall time "
        "holds the start of Python, Dagster and dbt; its disk the published copies and Parquet.\n\n"
        "![Full build](images/benchmarks/build.svg)\n\n" + table(head, rows)
    )
    return text + _stages(measured)


def _stages(measured: Measured) -> str:
    sizes = [
        size for size in measured.sizes("build") if measured.get("build", "tandem build", size)
    ]
    found = {size: measured.get("build", "tandem build", size) for size in sizes}
    names: list[str] = []
    for figures in found.values():
        for name in figures.rounds[-1].values.get("stages", {}) if figures else ():
            if name not in names:
                names.append(name)
    rows = []
    for name in names:
        row = [name]
        for figures in found.values():
            values = [
                float(r.values["stages"][name])
                for r in (figures.rounds if figures else ())
                if name in r.values.get("stages", {})
            ]
            row.append(f"{statistics.median(values):,.2f} s" if values else "–")
        rows.append(row)
    row = ["bare limit: load, models"]
    for size in sizes:
        bare = measured.get("build", "bare limit", size)
        row.append(
            ", ".join(
                f"{bare.value(lambda r, key=key: float(r.values[key])):,.2f} s"  # type: ignore[misc]
                for key in ("load", "models")
            )
            if bare
            else "–"
        )
    return "\nSeconds by stage:\n\n" + table(["stage", *sizes], [*rows, row])


def _load(measured: Measured, images: Path) -> str:
    rows, groups = [], {}
    for size in measured.sizes("load"):
        group = []
        for colour, subject in enumerate(_LOADERS):
            found = measured.get("load", subject, size)
            if found is None:
                continue
            speed = found.value(lambda record: record.events / record.wall)
            ratio = measured.ratio(("load", subject), ("load", "tandem ingest"), size)
            rows.append(
                [
                    size,
                    subject,
                    *found.row(),
                    f"{speed:,.0f}",
                    f"{1 / ratio:.2f} ×" if ratio else "–",
                ]
            )
            group.append(found.bar(subject, colour))
        groups[f"{size} events"] = group
    if not rows:
        return ""
    (images / "load.svg").write_text(bars("Load: wall time", groups), "utf-8")
    head = ["size", "what", "wall", "CPU", "memory", "disk", "lines a second", "speed of Tandem's"]
    return (
        "## Load\n\n"
        "All 25 logs, in the simulator's mixture of JSON Lines, CSV and Parquet, plain and packed. "
        "Tandem validates every field, quarantines, removes duplicates and keeps the ledger. The "
        "bare read is `read_json`, `read_csv` and `read_parquet` with the contract's types. "
        "**dlt, dictionaries** is what its documentation shows: resources that yield rows, typed "
        "by hints. **dlt, Arrow** is the fastest it offers: whole Arrow tables read by pyarrow, of "
        "which dlt looks at no row. Both have Parquet as the loader's format, use `replace` and "
        "remove no duplicates.\n\n"
        "![Load](images/benchmarks/load.svg)\n\n" + table(head, rows)
    )


def _rivals(measured: Measured, images: Path) -> str:
    rows, groups = [], {}
    for size in measured.sizes("rivals"):
        group = []
        for colour, (part, subject) in enumerate(
            [("build", "tandem build"), *(("rivals", name) for name in _RIVALS)]
        ):
            found = measured.get(part, subject, size)
            if found is None:
                continue
            ratio = measured.ratio((part, subject), ("build", "tandem build"), size)
            name = f"{subject} (all marts)" if part == "build" else subject
            equal = "equal_rows" in found.rounds[0].values
            rows.append(
                [
                    size,
                    name,
                    *found.row(),
                    f"{ratio:.2f}" if ratio else "–",
                    "yes" if equal else "–",
                ]
            )
            group.append(found.bar(subject, colour))
        groups[f"{size} events"] = group
    if not rows:
        return ""
    (images / "rivals.svg").write_text(
        bars("Five marts by other means: wall time", groups), "utf-8"
    )
    head = ["size", "what", "wall", "CPU", "memory", "disk", "of the full build", "rows equal"]
    return (
        "## What one would write instead\n\n"
        "Five marts (`users.daily_active`, `users.retention`, `content.daily_performance`, "
        "`engagement.group_daily`, `revenue.daily`) from the same landing files. Every rival "
        "resolves persons, drops bots, tests and staff, removes duplicates, credits clicks, "
        "converts money exactly; its rows must equal Tandem's in the columns compared, or the "
        "benchmark fails. All leave out the same: rows by source and `mau30` in `daily_active`, "
        "the running likes in `daily_performance`, the members of `group_daily`, erasure, "
        "validation, quarantine, tests, incremental builds, publishing. "
        "**tandem, five marts** is Tandem's ingest and its models for these five alone, in one "
        "process without gates, tests and Dagster: that is the comparison of like with like. "
        "**dagster and pandas** is an asset a log and a mart in one process. **spark local** "
        "includes unpacking zstd, which Spark does not read here. **dbt, a process a model** is "
        "`dbt run` for each of the marts and the models they read, on a warehouse that is already "
        "loaded.\n\n"
        "![Rivals](images/benchmarks/rivals.svg)\n\n" + table(head, rows)
    )


def _incremental(measured: Measured) -> str:
    rows = []
    for size in measured.sizes("incremental"):
        for subject in ("180 days", "90 days"):
            day = measured.get("incremental", subject, size)
            if day is None:
                continue
            rows += [
                [
                    f"{size} in 181 days",
                    f"full build of {subject}",
                    day.seconds(lambda r: float(r.values["full_wall"])),
                    day.seconds(lambda r: float(r.values["full_cpu"])),
                ],
                [
                    f"{size} in 181 days",
                    f"one more day on {subject}",
                    day.seconds(),
                    day.seconds(lambda r: r.cpu),
                ],
                [
                    f"{size} in 181 days",
                    f"nothing new on {subject}",
                    day.seconds(lambda r: float(r.values["nothing_wall"])),
                    day.seconds(lambda r: float(r.values["nothing_cpu"])),
                ],
            ]
        tiny = measured.get("incremental", "tiny full build", size)
        if tiny is not None:
            rows += [
                ["one event", "full build", tiny.seconds(), tiny.seconds(lambda r: r.cpu)],
                [
                    "one event",
                    "one more event",
                    tiny.seconds(lambda r: float(r.values["second_wall"])),
                    tiny.seconds(lambda r: float(r.values["second_cpu"])),
                ],
            ]
    if not rows:
        return ""
    return (
        "## One more day\n\n"
        "One simulation, cut by arrival: the last day comes as its own files on the 180 days "
        "before it, or on the last 90 of them (logs of persons, contents, orders and memberships "
        "complete). A build of one event in an empty warehouse is the fixed overhead.\n\n"
        + table(["history", "build", "wall", "CPU"], rows)
    )


def _days(measured: Measured) -> list[Record]:
    records = [r for r in measured.records if r.part == "year"]
    records.sort(key=lambda r: (int(r.size.split()[0]), r.round))
    by_size = [list(group) for _, group in groupby(records, key=lambda r: r.size)]
    return max(by_size, key=len, default=[])


def _year(measured: Measured, images: Path) -> str:
    days = _days(measured)
    if not days:
        return ""

    def line(of: Callable[[Record], float]) -> list[tuple[float, float]]:
        return [(float(r.round), of(r)) for r in days]

    (images / "year-time.svg").write_text(
        lines("Daily builds", "s", {"wall": line(lambda r: r.wall), "CPU": line(lambda r: r.cpu)}),
        "utf-8",
    )
    (images / "year-size.svg").write_text(
        lines(
            "Daily builds: size",
            "MB",
            {
                "warehouse": line(lambda r: r.values["warehouse_bytes"] / 1e6),
                "published": line(lambda r: r.values["serving_bytes"] / 1e6),
                "Dagster": line(lambda r: r.values["dagster_bytes"] / 1e6),
                "peak memory": line(lambda r: r.peak_bytes / 1e6),
            },
        ),
        "utf-8",
    )
    total, lines_ = 0, {}
    for r in days:
        total += r.events
        lines_[r.round] = total
    shown = [r for r in days if r.round in (1, 2, 30, 60, 90, 180, 270, 365) or r is days[-1]]
    rows = [
        [
            str(r.round),
            f"{r.events:,}",
            f"{lines_[r.round]:,}",
            f"{r.wall:.1f} s" + (" ⚠" if r.foreign_share > BUSY else ""),
            f"{r.cpu:.1f} s",
            size_text(r.peak_bytes),
            size_text(r.values["warehouse_bytes"]),
            size_text(r.values["serving_bytes"]),
            size_text(r.values["dagster_bytes"]),
            f"{sum(r.values['control_rows'].values()):,}",
        ]
        for r in shown
    ]
    head = ["day", "lines", "lines so far", "wall", "CPU", "memory", "warehouse", "published"]
    return (
        "## A year of daily builds\n\n"
        f"{len(days)} of {days[0].size.split()[0]} days, a `tandem build` a day with that day's "
        "files; one run each.\n\n"
        "![Time](images/benchmarks/year-time.svg)\n\n![Size](images/benchmarks/year-size.svg)\n\n"
        + table([*head, "Dagster", "rows in control"], rows)
    )


def _cold(measured: Measured) -> str:
    rows = [
        [
            name,
            found.seconds(),
            f"{found.value(lambda r: r.cpu):.2f} s",
            size_text(found.value(lambda r: r.peak_bytes)),
        ]
        for name in _COLD
        if (found := measured.get("cold", name, "")) is not None
    ]
    if not rows:
        return ""
    return "## Cold start\n\n" + table(["command", "wall", "CPU", "memory"], rows)


def _data(measured: Measured) -> str:
    rows = [
        [
            r.size,
            f"{r.values['persons']:,}",
            f"{r.events:,}",
            f"{r.wall:,.0f} s",
            f"{r.events / r.cpu:,.0f}",
            size_text(r.peak_bytes),
            size_text(r.disk_bytes),
        ]
        for r in measured.records
        if r.part == "data"
    ]
    if not rows:
        return ""
    head = ["size", "persons", "lines", "wall", "lines a CPU second", "memory", "bytes of files"]
    return (
        "## The data\n\nSimulated platforms; groups, contents and orders grow with the persons. "
        "Each is simulated once.\n\n" + table(head, rows)
    )


def _missing(measured: Measured) -> str:
    wanted = {
        f"full build at {size}": measured.get("build", "tandem build", size)
        for size in ("1M", "5M", "20M", "100M")
    }
    wanted |= {
        f"load at {size}": measured.get("load", "tandem ingest", size) for size in ("1M", "20M")
    }
    wanted |= {
        f"{name} at {size}": measured.get("rivals", name, size)
        for name, size in (
            ("dagster and pandas", "5M"),
            ("polars", "5M"),
            ("spark local", "1M"),
            ("dbt, a process a model", "1M"),
        )
    }
    missing = [name for name, found in wanted.items() if found is None]
    if not measured.sizes("incremental"):
        missing.append("one more day")
    if len(_days(measured)) < 365:
        missing.append(f"a whole year of daily builds ({len(_days(measured))} days were run)")
    if not any(r.part == "cold" for r in measured.records):
        missing.append("cold start")
    if not missing:
        return ""
    return "## Not run\n\n" + "\n".join(f"- {name}" for name in missing) + "\n"
