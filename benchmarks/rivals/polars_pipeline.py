"""The same five marts in Polars: lazy frames, one collect a mart, strings cached by the engine."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

ZONE = "Asia/Shanghai"
HORIZONS = (1, 3, 7, 14, 28)
CURRENCIES = Path(__file__).resolve().parents[2] / "dbt_project" / "seeds" / "currencies.csv"
KINDS = {
    "impression": "impressions",
    "click": "clicks",
    "read": "reads",
    "comment": "comments",
    "share": "shares",
    "collect": "collects",
}


def read_log(landing: Path, log: str, columns: list[str]) -> pl.LazyFrame:
    """All files of a log, only these columns as text, whatever their format."""
    frames = []
    schema = dict.fromkeys(columns, pl.String)
    for path in sorted((landing / log).rglob("*.*")):
        if path.name.endswith(".control.json"):
            continue
        if ".jsonl" in path.name:
            frame = pl.scan_ndjson(path, schema=schema)
        elif ".csv" in path.name:
            frame = pl.scan_csv(path, infer_schema=False)
        else:
            frame = pl.scan_parquet(path)
        there = frame.collect_schema()
        picked = [
            as_text(name, there[name]) if name in there else pl.lit(None, pl.String).alias(name)
            for name in columns
        ]
        frames.append(frame.select(picked))
    return pl.concat(frames)


def as_text(name: str, kind: pl.DataType) -> pl.Expr:
    """A column as text; times as ISO 8601."""
    if isinstance(kind, pl.Datetime):
        return pl.col(name).dt.to_string("iso:strict")
    return pl.col(name).cast(pl.String)


def utc(name: str) -> pl.Expr:
    """Times with their offsets, as UTC."""
    return pl.col(name).str.to_datetime(time_zone="UTC", time_unit="us")


def local_date(moment: pl.Expr) -> pl.Expr:
    """The local dates of UTC times."""
    return moment.dt.convert_time_zone(ZONE).dt.date()


def events(frame: pl.LazyFrame, key: str, received: bool = False) -> pl.LazyFrame:
    """An event log without its duplicates: of one key, the record received first."""
    if received:
        frame = frame.sort(utc("received_at"))
    return frame.unique(["source", key], keep="first" if received else "any")


def current(frame: pl.LazyFrame, key: str) -> pl.LazyFrame:
    """An entity log's current states: of one key, the state updated last."""
    return frame.sort(utc("updated_at")).unique(["source", key], keep="last")


class Pipeline:
    """The inputs that several marts share, collected once."""

    def __init__(self, landing: Path) -> None:
        self._landing = landing
        columns = ["source", "event_id", "account_id", "event_type", "occurred_at", "content_id"]
        self.community_events = (
            events(self._read("community/events", [*columns, "received_at"]), "event_id", True)
            .with_columns(utc("occurred_at"))
            .with_columns(date=local_date(pl.col("occurred_at")))
            .drop("received_at")
            .collect()
        )
        columns = ["source", "message_id", "group_id", "member_id", "occurred_at", "kind"]
        self.messages = (
            events(self._read("group/messages", [*columns, "received_at"]), "message_id", True)
            .filter(pl.col("kind") != "system")
            .with_columns(date=local_date(utc("occurred_at")))
            .collect()
        )
        columns = ["source", "content_id", "updated_at", "author_account_id", "published_at"]
        self.contents = (
            current(self._read("community/contents", [*columns, "deleted_at"]), "content_id")
            .with_columns(utc("published_at"), utc("deleted_at"))
            .collect()
        )
        self.as_of: Any = max(
            self.community_events["date"].max(),
            self.messages["date"].max(),  # type: ignore[type-var]
        )
        self.persons = self._persons()
        self.person_days = self._person_days()

    def _read(self, log: str, columns: list[str]) -> pl.LazyFrame:
        return read_log(self._landing, log, columns)

    def _persons(self) -> pl.DataFrame:
        """id_kind, source, id → person number, counts; ids without a record are absent."""
        columns = ["updated_at", "phone", "union_id", "is_bot", "is_staff", "is_test"]
        records = [
            current(self._read(log, ["source", key, *columns]), key)
            .rename({key: "id"})
            .with_columns(id_kind=pl.lit(kind))
            for log, key, kind in (
                ("community/accounts", "account_id", "account"),
                ("group/members", "member_id", "member"),
            )
        ]
        pair = ["account_source", "account_id", "member_source", "member_id"]
        links = (
            events(
                self._read(
                    "commerce/identity_links", ["source", "link_id", *pair, "action", "occurred_at"]
                ),
                "link_id",
            )
            .sort(utc("occurred_at"), "source", "link_id")
            .unique(pair, keep="last")
            .filter(pl.col("action") == "link")
            .collect()
        )
        ends = [
            links.select(
                id_kind=pl.lit(kind),
                source=pl.col(f"{kind}_source"),
                id=pl.col(f"{kind}_id"),
            )
            for kind in ("account", "member")
        ]
        key = ["id_kind", "source", "id"]
        out = [pl.col(name).str.to_lowercase() == "true" for name in columns[3:]]
        digits = pl.col("phone")
        for full, plain in zip("０１２３４５６７８９", "0123456789", strict=True):
            digits = digits.str.replace_all(full, plain, literal=True)
        digits = digits.str.replace_all("[^0-9]", "").str.replace("^00", "")
        digits = digits.str.replace("^86([0-9]{11})$", "$1")
        ids = (
            pl.concat([pl.concat(records), *(end.lazy() for end in ends)], how="diagonal")
            .unique(key, keep="first", maintain_order=True)
            .with_columns(
                phone=pl.when(digits.str.len_chars() >= 7).then(digits),
                out=pl.any_horizontal(*out).fill_null(value=False),
            )
            .with_row_index("number")
            .collect()
        )
        numbers = ids.select(*key, "number")
        left = [ends[0].join(numbers, on=key, how="left")["number"].to_numpy()]
        right = [ends[1].join(numbers, on=key, how="left")["number"].to_numpy()]
        for shared in ("phone", "union_id"):
            held = ids.filter(pl.col(shared).is_not_null(), pl.len().over(shared) <= 20).select(
                "number", first=pl.col("number").min().over(shared)
            )
            left.append(held["first"].to_numpy())
            right.append(held["number"].to_numpy())
        a, b = np.concatenate(left), np.concatenate(right)
        graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(len(ids), len(ids)))
        person = connected_components(graph, directed=False)[1]
        return (
            ids.with_columns(person=pl.Series(person, dtype=pl.Int64))
            .with_columns(counts=~pl.col("out").any().over("person"))
            .select(*key, "person", "counts")
        )

    def with_persons(self, frame: pl.LazyFrame, id_column: str) -> pl.LazyFrame:
        """Rows of persons who count, with `person`; an id without a record is a person itself."""
        stranger = pl.concat_str("id_kind", "source", id_column, separator="/").hash()
        return (
            frame.join(
                self.persons.lazy().rename({"id": id_column}),
                on=["id_kind", "source", id_column],
                how="left",
            )
            .filter(pl.col("counts").fill_null(value=True))
            .with_columns(
                person=pl.coalesce(pl.col("person"), -1 - (stranger % 2**62).cast(pl.Int64))
            )
        )

    def _person_days(self) -> pl.DataFrame:
        """Core × date × person → contributed, for each core and for all."""
        kinds = ["comment", "share", "checkin", "vote"]
        columns = ["core", "id_kind", "source", "id", "date", "contributed"]
        made = pl.lit(value=True)
        community = {"core": pl.lit("community"), "id_kind": pl.lit("account")}
        group = {"core": pl.lit("group"), "id_kind": pl.lit("member"), "id": pl.col("member_id")}
        happened = local_date(utc("occurred_at"))
        own = ["source", "event_id", "member_id"]
        parts = [
            self.community_events.lazy()
            .filter(pl.col("event_type") != "impression")
            .with_columns(
                **community,
                id=pl.col("account_id"),
                contributed=pl.col("event_type").is_in(kinds),
            ),
            self.contents.lazy().with_columns(
                **community,
                id=pl.col("author_account_id"),
                date=local_date(pl.col("published_at")),
                contributed=made,
            ),
            self.messages.lazy().with_columns(**group, contributed=pl.col("kind") != "reaction"),
            events(
                self._read("group/attendance", [*own, "action", "occurred_at"]), "event_id"
            ).with_columns(**group, date=happened, contributed=pl.col("action") == "submit"),
            events(self._read("group/consults", [*own, "action", "occurred_at"]), "event_id")
            .filter(pl.col("action") == "question")
            .with_columns(**group, date=happened, contributed=~made),
            events(
                self._read("group/deliveries", [*own, "status", "occurred_at", "received_at"]),
                "event_id",
                True,
            )
            .filter(pl.col("status").is_in(["read", "click"]))
            .with_columns(**group, date=happened, contributed=~made),
        ]
        days = self.with_persons(pl.concat([part.select(columns) for part in parts]), "id")
        days = days.filter(pl.col("date") <= self.as_of)
        days = days.group_by("core", "date", "person").agg(pl.col("contributed").any())
        overall = days.group_by("date", "person").agg(pl.col("contributed").any())
        overall = overall.select(pl.lit("all").alias("core"), "date", "person", "contributed")
        return pl.concat([days.select(overall.collect_schema().names()), overall]).collect()

    def daily_active(self) -> pl.LazyFrame:
        """`users.daily_active`, totals over the sources."""
        days = self.person_days.lazy().sort("core", "date")
        first: Any = self.person_days["date"].min()
        calendar = pl.LazyFrame({"date": pl.date_range(first, self.as_of, eager=True)}).join(
            days.select("core").unique(), how="cross"
        )
        today = days.group_by("core", "date").agg(
            dau=pl.len(), dau_contributing=pl.col("contributed").sum()
        )
        firsts = days.group_by("core", "person").agg(pl.col("date").min())
        new = firsts.group_by("core", "date").agg(new_persons=pl.len())
        result = calendar.join(today, on=["core", "date"], how="left")
        result = result.join(new, on=["core", "date"], how="left")
        for name, length in (("wau", 7), ("mau28", 28)):
            window = days.group_by_dynamic(
                "date",
                every="1d",
                period=f"{length}d",
                offset=f"-{length - 1}d",
                closed="left",
                label="left",
                group_by="core",
            ).agg(pl.col("person").n_unique().alias(name))
            window = window.with_columns(pl.col("date").dt.offset_by(f"{length - 1}d"))
            result = result.join(window, on=["core", "date"], how="left")
        return result.fill_null(0)

    def retention(self) -> pl.LazyFrame:
        """`users.retention`."""
        days = self.person_days.lazy()
        cohort = ["core", "cohort_date"]
        seen = days.group_by("core", "person").agg(
            cohort_date=pl.col("date").min(), last_date=pl.col("date").max()
        )
        sizes = seen.group_by(cohort).agg(cohort_size=pl.len())
        age = (pl.col("date") - pl.col("cohort_date")).dt.total_days()
        aged = days.join(seen, on=["core", "person"]).with_columns(age=age)
        frames = []
        for n in HORIZONS:
            later = pl.col("last_date") >= pl.col("cohort_date") + pl.duration(days=n)
            counts = {
                "on": aged.filter(pl.col("age") == n),
                "on_or_after": seen.filter(later),
            }
            due = pl.col("cohort_date") + pl.duration(days=n) <= self.as_of
            for mode, retained in counts.items():
                counted = retained.group_by(cohort).agg(retained=pl.len())
                frames.append(
                    sizes.join(counted, on=cohort, how="left").with_columns(
                        mode=pl.lit(mode),
                        day_n=pl.lit(n),
                        eligible=pl.when(due).then("cohort_size").otherwise(0),
                        retained=pl.when(due).then(pl.col("retained").fill_null(0)),
                    )
                )
        return pl.concat(frames)

    def daily_performance(self) -> pl.LazyFrame:
        """`content.daily_performance`, without likes."""
        kept = ["source", "content_id", "deleted_at"]
        acts = (
            self.community_events.lazy()
            .filter(pl.col("event_type").is_in(list(KINDS)), pl.col("content_id").is_not_null())
            .join(self.contents.lazy().select(kept), on=kept[:2], how="left")
            .filter(pl.col("deleted_at").is_null() | (pl.col("occurred_at") < pl.col("deleted_at")))
            .with_columns(id_kind=pl.lit("account"))
        )
        acts = self.with_persons(acts, "account_id")
        keys = ["date", "source", "content_id"]
        kind = pl.col("event_type")
        daily = acts.group_by(keys).agg(
            **{name: (kind == event).sum() for event, name in KINDS.items()},
            unique_viewers=pl.col("person").filter(kind == "read").n_unique(),
        )
        clicks = credited(acts).group_by(keys).agg(clicks_credited=pl.len())
        daily = daily.join(clicks, on=keys, how="left").fill_null(0)
        return daily.filter(pl.col("date") <= self.as_of)

    def group_daily(self) -> pl.LazyFrame:
        """`engagement.group_daily`, without members."""
        columns = ["source", "group_id", "updated_at", "closed_at"]
        closed = current(self._read("group/groups", columns), "group_id").select(
            "source", "group_id", closed_date=local_date(utc("closed_at"))
        )
        talk = self.messages.lazy().with_columns(id_kind=pl.lit("member"))
        talk = self.with_persons(talk, "member_id").join(
            closed, on=["source", "group_id"], how="left"
        )
        last = pl.min_horizontal("closed_date", pl.lit(self.as_of))
        reaction = pl.col("kind") == "reaction"
        return (
            talk.filter(pl.col("date") <= last)
            .group_by("date", "source", "group_id")
            .agg(
                speakers=pl.col("person").filter(~reaction).n_unique(),
                messages=(~reaction).sum(),
                reactions=reaction.sum(),
            )
        )

    def revenue_daily(self) -> pl.LazyFrame:
        """`revenue.daily`."""
        orders, refunds = self._orders_and_refunds()
        orders = self.with_persons(orders.lazy(), "payer").collect()
        back = refunds.group_by("source", "order_id").agg(refunded=pl.col("reporting").sum())
        orders = orders.join(back, on=["source", "order_id"], how="left")
        daily = orders.group_by("date", "core").agg(
            orders=pl.len(),
            payers=pl.col("person").n_unique(),
            gmv_minor=pl.col("reporting").sum(),
            refunds_order_minor=pl.col("refunded").sum(),
        )
        cash = (
            refunds.join(orders.select("source", "order_id", "core"), on=["source", "order_id"])
            .group_by("date", "core")
            .agg(refunds_cash_minor=pl.col("reporting").sum())
        )
        daily = daily.join(cash, on=["date", "core"], how="full", coalesce=True).fill_null(0)
        gmv = pl.col("gmv_minor")
        return (
            daily.lazy()
            .filter(pl.col("date") <= self.as_of)
            .with_columns(
                net_cash_minor=gmv - pl.col("refunds_cash_minor"),
                net_order_minor=gmv - pl.col("refunds_order_minor"),
            )
        )

    def _orders_and_refunds(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        columns = ["source", "order_id", "amount_minor", "currency", "paid_at", "account_id"]
        columns += ["member_id", "group_id", "received_at"]
        has_account = pl.col("account_id").is_not_null()
        orders = (
            events(self._read("commerce/orders", columns), "order_id", True)
            .with_columns(
                date=local_date(utc("paid_at")),
                payer=pl.coalesce("account_id", "member_id"),
                id_kind=pl.when(has_account).then(pl.lit("account")).otherwise(pl.lit("member")),
                core=pl.when(pl.col("group_id").is_null())
                .then(pl.lit("community"))
                .otherwise(pl.lit("group")),
            )
            .sort("date")
        )
        rates = (
            self._read("commerce/fx_rates", ["source", "rate_id", "rate_date", "currency", "rate"])
            .sort("source", "rate_id")
            .unique(["currency", "rate_date"], keep="last")
            .with_columns(pl.col("rate_date").str.to_date())
            .sort("rate_date")
            .drop("source")
        )
        priced = orders.join_asof(
            rates, left_on="date", right_on="rate_date", by="currency", check_sortedness=False
        ).collect()
        exponents = dict(pl.read_csv(CURRENCIES).select("currency", "exponent").iter_rows())
        priced = with_reporting(priced, exponents)
        refunds = (
            events(
                self._read(
                    "commerce/refunds",
                    ["source", "refund_id", "order_id", "amount_minor", "refunded_at"],
                ),
                "refund_id",
            )
            .with_columns(date=local_date(utc("refunded_at")))
            .filter(pl.col("date") <= self.as_of)
            .collect()
            .join(
                priced.select("source", "order_id", "currency", "rate"), on=["source", "order_id"]
            )
        )
        return priced, with_reporting(refunds, exponents)


def credited(acts: pl.LazyFrame) -> pl.LazyFrame:
    """The impressions that a click is credited to: clicks close impressions as brackets do."""
    who = ["person", "source", "content_id"]
    is_click = pl.col("is_click")
    touches = (
        acts.filter(pl.col("event_type").is_in(["impression", "click"]))
        .with_columns(is_click=(pl.col("event_type") == "click").cast(pl.Int64))
        .sort(*who, "occurred_at", "is_click", "event_id")
        .with_columns(depth=(1 - 2 * is_click).cum_sum().over(who) + is_click)
        .with_columns(partner=pl.col("occurred_at").shift(-1).over(*who, "depth"))
    )
    near = pl.col("partner") - pl.col("occurred_at") <= pl.duration(minutes=30)
    return touches.filter(is_click == 0, near)


def with_reporting(frame: pl.DataFrame, exponents: dict[str, int | None]) -> pl.DataFrame:
    """With `reporting`: minor units of CNY, half away from zero; null without a rate."""
    amounts: list[int | None] = []
    for amount, rate, currency in frame.select("amount_minor", "rate", "currency").iter_rows():
        text = "1" if currency == "CNY" else rate
        if text is None:
            amounts.append(None)
            continue
        shift = Decimal(10) ** (2 - (exponents[currency] or 0))
        exact = Decimal(amount) * Decimal(text) * shift
        amounts.append(int(exact.quantize(Decimal(1), ROUND_HALF_UP)))
    return frame.with_columns(reporting=pl.Series(amounts, dtype=pl.Int64))


def run(landing: Path, output: Path) -> dict[str, int]:
    """Write the five marts as Parquet; rows of each."""
    output.mkdir(parents=True, exist_ok=True)
    pipeline = Pipeline(landing)
    marts = {
        "daily_active": pipeline.daily_active,
        "retention": pipeline.retention,
        "daily_performance": pipeline.daily_performance,
        "group_daily": pipeline.group_daily,
        "revenue_daily": pipeline.revenue_daily,
    }
    rows = {}
    for name, mart in marts.items():
        frame = mart().collect()
        frame.write_parquet(output / f"{name}.parquet")
        rows[name] = len(frame)
    return rows
