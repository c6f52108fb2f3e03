"""Tables read by a mapping file: one small shop as CSV, JSONL and Parquet, and a real one."""

from __future__ import annotations

import gzip
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.connectors import (
    ConversionError,
    ConversionReport,
    ConversionUsageError,
    ConvertOptions,
    convert,
)
from tests.unit.connectors.landing_files import (
    FIXTURES,
    SHARED_DATA,
    Records,
    contract_faults,
    read_landing,
)

SHOP = FIXTURES / "mapping" / "shop.csv"
MAP = FIXTURES / "mapping" / "shop.yml"
RETAIL = SHARED_DATA / "online_retail_2009_2010" / "online_retail_II_2009_2010.parquet"


def run(
    export: Path, landing: Path, mapping: Path = MAP, zone: str | None = None, **flags: bool
) -> ConversionReport:
    options = ConvertOptions(more={"map": str(mapping)}, **flags)
    return convert("mapping", export, landing, "shop", zone=zone, options=options)


def written(folder: Path, text: str) -> Path:
    path = folder / "map.yml"
    path.write_text(text)
    return path


def money(records: Records) -> dict[str, tuple[int, str]]:
    return {
        row["order_id"]: (row["amount_minor"], row["currency"])
        for row in records["commerce/orders"]
    }


def test_a_shop_gives_orders_refunds_and_members(tmp_path: Path) -> None:
    report = run(SHOP, tmp_path)
    records = read_landing(tmp_path)
    assert contract_faults(records, "mapping") == []
    # 1.005 × 2 + 0.995 × 1 = 3.005 pounds = 300.5 pence, rounded once, after the sum.
    assert money(records) == {"A1": (301, "GBP"), "A2": (750, "JPY")}
    first, second = sorted(records["commerce/orders"], key=lambda row: row["order_id"])
    assert first["paid_at"] == "2020-06-01T09:00:00.000000Z", "summer time in London"
    assert second["paid_at"] == "2020-12-01T02:00:00.000000Z", "an offset beats the zone"
    assert first["member_id"] == "9007199254740993"
    assert [row["note"] for row in first["mapping"]["rows"]] == ["first, line", None]
    (refund,) = records["commerce/refunds"]
    assert (refund["order_id"], refund["amount_minor"]) == ("A1", 99)
    assert report.records_in == {"rows": 5}
    left_out = {item.reason: item.records for item in report.left_out}
    assert left_out == {
        "commerce/orders: not buyer empty false": 1,
        "commerce/orders: not no not starts with R": 1,
        "commerce/refunds: not price below 0": 4,
        "group/members: not buyer empty false": 1,
    }
    assert report.notes["commerce/orders: amount rounded half up to minor units"] == 1


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv.gz", "folder"])
def test_every_format_gives_the_same_records(tmp_path: Path, kind: str) -> None:
    run(SHOP, tmp_path / "csv")
    table = f"read_csv('{SHOP}', all_varchar = true)"
    export = tmp_path / f"shop.{kind}"
    match kind:
        case "jsonl":
            duckdb.sql(f"copy (from {table}) to '{export}' (format json)")
        case "folder":
            export.mkdir()
            shutil.copy(SHOP, export)
        case "csv.gz":
            export.write_bytes(gzip.compress(SHOP.read_bytes()))
        case _:
            duckdb.sql(f"copy (from {table}) to '{export}' (format parquet)")
    run(export, tmp_path / "other")
    expected, found = read_landing(tmp_path / "csv"), read_landing(tmp_path / "other")
    for rows in (*expected.values(), *found.values()):
        for row in rows:
            for cells in row["mapping"].get("rows", [row["mapping"]]):
                for name in [name for name, cell in cells.items() if cell is None]:
                    del cells[name]
    assert found == expected


def test_twice_gives_the_same_files(tmp_path: Path) -> None:
    first = run(SHOP, tmp_path)
    again = run(SHOP, tmp_path)
    assert again.files == ()
    assert sorted(again.unchanged) == sorted(first.files)


def test_without_names_and_text_nothing_personal_is_written(tmp_path: Path) -> None:
    run(SHOP, tmp_path, no_text=True, no_names=True)
    records = read_landing(tmp_path)
    assert contract_faults(records, "mapping") == []
    assert not [word for word in ("Zoe", "Bob", "Carl", "second", "line") if word in str(records)]
    assert len(records["group/members"]) == 4


def test_every_kind_of_value(tmp_path: Path) -> None:
    export = tmp_path / "log.jsonl"
    export.write_text(
        '{"u": {"id": 12345678901234567890}, "t": 1577872800123, "n": "7", "ok": true,'
        ' "tags": "a,b", "gone": null}\n'
    )
    mapping = written(
        tmp_path,
        """
        records:
          - log: group/messages
            fields:
              message_id: {template: "m-{u.id}-{row}"}
              group_id: {value: 1}
              member_id: u.id
              kind: {column: ok, enum: {true: text}, other: system}
              occurred_at: {column: t, time: epoch_ms}
              text_length: n
              mentions: {column: tags, split: ","}
              topic: {column: gone, default: none}
          - log: operations/exposures
            fields:
              event_id: {template: "{digest}"}
              experiment_id: {value: new-button}
              variant: {value: b}
              unit_id: u.id
              occurred_at: {column: t, time: epoch_ms}
        """,
    )
    run(export, tmp_path / "landing", mapping)
    records = read_landing(tmp_path / "landing")
    assert contract_faults(records, "mapping") == []
    (message,) = records["group/messages"]
    assert message["message_id"] == "m-12345678901234567890-1"
    assert message["occurred_at"] == "2020-01-01T10:00:00.123000Z"
    assert (message["kind"], message["text_length"], message["topic"]) == ("text", 7, "none")
    assert message["mentions"] == ["a", "b"]
    assert message["mapping"]["u"] == {"id": 12345678901234567890}
    assert len(records["operations/exposures"][0]["event_id"]) == 32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("records: []", r"line 1: records: "),
        ("records:\n  - log: commerce/order\n    fields: {order_id: no}", r"line 2.*no log"),
        ("records:\n  - log: commerce/refunds\n    fields: {refund_id: no}", r"needs the field"),
        ("zone: Mars/Olympus\nrecords: []", r"line 1: zone: .*no IANA time zone"),
        ("records: [", r"line 1: "),
        (MAP.read_text().replace("column: kind", "column: colour"), r"line 10.*no column 'colour'"),
        (MAP.read_text().replace("goods", "gods"), r"records\.0.*'gods' is none of"),
        (MAP.read_text().replace("starts_with", "begins"), r"line 6: records\.0\.where\.0\.begins"),
        (MAP.read_text().replace("round: half_up", "round: up"), r"money\.round"),
    ],
)
def test_a_wrong_mapping_is_named_with_line_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConversionUsageError, match=message) as caught:
        run(SHOP, tmp_path / "landing", written(tmp_path, text))
    assert "map.yml" in str(caught.value)
    assert not (tmp_path / "landing").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("round: half_up", "round: exact", r"amount_minor: a fraction of a minor unit"),
        ("book: goods", "pen: goods", r"row 1: commerce/orders: kind: kind has a value"),
        ("zone: Europe/London", "", r"row 1: commerce/orders: paid_at: .*no zone"),
        (", negate: true", "", r"row 5: commerce/refunds: amount_minor: negative"),
        ("combine: min", "combine: same", r"row 1: commerce/orders: paid_at: differs"),
        ("- {column: buyer, empty: false}", "", r"row 4: .*account_id or member_id is required"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = MAP.read_text()
    assert old in text
    with pytest.raises(ConversionError, match=message) as caught:
        run(SHOP, tmp_path / "landing", written(tmp_path, text.replace(old, new, 1)))
    assert "Zoe" not in str(caught.value)
    assert not (tmp_path / "landing").exists()


def test_bad_rows_can_be_left_out_and_counted(tmp_path: Path) -> None:
    text = MAP.read_text().replace("  - log: comm", "  - bad_rows: leave_out\n    log: comm")
    mapping = written(tmp_path, text.replace("book: goods", "pen: goods"))
    report = run(SHOP, tmp_path / "landing", mapping)
    assert report.records_out["commerce/orders"] == 1
    reasons = [item.reason for item in report.left_out]
    assert "commerce/orders: kind: kind has a value that the enum does not name" in reasons


def test_naive_times_take_the_zone_of_the_command(tmp_path: Path) -> None:
    text = MAP.read_text().replace("zone: Europe/London\n", "")
    run(SHOP, tmp_path / "landing", written(tmp_path, text), zone="Asia/Shanghai")
    orders = read_landing(tmp_path / "landing")["commerce/orders"]
    assert "2020-06-01T02:00:00.000000Z" in {row["paid_at"] for row in orders}


def test_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(ConversionUsageError, match="needs --option map"):
        convert("mapping", SHOP, tmp_path / "landing", "s")
    with pytest.raises(ConversionUsageError, match="no CSV, JSONL or Parquet"):
        run(MAP, tmp_path / "landing")
    assert not (tmp_path / "landing").exists()


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_table_is_an_error_with_a_place_or_a_whole_conversion(
    tmp_path: Path, data: st.DataObject
) -> None:
    landing = tmp_path / "landing"
    shutil.rmtree(landing, ignore_errors=True)
    content = SHOP.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    damage = data.draw(st.binary(max_size=3))
    cut = data.draw(st.booleans())
    export = tmp_path / "shop.csv"
    export.write_bytes(content[:place] + damage + (b"" if cut else content[place + 1 :]))
    outcome = attempt(export, landing)
    if isinstance(outcome, str):
        assert "shop" in outcome
        assert not landing.exists()
    else:
        records = read_landing(landing)
        assert {log: len(rows) for log, rows in records.items()} == dict(outcome.records_out)


def attempt(export: Path, landing: Path) -> ConversionReport | str:
    try:
        return run(export, landing)
    except ConversionError as error:
        return str(error)


def test_a_real_shop_adds_up(tmp_path: Path) -> None:
    if not RETAIL.is_file():
        pytest.skip("the public invoice lines are kept beside the checkout, not in it")
    mapping = written(
        tmp_path,
        """
        zone: Europe/London
        extra: false
        records:
          - log: commerce/orders
            group_by: [Invoice]
            where:
              - {column: Invoice, starts_with: C, not: true}
              - {column: Customer ID, empty: false}
              - {column: Quantity, above: 0}
              - {column: Price, above: 0}
            fields:
              order_id: Invoice
              kind: {value: goods}
              member_id: Customer ID
              currency: {value: GBP}
              paid_at: {column: InvoiceDate, combine: min}
              amount_minor:
                column: Price
                combine: sum
                money: {currency: GBP, times: Quantity, round: half_up}
        """,
    )
    report = run(RETAIL, tmp_path / "landing", mapping)
    assert report.records_in == {"rows": 525_461}
    assert report.notes["commerce/orders: rows grouped into records"] == 407_664
    assert sum(item.records for item in report.left_out) == 525_461 - 407_664
    orders = read_landing(tmp_path / "landing")["commerce/orders"]
    assert len(orders) == 19_213
    assert len({row["member_id"] for row in orders}) == 4_312
    assert all("." not in row["member_id"] for row in orders)
    exact: dict[str, Any] = dict(
        duckdb.execute(
            """
            select Invoice, sum(cast(Price as decimal(18, 3)) * Quantity)
            from read_parquet(?)
            where Invoice not like 'C%' and "Customer ID" is not null
                and Quantity > 0 and Price > 0
            group by Invoice
            """,
            [str(RETAIL)],
        ).fetchall()
    )
    assert sum(exact.values()) == Decimal("8832003.274")
    difference = Decimal(0)
    for row in orders:
        difference += (off := Decimal(row["amount_minor"]) - exact[row["order_id"]] * 100)
        assert abs(off) <= Decimal("0.5")
    off_invoices = report.notes["commerce/orders: amount rounded half up to minor units"]
    assert abs(difference) <= Decimal("0.5") * off_invoices
