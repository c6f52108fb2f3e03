"""Attacks on what lies in the folder: ids and hashes, canaries, keys, order, a second writing."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

from orchestration.audience.attacks.scene import Scene, columns_of, result, texts
from orchestration.audience.interface import MISSING, OTHER, AttackResult
from orchestration.audience.recode import column_list, quoted
from orchestration.warehouse import literal

PLANTED = 200
SHORTEST_ID = 6
FREE_TEXT = ("display_name", "query", "text")
_HEX = "^[0-9a-f]{8,128}$"
_BASE64 = "^[A-Za-z0-9+/_-]{16,}={0,2}$"
_BLOCK = 64


def vocabulary(scene: Scene) -> list[AttackResult]:
    """Smuggle something out: a column or a value that the definition did not declare.

    Formula: columns that only the file or only the definition has, and distinct values outside a
    column's vocabulary. Source: the contract's "declared beforehand". Gate: 0.
    """
    declared = {c.name: c for c in scene.spec.columns}
    present = columns_of(scene.connection, "released")
    strays = len(set(declared) ^ set(present))
    values = 0
    for column in scene.columns:
        if column not in declared:
            continue
        known = [*declared[column].vocabulary, OTHER, MISSING]
        values += scene.one(
            f"""
            select count(distinct {quoted(column)})
            from attack_cells
            where attack_rows > 0 and {quoted(column)} not in ({", ".join(map(literal, known))})
            """
        )[0]
    detail = f"{strays} columns, {values} values not declared"
    return [result("vocabulary", float(strays + values), 0.0, detail)]


def _write_values(scene: Scene) -> None:
    """Write `attack_values` (value, is_data): what the data files and the texts say.

    Of data files the distinct values of all but measures; of texts their words. What the
    definition declares is left out.
    """
    measures = set(scene.measures)
    parts = [
        f"select {quoted(column)} as value, true as is_data from attack_cells where attack_rows > 0"
        for column in scene.columns
    ]
    for file in sorted(scene.context.folder.glob("*.csv")):
        source = f"read_csv({literal(str(file))}, header = true, all_varchar = true)"
        parts += [
            f"select {quoted(column)} as value, true as is_data from {source}"
            for column in columns_of(scene.connection, f"select * from {source}")
            if column not in measures
        ]
    spec = scene.spec
    declared = {value for column in spec.columns for value in column.vocabulary}
    declared |= {value for recode in spec.recode for pair in recode.mapping for value in pair}
    declared |= {spec.pack, spec.purpose, spec.population, *spec.recipients}
    words = [
        f"select unnest(regexp_extract_all(content, '[0-9A-Za-z@._+-]+')), false"
        f" from read_text({literal(str(file))})"
        for file in _texts(scene.context.folder)
    ]
    scene.connection.execute(
        f"""
        create temp table if not exists attack_values as
        select distinct value, is_data
        from ({" union all ".join([*parts, *words])})
        where value is not null
            and value not in ({", ".join(map(literal, sorted({*declared, OTHER, MISSING})))})
        """
    )


def _texts(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.suffix in (".json", ".md", ".sql", ".txt")
    )


def dictionary(scene: Scene) -> list[AttackResult]:
    """Look up every known id, plain and hashed, among all values of all files.

    Plain ids of 6 characters or more: in data all, in texts those of 8 or more with four digits
    that nobody chose freely, or a nickname could be a word of the card. In data further what
    looks like a digest (8 or more hex digits, base64, a 64-bit number) against MD5, SHA-1,
    SHA-256 and DuckDB's `hash` of every id, SHA-256 with each secret as a salt and HMAC-SHA256
    with each as a leaked key; whole or cut short.

    Formula: values found. Source: PIPL Art. 73, 匿名化 (cannot be restored). Gate: 0.
    """
    _write_values(scene)
    free = ", ".join(map(literal, FREE_TEXT))
    (plain,) = scene.one(
        f"""
        select count(distinct id)
        from known_ids
        where length(id) >= {SHORTEST_ID}
            and (
                id in (select value from attack_values where is_data)
                or lower(trim(id)) in (select value from attack_values where is_data)
                or (
                    id in (select value from attack_values where not is_data)
                    and length(id) >= 8
                    and regexp_matches(id, '[0-9].*[0-9].*[0-9].*[0-9]')
                    and kind not in ({free})
                )
            )
        """
    )
    scene.connection.execute(
        f"""
        create or replace temp table attack_digests as
        select distinct
            case when regexp_matches(lower(value), '{_HEX}') then lower(value) else value end
                as digest
        from attack_values
        where is_data
            and (regexp_matches(lower(value), '{_HEX}') or regexp_matches(value, '{_BASE64}'))
        """
    )
    lengths = [
        int(row[0])
        for row in scene.connection.execute(
            "select distinct length(digest) from attack_digests"
        ).fetchall()
    ]
    found = 0
    if lengths:
        scene.connection.execute(
            """
            create or replace temp table attack_ids as
            select id from known_ids
            union
            select lower(trim(id)) from known_ids
            """
        )
        found = sum(_looked_up(scene, form, lengths) for form in _forms(scene))
    (digests,) = scene.one("select count(*) from attack_digests")
    detail = f"{plain} plain ids, {digests} values look like a digest"
    return [result("dictionary", float(plain + found), 0.0, detail)]


def _forms(scene: Scene) -> list[str]:
    """SQL of every digest of `id`, as lower-case hex or as a number."""
    forms = ["md5(id)", "sha1(id)", "sha256(id)", "cast(hash(id) as varchar)"]
    for number, secret in enumerate(scene.context.secrets):
        key = hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret
        block = key.ljust(_BLOCK, b"\0")
        pads = {
            f"attack_salt_{number}": secret,
            f"attack_ipad_{number}": bytes(byte ^ 0x36 for byte in block),
            f"attack_opad_{number}": bytes(byte ^ 0x5C for byte in block),
        }
        for variable, value in pads.items():
            scene.connection.execute(f"set variable {variable} = ?::blob", [value])
        salt, inner, outer = (f"getvariable('{variable}')" for variable in pads)
        forms.append(f"sha256({salt} || encode(id))")
        forms.append(f"sha256({outer} || unhex(sha256({inner} || encode(id))))")
    return forms


def _looked_up(scene: Scene, form: str, lengths: Iterable[int]) -> int:
    """How many digests of one form stand in the data: whole, cut short, or in base64."""
    encoded = "''" if form.startswith("cast") else "to_base64(unhex(digest))"
    conditions = " or ".join(
        f"substr(digest, 1, {length}) in (select digest from attack_digests"
        f" where length(digest) = {length})"
        for length in lengths
    )
    (found,) = scene.one(
        f"""
        with hashed as (
            select {form} as digest
            from attack_ids
        ),

        written as (
            select digest, {encoded} as encoded
            from hashed
        )

        select count(distinct digest)
        from written
        where {conditions}
            or encoded in (select digest from attack_digests)
            or rtrim(encoded, '=') in (select digest from attack_digests)
        """
    )
    return int(found)


def canaries(scene: Scene) -> list[AttackResult]:
    """Plant 200 persons and look for them: minors, no consent, erased, ids in text, a lone city.

    Found are: those who may not be in a pack and yet stand in its population; planted texts and
    ids in any file; and, of a rebuild among whose persons the eligible canaries stand, cells
    that no other person has.

    Formula: the number found. Source: Carlini et al. 2019 (planted secrets). Gate: 0, and fewer
    than 200 planted is a failure too.
    """
    _write_values(scene)
    planted, outside = scene.one(
        "select count(*), count(*) filter (where not is_eligible) from canaries"
    )
    tables = ["population"] if scene.is_rows else ["population", "bounded"]
    inside = sum(
        scene.one(
            f"""
            select count(*)
            from canaries
            where not is_eligible and person_id in (select person_id from {table})
            """
        )[0]
        for table in tables
    )
    (written,) = scene.one(
        """
        select count(*)
        from canaries
        where exists (
            select 1
            from attack_values
            where contains(value, planted_text) or contains(value, canaries.person_id)
        )
        """
    )
    wanted = [
        str(text)
        for row in scene.connection.execute(
            "select person_id, planted_text from canaries"
        ).fetchall()
        for text in row
    ]
    for file in _texts(scene.context.folder):
        content = file.read_text(encoding="utf-8")
        written += sum(text in content for text in wanted)
    cells = _canary_cells(scene)
    found = inside + written + cells + max(0, PLANTED - planted)
    detail = (
        f"{planted} planted, {outside} of them not eligible:"
        f" {inside} among the persons, {written} in files, {cells} cells"
    )
    return [result("canaries", float(found), 0.0, detail)]


def _canary_cells(scene: Scene) -> int:
    """Cells of a rebuild with canaries that no person of the population has.

    Keys of a counts pack are cut after the noise, so that there is nothing to see before it.
    """
    if not scene.is_rows:
        return 0
    by = column_list(scene.shared_columns)
    scene.context.redo("attack_planted", planted=True, filtered=True)
    (cells,) = scene.one(
        f"""
        select count(*)
        from (select {texts(scene.shared_columns)} from attack_planted) as planted
        where ({by}) not in (
            select ({by}) from attack_cells where attack_persons > 0
        )
        """
    )
    return int(cells)


def repeat_files(scene: Scene) -> list[AttackResult]:
    """Write the files again from what was drawn, and look for a difference that says something.

    Formula: data files whose SHA-256 differs. Source: the contract, "same spec twice: same
    bytes". Gate: 0.
    """
    with tempfile.TemporaryDirectory(dir=scene.context.folder.parent) as scratch:
        written = dict(scene.context.rewrite(Path(scratch)))
    differing = sum(
        not (scene.context.folder / file).is_file()
        or _sha256(scene.context.folder / file) != digest
        for file, digest in written.items()
    )
    missing = 0 if written else 1
    return [result("repeat_files", float(differing + missing), 0.0, f"{len(written)} files")]


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def repeat_charge(scene: Scene) -> list[AttackResult]:
    """Get a second draw, or a draw that nobody paid for.

    The candidate's latest entry in the ledger must be reserved and charged once, not refunded,
    for at least the promised ε and δ; and no other entry may have released the same definition
    over the same snapshot, because two draws of one table can be averaged.

    Formula: the number of these that do not hold. Source: Dwork and Roth 2014, 3.5. Gate: 0.
    """
    spec = scene.spec
    wrong, charges = scene.one(
        f"""
        with own as (
            select entry, snapshot_id, status, epsilon, delta
            from ledger
            where pack = {literal(spec.pack)} and version = {scene.context.version}
                and spec_sha256 = {literal(spec.sha256)}
        ),

        latest as (
            select *
            from own
            where entry = (select max(entry) from own)
        ),

        counted as (
            select
                count(*) filter (where status = 'reserved') as reservations,
                count(*) filter (where status = 'charged') as charges,
                count(*) filter (where status in ('refunded', 'released')) as ends,
                count(*) filter (
                    where epsilon < {spec.guarantee.epsilon!r} - 1e-9
                        or delta < {spec.guarantee.delta!r} * (1 - 1e-9)
                ) as cheap
            from latest
        ),

        others as (
            select count(*) as draws
            from ledger
            where status = 'released' and spec_sha256 = {literal(spec.sha256)}
                and snapshot_id in (select snapshot_id from latest)
        )

        select
            abs(reservations - 1) + abs(charges - 1) + ends + cheap + draws,
            charges
        from counted
        cross join others
        """
    )
    return [result("repeat_charge", float(wrong), 0.0, f"{charges} charges")]


def keys(scene: Scene) -> list[AttackResult]:
    """Find the coin key or the warehouse's key in a file: raw, as hex, or as base64.

    Formula: pairs of a secret and a file that holds it. Source: Li, Qardaji, Su 2012 (coins are
    secret); Kerckhoffs. Gate: 0.
    """
    _write_values(scene)
    found = 0
    files = [path for path in sorted(scene.context.folder.iterdir()) if path.is_file()]
    for secret in scene.context.secrets:
        forms = (secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"="))
        for path in files:
            content = path.read_bytes()
            found += any(form in content or form.upper() in content for form in forms)
        found += scene.one(
            f"select count(*) from attack_values where is_data and lower(value) = '{secret.hex()}'"
        )[0]
    detail = f"{len(scene.context.secrets)} secrets, {len(files)} files"
    return [result("keys", float(found), 0.0, detail)]


def side_channels(scene: Scene) -> list[AttackResult]:
    """Read more from a file than its rows: order, row groups, metadata, a count in a text.

    Formula: rows out of the order of all columns; row groups beyond one; key-value metadata; rows
    of the CSV that are not the Parquet file's; texts that name the number of eligible persons.
    Source: NIST SP 800-226 (2025), side channels. Gate: 0.
    """
    file = scene.context.folder / f"{scene.spec.product}.parquet"
    source = literal(str(file))
    columns = columns_of(scene.connection, f"select * from read_parquet({source})")
    by = column_list(columns)
    (unsorted,) = scene.one(
        f"""
        with placed as (
            select row({by}) as own, lag(row({by})) over (order by file_row_number) as before
            from read_parquet({source}, file_row_number = true)
        )

        select count(*)
        from placed
        where before > own
        """
    )
    (groups,) = scene.one(f"select count(distinct row_group_id) from parquet_metadata({source})")
    (metadata,) = scene.one(f"select count(*) from parquet_kv_metadata({source})")
    twin = file.with_suffix(".csv")
    rows = 0
    if twin.is_file():
        csv = f"read_csv({literal(str(twin))}, header = true, all_varchar = true)"
        cast = ", ".join(f"cast({quoted(c)} as varchar)" for c in columns)
        (rows,) = scene.one(
            f"""
            select count(*)
            from (
                (select {cast} from read_parquet({source}) except all select {by} from {csv})
                union all
                (select {by} from {csv} except all select {cast} from read_parquet({source}))
            )
            """
        )
    (persons,) = scene.one("select count(distinct person_id) from population")
    named = 0
    if persons >= 1000:
        named = sum(
            str(persons) in path.read_text(encoding="utf-8").replace(",", "").split()
            for path in _texts(scene.context.folder)
        )
    found = unsorted + max(0, groups - 1) + metadata + rows + named
    detail = f"{unsorted} rows out of order, {groups} row groups, {rows} rows differ from the CSV"
    return [result("side_channels", float(found), 0.0, detail)]
