"""Five marts as a Dagster and pandas tutorial would make them: an asset a log, an asset a mart.

Assets are materialised in one process and stored by Dagster's default, pickles in a folder.
"""

import csv
import tempfile
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dagster import Config, DagsterInstance, FilesystemIOManager, asset, materialize
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

ZONE = "Asia/Shanghai"
HORIZONS = (1, 3, 7, 14, 28)
CURRENCIES = Path(__file__).resolve().parents[2] / "dbt_project" / "seeds" / "currencies.csv"


class Files(Config):
    """Where the landing zone is."""

    landing: str


def read_log(landing: str, log: str, columns: list[str]) -> pd.DataFrame:
    """All files of a log, only these columns, whatever their format."""
    frames = []
    for path in sorted((Path(landing) / log).rglob("*.*")):
        if path.name.endswith(".control.json"):
            continue
        if ".jsonl" in path.name:
            frame = pd.read_json(path, lines=True, dtype=False, convert_dates=False)
        elif ".csv" in path.name:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
        else:
            frame = pd.read_parquet(path)
        frames.append(frame.reindex(columns=columns))
    return pd.concat(frames, ignore_index=True)


def events(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """An event log without its duplicates: of one key, the record received first."""
    if "received_at" in frame:
        frame["received_at"] = utc(frame["received_at"])
        frame = frame.sort_values("received_at", kind="stable")
    return frame.drop_duplicates(["source", key])


def current(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """An entity log's current states: of one key, the state updated last."""
    frame["updated_at"] = utc(frame["updated_at"])
    frame = frame.sort_values("updated_at", kind="stable")
    return frame.drop_duplicates(["source", key], keep="last")


def utc(column: pd.Series) -> pd.Series:
    """Times with their offsets, as UTC."""
    return pd.to_datetime(column, utc=True, format="ISO8601")


def local_date(column: pd.Series) -> pd.Series:
    """The local dates of UTC times, at midnight and without a zone."""
    return column.dt.tz_convert(ZONE).dt.normalize().dt.tz_localize(None)


@asset
def accounts(config: Files) -> pd.DataFrame:
    """Accounts as they are now."""
    columns = ["source", "account_id", "updated_at", "phone", "union_id", "is_bot", "is_staff"]
    return current(
        read_log(config.landing, "community/accounts", [*columns, "is_test"]), "account_id"
    )


@asset
def members(config: Files) -> pd.DataFrame:
    """Members as they are now."""
    columns = ["source", "member_id", "updated_at", "phone", "union_id", "is_bot", "is_staff"]
    return current(read_log(config.landing, "group/members", [*columns, "is_test"]), "member_id")


@asset
def contents(config: Files) -> pd.DataFrame:
    """Contents as they are now."""
    columns = ["source", "content_id", "updated_at", "author_account_id", "published_at"]
    frame = read_log(config.landing, "community/contents", [*columns, "deleted_at"])
    frame = current(frame, "content_id")
    frame["published_at"] = utc(frame["published_at"])
    frame["deleted_at"] = utc(frame["deleted_at"])
    return frame


@asset
def community_events(config: Files) -> pd.DataFrame:
    """Events with their local date, without duplicates."""
    columns = ["source", "event_id", "account_id", "event_type", "occurred_at", "content_id"]
    frame = read_log(config.landing, "community/events", [*columns, "received_at"])
    frame = events(frame, "event_id")
    frame["occurred_at"] = utc(frame["occurred_at"])
    frame["date"] = local_date(frame["occurred_at"])
    return frame


@asset
def messages(config: Files) -> pd.DataFrame:
    """Messages and reactions, system messages left out."""
    columns = ["source", "message_id", "group_id", "member_id", "occurred_at", "kind"]
    frame = read_log(config.landing, "group/messages", [*columns, "received_at"])
    frame = events(frame, "message_id")
    frame["date"] = local_date(utc(frame["occurred_at"]))
    return frame[frame["kind"] != "system"]


@asset
def other_activity(config: Files) -> pd.DataFrame:
    """Attendance, questions to consultants and opened deliveries: member, date, contribution."""
    attendance = events(
        read_log(
            config.landing,
            "group/attendance",
            ["source", "event_id", "member_id", "action", "occurred_at"],
        ),
        "event_id",
    )
    attendance["contributed"] = attendance["action"] == "submit"
    consults = events(
        read_log(
            config.landing,
            "group/consults",
            ["source", "event_id", "member_id", "action", "occurred_at"],
        ),
        "event_id",
    )
    consults = consults[consults["action"] == "question"]
    columns = ["source", "event_id", "member_id", "status", "occurred_at", "received_at"]
    deliveries = events(read_log(config.landing, "group/deliveries", columns), "event_id")
    deliveries = deliveries[deliveries["status"].isin(["read", "click"])]
    frames = []
    for frame in (attendance, consults, deliveries):
        frame = frame.reindex(columns=["source", "member_id", "occurred_at", "contributed"])
        frame["contributed"] = frame["contributed"].eq(True)
        frame["date"] = local_date(utc(frame.pop("occurred_at")))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


@asset
def closed_groups(config: Files) -> pd.DataFrame:
    """The local date on which a group was closed, of those that were."""
    columns = ["source", "group_id", "updated_at", "closed_at"]
    frame = current(read_log(config.landing, "group/groups", columns), "group_id")
    frame["closed_date"] = local_date(utc(frame["closed_at"]))
    return frame[["source", "group_id", "closed_date"]].dropna()


@asset
def links(config: Files) -> pd.DataFrame:
    """Pairs of account and member that are linked now."""
    pair = ["account_source", "account_id", "member_source", "member_id"]
    columns = ["source", "link_id", *pair, "action", "occurred_at"]
    frame = events(read_log(config.landing, "commerce/identity_links", columns), "link_id")
    frame["occurred_at"] = utc(frame["occurred_at"])
    frame = frame.sort_values(["occurred_at", "source", "link_id"])
    frame = frame.drop_duplicates(pair, keep="last")
    return frame[frame["action"] == "link"]


def normalised_phone(phone: pd.Series) -> pd.Series:
    """Digits only, without 00 and 86 in front; fewer than seven are no phone."""
    digits = phone.astype("string").str.translate(
        str.maketrans("０１２３４５６７８９", "0123456789")
    )
    digits = digits.str.replace(r"[^0-9]", "", regex=True).str.replace(r"^00", "", regex=True)
    digits = digits.str.replace(r"^86([0-9]{11})$", r"\1", regex=True)
    return digits.where(digits.str.len() >= 7)


def is_set(flag: pd.Series) -> pd.Series:
    """A flag of any format as a boolean, false where there is none."""
    return flag.astype("string").str.lower().eq("true").fillna(False).astype(bool)


@asset
def persons(accounts: pd.DataFrame, members: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """kind, source, id → person number and whether it counts; ids without a record are absent."""
    ids = pd.concat(
        [
            accounts.assign(kind="account", id=accounts["account_id"]),
            members.assign(kind="member", id=members["member_id"]),
        ],
        ignore_index=True,
    )[["kind", "source", "id", "phone", "union_id", "is_bot", "is_staff", "is_test"]]
    ends = [
        links[[f"{kind}_source", f"{kind}_id"]].set_axis(["source", "id"], axis=1).assign(kind=kind)
        for kind in ("account", "member")
    ]
    ids = pd.concat([ids, *ends], ignore_index=True).drop_duplicates(["kind", "source", "id"])
    ids = ids.reset_index(drop=True)
    number = pd.Series(ids.index, pd.MultiIndex.from_frame(ids[["kind", "source", "id"]]))
    left = [number.loc[pd.MultiIndex.from_frame(ends[0][["kind", "source", "id"]])].to_numpy()]
    right = [number.loc[pd.MultiIndex.from_frame(ends[1][["kind", "source", "id"]])].to_numpy()]
    for key in (normalised_phone(ids["phone"]), ids["union_id"]):
        held = ids.assign(key=key, number=ids.index).dropna(subset=["key"])
        sharing = held.groupby("key")["number"]
        held["first"], held["size"] = sharing.transform("min"), sharing.transform("size")
        held = held[held["size"] <= 20]
        left.append(held["first"].to_numpy())
        right.append(held["number"].to_numpy())
    a, b = np.concatenate(left), np.concatenate(right)
    graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(len(ids), len(ids)))
    ids["person"] = connected_components(graph, directed=False)[1]
    ids["out"] = is_set(ids["is_bot"]) | is_set(ids["is_test"]) | is_set(ids["is_staff"])
    ids["counts"] = ~ids.groupby("person")["out"].transform("any")
    return ids[["kind", "source", "id", "person", "counts"]]


def with_persons(frame: pd.DataFrame, id_column: str, kind: Any, persons: pd.DataFrame) -> Any:
    """The rows of persons who count, with `person`; an id without a record is a person itself."""
    found = frame.assign(id_kind=kind).merge(
        persons.rename(columns={"kind": "id_kind", "id": id_column}),
        on=["id_kind", "source", id_column],
        how="left",
    )
    unknown = found["id_kind"] + "/" + found["source"] + "/" + found[id_column]
    stranger = -1 - pd.Series(pd.factorize(unknown)[0], index=found.index)
    found["person"] = found["person"].fillna(stranger).astype("int64")
    return found[found["counts"].isna() | found["counts"].eq(True)]


@asset
def as_of(community_events: pd.DataFrame, messages: pd.DataFrame) -> pd.Timestamp:
    """The last date of the data."""
    return max(community_events["date"].max(), messages["date"].max())


@asset
def person_days(
    community_events: pd.DataFrame,
    contents: pd.DataFrame,
    messages: pd.DataFrame,
    other_activity: pd.DataFrame,
    persons: pd.DataFrame,
    as_of: pd.Timestamp,
) -> pd.DataFrame:
    """Core × date × person → contributed, for each core and for all."""
    acts = community_events[community_events["event_type"] != "impression"]
    acts = acts.assign(
        contributed=acts["event_type"].isin(["comment", "share", "checkin", "vote"])
    )[["source", "account_id", "date", "contributed"]]
    published = contents.assign(date=local_date(contents["published_at"]), contributed=True)
    published = published.rename(columns={"author_account_id": "account_id"})[acts.columns]
    talk = messages.assign(contributed=messages["kind"] != "reaction")
    talk = talk[["source", "member_id", "date", "contributed"]]
    community = with_persons(pd.concat([acts, published]), "account_id", "account", persons)
    group = with_persons(pd.concat([talk, other_activity]), "member_id", "member", persons)
    days = pd.concat([community.assign(core="community"), group.assign(core="group")])
    days = days[days["date"] <= as_of]
    days = pd.concat([days, days.assign(core="all")])
    return days.groupby(["core", "date", "person"], as_index=False)["contributed"].max()


@asset
def daily_active(person_days: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """`users.daily_active`, totals over the sources."""
    calendar = pd.date_range(person_days["date"].min(), as_of)
    rows = []
    for core, days in person_days.groupby("core"):
        firsts = days.groupby("person")["date"].min().value_counts()
        for date in calendar:
            today = days[days["date"] == date]
            week = days[days["date"].between(date - pd.Timedelta(days=6), date)]
            month = days[days["date"].between(date - pd.Timedelta(days=27), date)]
            rows.append(
                {
                    "date": date,
                    "core": core,
                    "dau": len(today),
                    "dau_contributing": int(today["contributed"].sum()),
                    "wau": week["person"].nunique(),
                    "mau28": month["person"].nunique(),
                    "new_persons": int(firsts.get(date, 0)),
                }
            )
    return pd.DataFrame(rows)


@asset
def retention(person_days: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """`users.retention`."""
    seen = person_days.groupby(["core", "person"])["date"].agg(["min", "max"]).reset_index()
    seen = seen.rename(columns={"min": "cohort_date", "max": "last_date"})
    sizes = seen.groupby(["core", "cohort_date"]).size()
    days = person_days.merge(seen, on=["core", "person"])
    age = (days["date"] - days["cohort_date"]).dt.days
    frames = []
    for n in HORIZONS:
        later = seen[seen["last_date"] >= seen["cohort_date"] + pd.Timedelta(days=n)]
        counts = {
            "on": days[age == n].groupby(["core", "cohort_date"]).size(),
            "on_or_after": later.groupby(["core", "cohort_date"]).size(),
        }
        for mode, retained in counts.items():
            frame = sizes.rename("cohort_size").reset_index()
            frame["retained"] = retained.reindex(sizes.index, fill_value=0).to_numpy()
            due = frame["cohort_date"] + pd.Timedelta(days=n) <= as_of
            frame["eligible"] = frame["cohort_size"].where(due, 0)
            frame["retained"] = frame["retained"].astype("Int64").where(due)
            frames.append(frame.assign(mode=mode, day_n=n))
    return pd.concat(frames, ignore_index=True)


@asset
def daily_performance(
    community_events: pd.DataFrame,
    contents: pd.DataFrame,
    persons: pd.DataFrame,
    as_of: pd.Timestamp,
) -> pd.DataFrame:
    """`content.daily_performance`, without likes."""
    kinds = ["impression", "click", "read", "comment", "share", "collect"]
    acts = community_events[
        community_events["event_type"].isin(kinds) & community_events["content_id"].notna()
    ]
    acts = acts.merge(
        contents[["source", "content_id", "deleted_at"]], on=["source", "content_id"], how="left"
    )
    acts = acts[acts["deleted_at"].isna() | (acts["occurred_at"] < acts["deleted_at"])]
    acts = with_persons(acts, "account_id", "account", persons)
    keys = ["date", "source", "content_id"]
    daily = acts.pivot_table(
        index=keys, columns="event_type", values="event_id", aggfunc="size", fill_value=0
    ).reindex(columns=kinds, fill_value=0)
    daily.columns = ["impressions", "clicks", "reads", "comments", "shares", "collects"]
    viewers = acts[acts["event_type"] == "read"].groupby(keys)["person"].nunique()
    daily["unique_viewers"] = viewers
    daily["clicks_credited"] = credited(acts).groupby(keys).size()
    daily = daily.fillna(0).astype("int64").reset_index()
    return daily[daily["date"] <= as_of]


def credited(acts: pd.DataFrame) -> pd.DataFrame:
    """The impressions that a click is credited to: clicks close impressions as brackets do."""
    touches = acts[acts["event_type"].isin(["impression", "click"])].copy()
    touches["is_click"] = (touches["event_type"] == "click").astype("int64")
    person_content = ["person", "source", "content_id"]
    touches = touches.sort_values([*person_content, "occurred_at", "is_click", "event_id"])
    touches["step"] = 1 - 2 * touches["is_click"]
    depth = touches.groupby(person_content)["step"].cumsum()
    touches["depth"] = depth + touches["is_click"]
    partner = touches.groupby([*person_content, "depth"])["occurred_at"].shift(-1)
    near = partner - touches["occurred_at"] <= pd.Timedelta(minutes=30)
    return touches[(touches["is_click"] == 0) & near]


@asset
def group_daily(
    messages: pd.DataFrame,
    closed_groups: pd.DataFrame,
    persons: pd.DataFrame,
    as_of: pd.Timestamp,
) -> pd.DataFrame:
    """`engagement.group_daily`, without members."""
    talk = with_persons(messages, "member_id", "member", persons)
    talk = talk.merge(closed_groups, on=["source", "group_id"], how="left")
    talk = talk[talk["date"] <= talk["closed_date"].fillna(as_of).clip(upper=as_of)]
    talk["is_reaction"] = talk["kind"] == "reaction"
    keys = ["date", "source", "group_id"]
    daily = talk.groupby(keys)["is_reaction"].agg(["size", "sum"])
    daily["reactions"] = daily["sum"]
    daily["messages"] = daily["size"] - daily["sum"]
    daily["speakers"] = talk[~talk["is_reaction"]].groupby(keys)["person"].nunique()
    daily = daily[["speakers", "messages", "reactions"]].fillna(0).astype("int64")
    return daily.reset_index()


@asset
def orders(config: Files) -> pd.DataFrame:
    """Orders with their reporting amount in CNY, None without a rate."""
    columns = ["source", "order_id", "amount_minor", "currency", "paid_at", "account_id"]
    frame = read_log(
        config.landing, "commerce/orders", [*columns, "member_id", "group_id", "received_at"]
    )
    frame = events(frame, "order_id")
    frame["date"] = local_date(utc(frame["paid_at"]))
    rates = read_log(
        config.landing, "commerce/fx_rates", ["source", "rate_id", "rate_date", "currency", "rate"]
    )
    rates = rates.sort_values(["source", "rate_id"])
    rates = rates.drop_duplicates(["currency", "rate_date"], keep="last")
    rates["rate_date"] = pd.to_datetime(rates["rate_date"])
    frame = pd.merge_asof(
        frame.assign(date=frame["date"].astype("datetime64[us]")).sort_values("date"),
        rates.assign(rate_date=rates["rate_date"].astype("datetime64[us]"))[
            ["rate_date", "currency", "rate"]
        ].sort_values("rate_date"),
        left_on="date",
        right_on="rate_date",
        by="currency",
    )
    frame.loc[frame["currency"] == "CNY", "rate"] = "1"
    frame["reporting"] = [
        converted(*row)
        for row in zip(frame["amount_minor"], frame["rate"], frame["currency"], strict=True)
    ]
    return frame


def exponents() -> dict[str, int]:
    """The decimals of each currency."""
    with CURRENCIES.open(encoding="utf-8") as handle:
        return {row["currency"]: int(row["exponent"] or 0) for row in csv.DictReader(handle)}


EXPONENTS = exponents()


def converted(amount: Any, rate: Any, currency: str) -> int | None:
    """An amount in minor units at a rate, as minor units of CNY; half away from zero."""
    if rate is None or rate != rate:
        return None
    exact = Decimal(int(amount)) * Decimal(rate) * Decimal(10) ** (2 - EXPONENTS[currency])
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP))


@asset
def refunds(config: Files, orders: pd.DataFrame) -> pd.DataFrame:
    """Refunds of known orders, in CNY at the order's rate."""
    columns = ["source", "refund_id", "order_id", "amount_minor", "refunded_at"]
    frame = events(read_log(config.landing, "commerce/refunds", columns), "refund_id")
    frame["date"] = local_date(utc(frame["refunded_at"]))
    frame = frame.merge(
        orders[["source", "order_id", "rate", "currency"]], on=["source", "order_id"]
    )
    frame["reporting"] = [
        converted(*row) or 0
        for row in zip(frame["amount_minor"], frame["rate"], frame["currency"], strict=True)
    ]
    return frame


@asset
def revenue_daily(
    orders: pd.DataFrame, refunds: pd.DataFrame, persons: pd.DataFrame, as_of: pd.Timestamp
) -> pd.DataFrame:
    """`revenue.daily`."""
    orders = orders.assign(payer=orders["account_id"].fillna(orders["member_id"]))
    kind = np.where(orders["account_id"].notna(), "account", "member")
    orders = with_persons(orders.reset_index(drop=True), "payer", kind, persons)
    orders["core"] = np.where(orders["group_id"].notna(), "group", "community")
    refunds = refunds[refunds["date"] <= as_of]
    back = refunds.groupby(["source", "order_id"], as_index=False)["reporting"].sum()
    orders = orders.merge(
        back.rename(columns={"reporting": "refunded"}), on=["source", "order_id"], how="left"
    )
    daily = orders.groupby(["date", "core"]).agg(
        orders=("order_id", "size"),
        payers=("person", "nunique"),
        gmv_minor=("reporting", "sum"),
        refunds_order_minor=("refunded", "sum"),
    )
    cash = refunds.merge(orders[["source", "order_id", "core"]], on=["source", "order_id"])
    cash = cash.groupby(["date", "core"])["reporting"].sum().rename("refunds_cash_minor")
    daily = daily.join(cash, how="outer").fillna(0).astype("int64").reset_index()
    daily = daily[daily["date"] <= as_of]
    daily["net_cash_minor"] = daily["gmv_minor"] - daily["refunds_cash_minor"]
    daily["net_order_minor"] = daily["gmv_minor"] - daily["refunds_order_minor"]
    return daily


SOURCES = [
    *(accounts, members, contents, community_events, messages, other_activity),
    *(closed_groups, links, orders, refunds),
]
MARTS = [daily_active, retention, daily_performance, group_daily, revenue_daily]


def run(landing: Path, output: Path) -> dict[str, int]:
    """Materialise everything and write the five marts as Parquet; rows of each."""
    output.mkdir(parents=True, exist_ok=True)
    config = {"config": {"landing": str(landing)}}
    with tempfile.TemporaryDirectory(dir=output) as folder:
        result = materialize(
            [*SOURCES, persons, as_of, person_days, *MARTS],
            instance=DagsterInstance.local_temp(folder),
            resources={"io_manager": FilesystemIOManager(base_dir=folder)},
            run_config={"ops": {item.op.name: config for item in SOURCES}},
        )
        rows = {}
        for mart in MARTS:
            name = mart.op.name
            frame: pd.DataFrame = result.output_for_node(name)
            for column in ("date", "cohort_date"):
                if column in frame:
                    frame[column] = frame[column].dt.date
            frame.to_parquet(output / f"{name}.parquet", index=False)
            rows[name] = len(frame)
    return rows
