"""The same five marts in Spark, local mode: `python spark_local.py LANDING OUTPUT CURRENCIES`.

A script of its own, because it runs in the environment that has PySpark. Its landing zone holds
no zstd: Spark has no reader for that without Hadoop's native libraries.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as f

ZONE = "Asia/Shanghai"
HORIZONS = (1, 3, 7, 14, 28)
KINDS = {
    "impression": "impressions",
    "click": "clicks",
    "read": "reads",
    "comment": "comments",
    "share": "shares",
    "collect": "collects",
}
ID = ["id_kind", "source", "id"]


class Pipeline:
    """The inputs that several marts share, cached."""

    def __init__(self, spark: SparkSession, landing: Path, currencies: Path) -> None:
        self._spark = spark
        self._landing = landing
        with currencies.open(encoding="utf-8") as handle:
            self._exponents = {
                row["currency"]: int(row["exponent"] or 0) for row in csv.DictReader(handle)
            }
        columns = ["source", "event_id", "account_id", "event_type", "occurred_at", "content_id"]
        self.community_events = (
            first_received(self._read("community/events", [*columns, "received_at"]), "event_id")
            .withColumn("occurred_at", utc("occurred_at"))
            .withColumn("date", local_date(f.col("occurred_at")))
            .cache()
        )
        columns = ["source", "message_id", "group_id", "member_id", "occurred_at", "kind"]
        self.messages = (
            first_received(self._read("group/messages", [*columns, "received_at"]), "message_id")
            .where("kind <> 'system'")
            .withColumn("date", local_date(utc("occurred_at")))
            .cache()
        )
        columns = ["source", "content_id", "updated_at", "author_account_id", "published_at"]
        self.contents = (
            current(self._read("community/contents", [*columns, "deleted_at"]), "content_id")
            .withColumn("published_at", utc("published_at"))
            .withColumn("deleted_at", utc("deleted_at"))
            .cache()
        )
        latest = self.community_events.select("date").union(self.messages.select("date"))
        self.as_of = latest.agg(f.max("date")).first()[0]
        self.persons = self._persons().cache()
        self.person_days = self._person_days().cache()

    def _read(self, log: str, columns: list[str]) -> DataFrame:
        """All files of a log, only these columns as text, whatever their format."""
        # Files of a log differ in their columns, which Spark's reader of CSV takes by position.
        found: dict[tuple[str, ...], list[str]] = {}
        for path in sorted((self._landing / log).rglob("*.*")):
            kind = path.name.split(".")[1]
            if not path.name.endswith(".control.json"):
                names = header(path) if kind == "csv" else ()
                found.setdefault((kind, *names), []).append(str(path))
        result = None
        for (kind, *names), paths in found.items():
            if kind == "jsonl":
                frame = self._spark.read.schema(text_schema(columns)).json(paths)
            elif kind == "csv":
                reader = self._spark.read.schema(text_schema(names))
                frame = reader.csv(paths, header=True, multiLine=True, escape='"')
            else:
                frame = self._spark.read.option("mergeSchema", "true").parquet(*paths)
            picked = [
                f.col(name).cast("string").alias(name)
                if name in frame.columns
                else f.lit(None).cast("string").alias(name)
                for name in columns
            ]
            part = frame.select(picked)
            result = part if result is None else result.union(part)
        assert result is not None
        return result

    def _persons(self) -> DataFrame:
        """id_kind, source, id → person, counts; ids without a record are absent."""
        columns = ["updated_at", "phone", "union_id", "is_bot", "is_staff", "is_test"]
        records = None
        for log, key, kind in (
            ("community/accounts", "account_id", "account"),
            ("group/members", "member_id", "member"),
        ):
            frame = current(self._read(log, ["source", key, *columns]), key)
            part = frame.select(
                f.lit(kind).alias("id_kind"), "source", f.col(key).alias("id"), *columns
            )
            records = part if records is None else records.union(part)
        assert records is not None
        pair = ["account_source", "account_id", "member_source", "member_id"]
        links = self._read(
            "commerce/identity_links", ["source", "link_id", *pair, "action", "occurred_at"]
        ).dropDuplicates(["source", "link_id"])
        newest = Window.partitionBy(*pair).orderBy(
            utc("occurred_at").desc(), f.col("source").desc(), f.col("link_id").desc()
        )
        links = links.withColumn("place", f.row_number().over(newest))
        links = links.where("place = 1 and action = 'link'")
        phone = f.translate("phone", "０１２３４５６７８９", "0123456789")
        phone = f.regexp_replace(f.regexp_replace(phone, "[^0-9]", ""), "^00", "")
        phone = f.regexp_replace(phone, "^86([0-9]{11})$", "$1")
        flags = [f.coalesce(f.lower(name) == "true", f.lit(False)) for name in columns[3:]]
        ids = records.select(
            f.concat_ws("/", *ID).alias("node"),
            f.when(f.length(phone) >= 7, phone).alias("phone"),
            "union_id",
            (flags[0] | flags[1] | flags[2]).alias("out"),
        ).cache()
        edges = links.select(
            f.concat_ws("/", f.lit("account"), "account_source", "account_id").alias("a"),
            f.concat_ws("/", f.lit("member"), "member_source", "member_id").alias("b"),
        )
        for shared in ("phone", "union_id"):
            same = Window.partitionBy(shared)
            held = ids.where(f.col(shared).isNotNull()).select(
                f.min("node").over(same).alias("a"),
                f.col("node").alias("b"),
                f.count("*").over(same).alias("ids"),
            )
            edges = edges.union(held.where("ids <= 20 and a <> b").select("a", "b"))
        # The identities fit into the driver many times over; a union-find there takes a second.
        root = components([(row.a, row.b) for row in edges.collect()])
        labels = self._spark.createDataFrame(
            list(root.items()) or [("", "")], "node string, root string"
        )
        known = ids.select("node", "out").union(
            labels.join(ids, "node", "left_anti").select("node", f.lit(False))
        )
        known = known.join(labels, "node", "left")
        known = known.withColumn("person", f.coalesce("root", "node"))
        own = Window.partitionBy("person")
        return known.select("node", "person", (~f.max("out").over(own)).alias("counts"))

    def _with_persons(self, frame: DataFrame, kind: str | Column, id_column: str) -> DataFrame:
        """Rows of persons who count, with `person`; an id without a record is a person itself."""
        kind = f.lit(kind) if isinstance(kind, str) else kind
        frame = frame.withColumn("node", f.concat_ws("/", kind, "source", id_column))
        frame = frame.join(self.persons, "node", "left")
        frame = frame.where("coalesce(counts, true)")
        return frame.withColumn("person", f.coalesce("person", "node"))

    def _person_days(self) -> DataFrame:
        """Core × date × person → contributed, for each core and for all."""
        happened = local_date(utc("occurred_at")).alias("date")
        own = ["source", "event_id", "member_id"]
        kinds = ["comment", "share", "checkin", "vote"]
        account, member = f.col("account_id").alias("id"), f.col("member_id").alias("id")

        def flag(condition: Column | bool) -> Column:
            column = f.lit(condition) if isinstance(condition, bool) else condition
            return column.alias("contributed")

        community = (
            self.community_events.where("event_type <> 'impression'")
            .select("source", account, "date", flag(f.col("event_type").isin(kinds)))
            .union(
                self.contents.select(
                    "source",
                    "author_account_id",
                    local_date(f.col("published_at")),
                    flag(condition=True),
                )
            )
        )
        deliveries = first_received(
            self._read("group/deliveries", [*own, "status", "occurred_at", "received_at"]),
            "event_id",
        )
        key = ["source", "event_id"]
        group = (
            self.messages.select("source", member, "date", flag(f.col("kind") != "reaction"))
            .union(
                self._read("group/attendance", [*own, "action", "occurred_at"])
                .dropDuplicates(key)
                .select("source", member, happened, flag(f.col("action") == "submit"))
            )
            .union(
                self._read("group/consults", [*own, "action", "occurred_at"])
                .dropDuplicates(key)
                .where("action = 'question'")
                .select("source", member, happened, flag(condition=False))
            )
            .union(
                deliveries.where("status in ('read', 'click')").select(
                    "source", member, happened, flag(condition=False)
                )
            )
        )
        days = self._with_persons(community, "account", "id").withColumn("core", f.lit("community"))
        days = days.unionByName(
            self._with_persons(group, "member", "id").withColumn("core", f.lit("group"))
        )
        days = days.where(f.col("date") <= self.as_of)
        days = days.union(days.withColumn("core", f.lit("all")))
        return days.groupBy("core", "date", "person").agg(f.max("contributed").alias("contributed"))

    def daily_active(self) -> DataFrame:
        """`users.daily_active`, totals over the sources."""
        days = self.person_days
        first = days.agg(f.min("date")).first()[0]
        calendar = self._spark.sql(
            f"select explode(sequence(date '{first}', date '{self.as_of}')) as date"
        ).crossJoin(days.select("core").distinct())
        result = calendar.join(
            days.groupBy("core", "date").agg(
                f.count("*").alias("dau"),
                f.sum(f.col("contributed").cast("long")).alias("dau_contributing"),
            ),
            ["core", "date"],
            "left",
        )
        new = days.groupBy("core", "person").agg(f.min("date").alias("date"))
        new = new.groupBy("core", "date").agg(f.count("*").alias("new_persons"))
        result = result.join(new, ["core", "date"], "left")
        for name, length in (("wau", 7), ("mau28", 28)):
            spread = days.select(
                "core",
                "person",
                f.explode(f.expr(f"sequence(date, date + {length - 1})")).alias("date"),
            )
            window = spread.groupBy("core", "date").agg(f.countDistinct("person").alias(name))
            result = result.join(window, ["core", "date"], "left")
        return result.na.fill(0)

    def retention(self) -> DataFrame:
        """`users.retention`."""
        seen = self.person_days.groupBy("core", "person").agg(
            f.min("date").alias("cohort_date"),
            f.max("date").alias("last_date"),
            f.collect_set("date").alias("dates"),
        )
        horizons = ", ".join(str(n) for n in HORIZONS)
        seen = seen.withColumn("day_n", f.expr(f"explode(array({horizons}))"))
        due = f.expr("cohort_date + day_n") <= f.lit(self.as_of)
        counted = seen.groupBy("core", "cohort_date", "day_n").agg(
            f.count("*").alias("cohort_size"),
            f.count(
                f.expr("case when array_contains(dates, cohort_date + day_n) then 1 end")
            ).alias("on"),
            f.count(f.expr("case when last_date >= cohort_date + day_n then 1 end")).alias("later"),
        )
        parts = [
            counted.select(
                "core",
                "cohort_date",
                f.col("day_n").cast("long"),
                "cohort_size",
                f.lit(mode).alias("mode"),
                f.when(due, f.col("cohort_size")).otherwise(0).alias("eligible"),
                f.when(due, f.col(column)).alias("retained"),
            )
            for mode, column in (("on", "on"), ("on_or_after", "later"))
        ]
        return parts[0].union(parts[1])

    def daily_performance(self) -> DataFrame:
        """`content.daily_performance`, without likes."""
        keys = ["source", "content_id"]
        acts = self.community_events.where(f.col("event_type").isin(list(KINDS)))
        acts = acts.where("content_id is not null")
        acts = acts.join(self.contents.select(*keys, "deleted_at"), keys, "left")
        acts = acts.where("deleted_at is null or occurred_at < deleted_at")
        acts = self._with_persons(acts, "account", "account_id").cache()
        counts = [
            f.count(f.when(f.col("event_type") == event, 1)).alias(name)
            for event, name in KINDS.items()
        ]
        readers = f.countDistinct(f.when(f.col("event_type") == "read", f.col("person")))
        daily = acts.groupBy("date", *keys).agg(*counts, readers.alias("unique_viewers"))
        clicks = credited(acts).groupBy("date", *keys).agg(f.count("*").alias("clicks_credited"))
        daily = daily.join(clicks, ["date", *keys], "left").na.fill(0)
        return daily.where(f.col("date") <= self.as_of)

    def group_daily(self) -> DataFrame:
        """`engagement.group_daily`, without members."""
        keys = ["source", "group_id"]
        closed = current(self._read("group/groups", [*keys, "updated_at", "closed_at"]), "group_id")
        closed = closed.select(*keys, local_date(utc("closed_at")).alias("closed_date"))
        talk = self._with_persons(self.messages, "member", "member_id").join(closed, keys, "left")
        talk = talk.where(f.col("date") <= f.least(f.col("closed_date"), f.lit(self.as_of)))
        spoke = f.col("kind") != "reaction"
        return talk.groupBy("date", *keys).agg(
            f.countDistinct(f.when(spoke, f.col("person"))).alias("speakers"),
            f.count(f.when(spoke, 1)).alias("messages"),
            f.count(f.when(~spoke, 1)).alias("reactions"),
        )

    def revenue_daily(self) -> DataFrame:
        """`revenue.daily`."""
        columns = ["source", "order_id", "amount_minor", "currency", "paid_at", "account_id"]
        columns += ["member_id", "group_id", "received_at"]
        orders = first_received(self._read("commerce/orders", columns), "order_id")
        orders = orders.withColumn("paid_date", local_date(utc("paid_at")))
        best = Window.partitionBy("currency", "rate_date").orderBy(
            f.col("rate_source").desc(), f.col("rate_id").desc()
        )
        rates = self._read(
            "commerce/fx_rates", ["source", "rate_id", "rate_date", "currency", "rate"]
        ).withColumnRenamed("source", "rate_source")
        rates = rates.withColumn("rate_date", f.to_date("rate_date"))
        rates = rates.withColumn("place", f.row_number().over(best)).where("place = 1")
        priced = orders.join(rates, "currency", "left")
        priced = priced.where("rate_date is null or rate_date <= paid_date or currency = 'CNY'")
        on_day = Window.partitionBy("source", "order_id").orderBy(f.col("rate_date").desc())
        priced = priced.withColumn("nth", f.row_number().over(on_day)).where("nth = 1")
        priced = orders.join(
            priced.select("source", "order_id", "rate"), ["source", "order_id"], "left"
        )
        priced = priced.withColumn(
            "rate", f.expr("case when currency = 'CNY' then '1' else rate end")
        )
        shifts = f.create_map(
            *[f.lit(x) for item in self._exponents.items() for x in (item[0], 10 ** item[1])]
        )
        priced = priced.withColumn("scale", shifts[f.col("currency")]).cache()
        # Exact in decimals; Spark's round is half away from zero.
        reporting = (
            "cast(round(cast({amount} as decimal(18, 0)) * cast(rate as decimal(20, 8)) * 100"
            " / cast(scale as decimal(5, 0)), 0) as long)"
        )
        account = f.when(f.col("account_id").isNull(), f.lit("member")).otherwise(f.lit("account"))
        orders = priced.withColumn("payer", f.coalesce("account_id", "member_id"))
        orders = orders.withColumn("reporting", f.expr(reporting.format(amount="amount_minor")))
        orders = self._with_persons(orders, account, "payer")
        orders = orders.withColumn(
            "core", f.expr("case when group_id is null then 'community' else 'group' end")
        ).withColumnRenamed("paid_date", "date")
        key = ["source", "order_id"]
        refunds = (
            self._read(
                "commerce/refunds",
                ["source", "refund_id", "order_id", "amount_minor", "refunded_at"],
            )
            .dropDuplicates(["source", "refund_id"])
            .withColumn("date", local_date(utc("refunded_at")))
            .where(f.col("date") <= self.as_of)
            .withColumnRenamed("amount_minor", "back_minor")
            .join(priced.select(*key, "rate", "scale"), key)
            .withColumn("back", f.expr(reporting.format(amount="back_minor")))
            .select(*key, "date", "back")
        )
        sums = refunds.groupBy(*key).agg(f.sum("back").alias("refunded"))
        daily = (
            orders.join(sums, key, "left")
            .groupBy("date", "core")
            .agg(
                f.count("*").alias("orders"),
                f.countDistinct("person").alias("payers"),
                f.coalesce(f.sum("reporting"), f.lit(0)).alias("gmv_minor"),
                f.coalesce(f.sum("refunded"), f.lit(0)).alias("refunds_order_minor"),
            )
        )
        cash = refunds.join(orders.select(*key, "core"), key)
        cash = cash.groupBy("date", "core").agg(f.sum("back").alias("refunds_cash_minor"))
        daily = daily.join(cash, ["date", "core"], "full").na.fill(0)
        return daily.where(f.col("date") <= self.as_of).selectExpr(
            "*",
            "gmv_minor - refunds_cash_minor as net_cash_minor",
            "gmv_minor - refunds_order_minor as net_order_minor",
        )


def header(path: Path) -> list[str]:
    """The columns of a CSV file, plain or gzip."""
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as handle
    ):
        return next(csv.reader(handle))


def text_schema(names: Sequence[str]) -> str:
    """A schema of text columns."""
    return ", ".join(f"`{name}` string" for name in names)


def utc(name: str) -> Column:
    """Times with their offsets, as timestamps."""
    return f.to_timestamp(f.col(name))


def local_date(moment: Column) -> Column:
    """The local dates of times; the session's zone is UTC."""
    return f.to_date(f.from_utc_timestamp(moment, ZONE))


def first_received(frame: DataFrame, key: str) -> DataFrame:
    """An event log without its duplicates: of one key, the record received first."""
    order = Window.partitionBy("source", key).orderBy(utc("received_at").asc_nulls_last())
    return frame.withColumn("nth", f.row_number().over(order)).where("nth = 1").drop("nth")


def current(frame: DataFrame, key: str) -> DataFrame:
    """An entity log's current states: of one key, the state updated last."""
    order = Window.partitionBy("source", key).orderBy(utc("updated_at").desc())
    return frame.withColumn("nth", f.row_number().over(order)).where("nth = 1").drop("nth")


def components(edges: list[tuple[str, str]]) -> dict[str, str]:
    """Node → its component's name, by union-find."""
    parent: dict[str, str] = {}

    def find(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in edges:
        parent[find(b)] = find(a)
    return {node: find(node) for node in list(parent)}


def credited(acts: DataFrame) -> DataFrame:
    """The impressions that a click is credited to: clicks close impressions as brackets do."""
    who = ["person", "source", "content_id"]
    touches = acts.where("event_type in ('impression', 'click')")
    touches = touches.withColumn("is_click", (f.col("event_type") == "click").cast("long"))
    order = ["occurred_at", "is_click", "event_id"]
    running = Window.partitionBy(*who).orderBy(*order)
    depth = f.sum(1 - 2 * f.col("is_click")).over(
        running.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    touches = touches.withColumn("depth", depth + f.col("is_click"))
    nested = Window.partitionBy(*who, "depth").orderBy(*order)
    touches = touches.withColumn("partner", f.lead("occurred_at").over(nested))
    return touches.where("is_click = 0 and partner <= occurred_at + interval 30 minutes")


def main() -> None:
    """Write the five marts as Parquet folders and print the rows of each."""
    landing, output, currencies = (Path(argument) for argument in sys.argv[1:4])
    spark = (
        SparkSession.builder.master("local[*]")
        .appName("five marts")
        .config("spark.driver.memory", "6g")
        .config("spark.sql.shuffle.partitions", "8")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    pipeline = Pipeline(spark, landing, currencies)
    rows = {}
    for mart in (
        pipeline.daily_active,
        pipeline.retention,
        pipeline.daily_performance,
        pipeline.group_daily,
        pipeline.revenue_daily,
    ):
        path = str(output / f"{mart.__name__}.parquet")
        mart().write.mode("overwrite").parquet(path)
        rows[mart.__name__] = spark.read.parquet(path).count()
    spark.stop()
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
