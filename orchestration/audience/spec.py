"""From a pack's YAML file to a `PackSpec`, or to all that is wrong with it, line by line.

The file is read as YAML nodes, which keep their lines, and every scalar is text until its field
says otherwise: `no` stays a country and `1e-8` a number, where YAML 1.1 sees neither.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import yaml

from orchestration.audience.definition import (
    NAME,
    Definition,
    RefusedError,
    SpecError,
    label_problem,
)
from orchestration.audience.features import FEATURES, WINDOWS, Feature, why_refused
from orchestration.audience.interface import (
    MISSING,
    OTHER,
    Column,
    Condition,
    Guarantee,
    Measure,
    PackSpec,
    Product,
    Recode,
    Role,
)
from orchestration.audience.policy import AudiencePolicy
from orchestration.audience.safepub import delta, max_beta
from orchestration.plan import DBT_PROJECT

SHIPPED = Path(__file__).resolve().parent / "packs"
MAX_COLUMNS = 8
MAX_VOCABULARY = 500
MAX_CELLS = 1_000_000

_KEYS = frozenset(
    {
        *("pack", "title", "product", "purpose", "recipients", "population", "unit"),
        *("window_days", "segment", "recode", "sensitive", "guarantee", "ttl_days"),
        *("max_cells_per_person", "clamps", "noise", "keys"),
    }
)
_REQUIRED = ("pack", "product", "purpose", "recipients", "population", "unit", "window_days")
_COUNTS_ONLY = frozenset({"max_cells_per_person", "clamps", "noise", "keys"})
_GUARANTEE = frozenset({"epsilon", "delta", "beta", "k", "l", "alpha", "t"})
_OPS = ("=", "!=", "<", "<=", ">", ">=", "in")
_COMPUTED = re.compile(r"quantile|percentile|quartile|decile|ntile|median|auto|equal|\(|%", re.I)
_RESERVED = {"person_id", "cell_rows", "persons", "cell", "rows", "n"}


def pack_folders(policy: AudiencePolicy) -> list[Path]:
    """Where definitions stand: the folders of the setting, then those that are shipped."""
    return [*policy.packs, SHIPPED]


def find_packs(policy: AudiencePolicy) -> dict[str, Path]:
    """Pack name (its file's stem) → file. A folder of the setting hides a shipped one."""
    found: dict[str, Path] = {}
    for folder in pack_folders(policy):
        if not folder.is_dir():
            raise SpecError([f"{folder}: no such folder of packs"])
        for path in sorted(folder.glob("*.yml")):
            found.setdefault(path.stem, path)
    return found


def load_pack(name: str, policy: AudiencePolicy, as_of_date: date | None = None) -> PackSpec:
    """The compiled definition of a pack by its name, or by a path to its file.

    Raises SpecError with every problem found.
    """
    path = Path(name)
    if path.suffix != ".yml":
        packs = find_packs(policy)
        if name not in packs:
            raise SpecError([f"no pack {name}; there are {', '.join(sorted(packs)) or 'none'}"])
        path = packs[name]
    return compile_spec(path, policy, as_of_date)


def compile_spec(path: Path, policy: AudiencePolicy, as_of_date: date | None = None) -> PackSpec:
    """Read and check one definition: everything that can be refused without the data.

    `as_of_date` gives the weeks of a counts pack; None leaves them out of its vocabulary.
    Raises SpecError with every problem found, each as `file:line: reason`.
    """
    return _Compiler(path, policy=policy).run(as_of_date)


@dataclass
class _Compiler(Definition):
    policy: AudiencePolicy

    def run(self, as_of_date: date | None) -> PackSpec:
        root = self._compose()
        spec: PackSpec | None = None
        with self._collect():
            spec = self._spec(root, as_of_date)
        if self.problems or spec is None:
            raise SpecError(
                [f"{self.path}:{line}: {why}" for line, why in sorted(set(self.problems))]
            )
        return spec

    def _spec(self, root: yaml.Node, as_of_date: date | None) -> PackSpec:
        parts = self._mapping(root, "the definition")
        for name, node in parts.items():
            if name not in _KEYS:
                self._note(node, f"unknown key {name}; known are {', '.join(sorted(_KEYS))}")
        missing = [
            name for name in (*_REQUIRED, "recode", "guarantee", "ttl_days") if name not in parts
        ]
        if missing:
            raise self._refuse(root, f"missing: {', '.join(missing)}")
        product = cast("Product", self._choice(parts["product"], "product", ("rows", "counts")))
        if product == "rows":
            for name in sorted(_COUNTS_ONLY & parts.keys()):
                self._note(parts[name], f"{name}: only a counts pack has it")
        values: dict[str, Any] = {}
        for name in ("pack", "purpose"):
            with self._collect():
                values[name] = self._name(parts[name], name)
        if values.get("pack", self.path.stem) != self.path.stem:
            self._note(parts["pack"], f"pack: must be the file's name, {self.path.stem}")
        with self._collect():
            nodes = self._items(parts["recipients"], "recipients")
            values["recipients"] = tuple(self._name(node, "recipients") for node in nodes)
            if not nodes or len(set(values["recipients"])) < len(nodes):
                self._note(parts["recipients"], "recipients: name each team once, at least one")
        with self._collect():
            values["population"] = self._choice(
                parts["population"], "population", (self.policy.population,)
            )
        with self._collect():
            self._choice(parts["unit"], "unit", ("person",))
        with self._collect():
            window = self._choice(
                parts["window_days"], "window_days", tuple(str(days) for days in WINDOWS)
            )
            values["window_days"] = int(window)
        with self._collect():
            values["ttl_days"] = self._integer(parts["ttl_days"], "ttl_days", 1, 365)
        values["title"] = {}
        if "title" in parts:
            with self._collect():
                titles = self._mapping(parts["title"], "title")
                for language in titles.keys() - {"zh", "en"}:
                    self._note(titles[language], f"title: {language} is neither zh nor en")
                values["title"] = {language: self._title(item) for language, item in titles.items()}
        with self._collect():
            values["segment"] = self._segment(parts.get("segment"))
        sensitive = self._sensitive(parts.get("sensitive"))
        recodes, columns = self._recode(parts["recode"], product, sensitive)
        for name, node in sensitive.items():
            if name not in {column.name for column in columns}:
                self._note(node, f"sensitive: {name} is no column of recode")
        if columns and all(column.role == "sensitive" for column in columns):
            self._note(parts["recode"], "recode: all columns are sensitive; nothing to join by")
        if product == "counts":
            with self._collect():
                values |= self._counts(parts, recodes, columns)
            columns += [
                Column("persons", "BIGINT", "measure"),
                *(Column(m.name, "BIGINT", "measure") for m in values.get("measures", ())),
            ]
        if len(columns) > MAX_COLUMNS:
            self._note(parts["recode"], f"{len(columns)} released columns; at most {MAX_COLUMNS}")
        guarantee = self._guarantee(parts["guarantee"], product, values, bool(sensitive))
        if self.problems or guarantee is None:
            raise RefusedError
        spec = PackSpec(
            product=product,
            recode=tuple(recodes),
            columns=tuple(columns),
            guarantee=guarantee,
            sha256="",
            path=self.path,
            **values,
        )
        spec = replace(spec, sha256=definition_sha256(spec))
        if product == "counts":
            spec = with_weeks(spec, as_of_date)
            if spec.keys == "public" and cell_limit(spec) > MAX_CELLS:
                raise self._refuse(parts["recode"], f"public keys: more than {MAX_CELLS} cells")
        return spec

    def _sensitive(self, node: yaml.Node | None) -> dict[str, yaml.Node]:
        found: dict[str, yaml.Node] = {}
        if node is not None:
            with self._collect():
                for item in self._items(node, "sensitive"):
                    found[self._text(item, "sensitive")] = item
        return found

    def _segment(self, node: yaml.Node | None) -> tuple[Condition, ...]:
        if node is None:
            return ()
        conditions = []
        for item in self._items(node, "segment"):
            with self._collect():
                conditions.append(self._condition(item))
        return tuple(conditions)

    def _condition(self, node: yaml.Node) -> Condition:
        parts = self._mapping(node, "segment")
        if set(parts) != {"column", "op", "value"}:
            raise self._refuse(node, "segment: a condition has column, op and value")
        feature = self._feature(parts["column"])
        if feature.is_weekly:
            raise self._refuse(node, f"segment: {feature.name} is of a week, not of a person")
        op = self._choice(parts["op"], "op", _OPS)
        is_integer = feature.kind == "integer"
        if not is_integer and op not in ("=", "!=", "in"):
            raise self._refuse(parts["op"], f"op: {feature.name} is a word; use =, != or in")
        nodes = self._items(parts["value"], "value") if op == "in" else [parts["value"]]
        values: list[str | int] = []
        for item in nodes:
            if is_integer:
                values.append(self._integer(item, "value", -(2**53), 2**53))
                continue
            text = self._label(item, "value")
            if feature.vocabulary and text not in feature.vocabulary:
                raise self._refuse(
                    item, f"value: {feature.name} is one of {', '.join(feature.vocabulary)}"
                )
            values.append(text)
        if not values:
            raise self._refuse(parts["value"], "value: selects no one")
        value = tuple(values) if op == "in" else values[0]
        return Condition(feature.name, cast("Any", op), cast("Any", value))

    def _feature(self, node: yaml.Node) -> Feature:
        name = self._text(node, "column")
        feature = FEATURES.get(name)
        if feature is None:
            raise self._refuse(node, f"column: {why_refused(name)}")
        return feature

    def _recode(
        self, node: yaml.Node, product: Product, sensitive: Mapping[str, yaml.Node]
    ) -> tuple[list[Recode], list[Column]]:
        recodes: list[Recode] = []
        columns: list[Column] = []
        with self._collect():
            parts = self._mapping(node, "recode")
            if not parts:
                self._note(node, "recode: names no column")
            for name, item in parts.items():
                with self._collect():
                    recode, column = self._column(name, item, product, name in sensitive)
                    recodes.append(recode)
                    columns.append(column)
        return recodes, columns

    def _column(
        self, name: str, node: yaml.Node, product: Product, is_sensitive: bool
    ) -> tuple[Recode, Column]:
        if not NAME.match(name) or name in _RESERVED:
            raise self._refuse(node, f"recode: {name!r} cannot name a column")
        parts = self._mapping(node, name)
        for key, value in parts.items():
            if key not in ("column", "cuts", "map", "values"):
                why = (
                    "a cut computed from the data would tell of it"
                    if (_COMPUTED.search(key))
                    else "known are column, cuts, map, values"
                )
                raise self._refuse(value, f"{name}: unknown key {key}; {why}")
        if "column" in parts:
            feature = self._feature(parts["column"])
        elif name in FEATURES:
            feature = FEATURES[name]
        else:
            raise self._refuse(node, f"{name}: {why_refused(name)}")
        if feature.is_weekly and product == "rows":
            raise self._refuse(node, f"{name}: {feature.name} is of a week; rows are persons")
        given = [key for key in ("cuts", "map", "values") if key in parts]
        if len(given) > 1:
            raise self._refuse(node, f"{name}: give one of cuts, map and values")
        role: Role = "sensitive" if is_sensitive else "quasi_identifier"
        if feature.is_weekly and not is_sensitive:
            role = "feature"
        if feature.kind == "integer":
            if given != ["cuts"]:
                raise self._refuse(node, f"{name}: {feature.name} is a number; give its cuts")
            cuts = self._cuts(name, parts["cuts"])
            labels = band_labels(cuts)
            return (
                Recode(name, feature.name, cuts=cuts),
                Column(name, "VARCHAR", role, (*labels, MISSING), ordered=True),
            )
        if given == ["cuts"]:
            raise self._refuse(node, f"{name}: {feature.name} is a word and has no cuts")
        if feature.kind == "week":
            if given:
                raise self._refuse(node, f"{name}: weeks are released as they are")
            return Recode(name, feature.name), Column(name, "VARCHAR", role, ordered=True)
        pairs = self._pairs(name, node, parts, feature)
        labels = tuple(dict.fromkeys(label for _, label in pairs))
        if len(labels) > MAX_VOCABULARY:
            raise self._refuse(node, f"{name}: more than {MAX_VOCABULARY} values")
        vocabulary = tuple(dict.fromkeys((*labels, OTHER, MISSING)))
        return (
            Recode(name, feature.name, mapping=pairs),
            Column(name, "VARCHAR", role, vocabulary, ordered=feature.ordered and not given),
        )

    def _cuts(self, name: str, node: yaml.Node) -> tuple[int, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._refuse(
                node, f"{name}: cuts must be numbers, written down before the data is seen"
            )
        cuts = []
        for item in node.value:
            if isinstance(item, yaml.ScalarNode) and _COMPUTED.search(item.value):
                raise self._refuse(
                    item, f"{name}: a cut computed from the data would tell of it; write a number"
                )
            cuts.append(self._integer(item, f"{name}: cuts", 0, 2**53))
        if not cuts or any(a >= b for a, b in pairwise(cuts)):
            raise self._refuse(node, f"{name}: cuts must grow, and be at least one")
        return tuple(cuts)

    def _pairs(
        self, name: str, node: yaml.Node, parts: Mapping[str, yaml.Node], feature: Feature
    ) -> tuple[tuple[str, str], ...]:
        if "map" in parts:
            node = parts["map"]
            if isinstance(node, yaml.ScalarNode):
                return self._seed(name, node)
            pairs = tuple(
                (value, self._label(label, name))
                for value, label in self._mapping(node, name).items()
            )
        elif "values" in parts:
            node = parts["values"]
            values = [self._label(item, name) for item in self._items(node, name)]
            pairs = tuple((value, value) for value in dict.fromkeys(values))
        elif feature.vocabulary:
            return tuple((value, value) for value in feature.vocabulary)
        else:
            raise self._refuse(
                node,
                f"{name}: list the values of {feature.name} that may leave, by map or values",
            )
        unknown = [value for value, _ in pairs if value not in feature.vocabulary]
        if feature.vocabulary and unknown:
            raise self._refuse(
                node, f"{name}: {feature.name} is one of {', '.join(feature.vocabulary)}"
            )
        if not pairs:
            raise self._refuse(node, f"{name}: names no value")
        return pairs

    def _seed(self, name: str, node: yaml.ScalarNode) -> tuple[tuple[str, str], ...]:
        stem = self._name(node, f"{name}: map")
        folders = (self.path.parent, DBT_PROJECT / "seeds")
        for folder in folders:
            path = folder / f"{stem}.csv"
            if path.is_file():
                break
        else:
            raise self._refuse(node, f"{name}: no {stem}.csv beside this file or among the seeds")
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.reader(handle))
        if not rows or rows[0] != ["value", "label"]:
            raise self._refuse(node, f"{path.name}:1: its columns must be value,label")
        found: dict[str, str] = {}
        for line, row in enumerate(rows[1:], start=2):
            problem = "must have value and label" if len(row) != 2 else label_problem(row[1])
            if problem or row[0] in found:
                problem = problem or f"{row[0]} stands here twice"
                raise self._refuse(node, f"{path.name}:{line}: {problem}")
            found[row[0]] = row[1]
        if not found:
            raise self._refuse(node, f"{path.name}: names no value")
        return tuple(found.items())

    def _counts(
        self, parts: Mapping[str, yaml.Node], recodes: Sequence[Recode], columns: Sequence[Column]
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        root = parts["recode"]
        for name in ("max_cells_per_person", "noise", "keys"):
            if name not in parts:
                self._note(root, f"missing: {name}")
        if "max_cells_per_person" in parts:
            with self._collect():
                values["max_cells_per_person"] = self._integer(
                    parts["max_cells_per_person"], "max_cells_per_person", 1, 1000
                )
        if "noise" in parts:
            with self._collect():
                values["noise"] = self._choice(parts["noise"], "noise", ("laplace", "gaussian"))
        if "keys" in parts:
            with self._collect():
                values["keys"] = self._choice(parts["keys"], "keys", ("public", "thresholded"))
        if (values.get("noise"), values.get("keys")) == ("gaussian", "thresholded"):
            self._note(parts["noise"], "noise: thresholded keys need laplace")
        weekly = any(FEATURES[recode.source].is_weekly for recode in recodes)
        measures = []
        if "clamps" in parts:
            taken = {column.name for column in columns}
            for name, node in self._mapping(parts["clamps"], "clamps").items():
                with self._collect():
                    measures.append(self._measure(name, node, weekly=weekly, taken=taken))
        values["measures"] = tuple(measures)
        return values

    def _measure(self, name: str, node: yaml.Node, *, weekly: bool, taken: set[str]) -> Measure:
        feature = FEATURES.get(name)
        if feature is None:
            raise self._refuse(node, f"clamps: {why_refused(name)}")
        if feature.kind != "integer" or name in taken:
            raise self._refuse(node, f"clamps: {name} cannot be added up here")
        if feature.is_weekly != weekly:
            kind = "of a week" if feature.is_weekly else "of the person, not of a week"
            raise self._refuse(node, f"clamps: {name} is {kind}; it would be counted per cell")
        bounds = self._items(node, f"clamps: {name}")
        if len(bounds) != 2:
            raise self._refuse(node, f"clamps: {name} needs [lowest, highest]")
        low, high = (self._integer(item, f"clamps: {name}", 0, 10**9) for item in bounds)
        if low > high or high == 0:
            raise self._refuse(node, f"clamps: {name} needs lowest <= highest, highest > 0")
        return Measure(name, feature.name, low, high)

    def _guarantee(
        self, node: yaml.Node, product: Product, values: Mapping[str, Any], has_sensitive: bool
    ) -> Guarantee | None:
        before = len(self.problems)
        found: Guarantee | None = None
        with self._collect():
            parts = self._mapping(node, "guarantee")
            for name, item in parts.items():
                if name not in _GUARANTEE:
                    self._note(item, f"guarantee: unknown key {name}")
                elif product == "counts" and name not in ("epsilon", "delta"):
                    self._note(item, f"guarantee: {name} is of rows packs")
            if product == "rows":
                found = self._rows_guarantee(node, parts, has_sensitive)
            else:
                found = self._counts_guarantee(node, parts, values)
        return None if len(self.problems) > before else found

    def _epsilon(self, node: yaml.Node, parts: Mapping[str, yaml.Node]) -> float:
        if "epsilon" not in parts:
            raise self._refuse(node, "guarantee: missing epsilon")
        epsilon = self._number(parts["epsilon"], "epsilon")
        cap = min(self.policy.epsilon_cap, self.policy.purpose_epsilon_cap)
        if not 0 < epsilon <= cap:
            raise self._refuse(
                parts["epsilon"],
                f"epsilon: must be above 0 and at most {cap:g}, what one purpose may ever spend",
            )
        return epsilon

    def _delta(self, parts: Mapping[str, yaml.Node]) -> float:
        value = self._number(parts["delta"], "delta")
        if not 0 < value <= self.policy.delta_cap:
            raise self._refuse(
                parts["delta"], f"delta: must be above 0 and at most {self.policy.delta_cap:g}"
            )
        return value

    def _rows_guarantee(
        self, node: yaml.Node, parts: Mapping[str, yaml.Node], has_sensitive: bool
    ) -> Guarantee:
        needed = {"epsilon", "delta", "beta", "k"} | (
            {"l", "alpha", "t"} if has_sensitive else set()
        )
        lacking = sorted(needed - parts.keys())
        if lacking:
            raise self._refuse(node, f"guarantee: missing {', '.join(lacking)}")
        if not has_sensitive and {"l", "alpha", "t"} & parts.keys():
            raise self._refuse(node, "guarantee: l, alpha and t need a sensitive column")
        epsilon, allowed = self._epsilon(node, parts), self._delta(parts)
        beta = self._number(parts["beta"], "beta")
        if not 0 < beta <= max_beta(epsilon):
            raise self._refuse(
                parts["beta"],
                f"beta: must be above 0 and at most 1 - e^-epsilon = {max_beta(epsilon):.4f}",
            )
        k = self._integer(parts["k"], "k", 1, 100_000)
        if k < self.policy.min_k:
            raise self._refuse(parts["k"], f"k: under the floor of {self.policy.min_k}")
        reached = delta(k, epsilon, beta)
        if reached > allowed:
            raise self._refuse(
                parts["delta"],
                f"delta: k {k} at epsilon {epsilon:g} and beta {beta:g} reaches {reached:.2g} "
                f"only, above {allowed:g}: raise k, or lower beta",
            )
        diversity: dict[str, Any] = {}
        if has_sensitive:
            diversity["l"] = self._integer(parts["l"], "l", 1, 1000)
            diversity["alpha"] = self._share(parts["alpha"], "alpha", self.policy.max_alpha)
            diversity["t"] = self._share(parts["t"], "t", self.policy.max_t)
            if diversity["l"] < self.policy.min_l:
                raise self._refuse(parts["l"], f"l: under the floor of {self.policy.min_l}")
        return Guarantee(epsilon=epsilon, delta=allowed, beta=beta, k=k, **diversity)

    def _share(self, node: yaml.Node, name: str, most: float) -> float:
        value = self._number(node, name)
        if not 0 < value <= most:
            raise self._refuse(node, f"{name}: must be above 0 and at most {most:g}")
        return value

    def _counts_guarantee(
        self, node: yaml.Node, parts: Mapping[str, yaml.Node], values: Mapping[str, Any]
    ) -> Guarantee:
        epsilon = self._epsilon(node, parts)
        needs_delta = values.get("keys") == "thresholded" or values.get("noise") == "gaussian"
        if needs_delta and "delta" not in parts:
            raise self._refuse(node, "guarantee: missing delta")
        if not needs_delta and "delta" in parts and self._number(parts["delta"], "delta") != 0:
            raise self._refuse(parts["delta"], "delta: this pack needs none; leave it out")
        return Guarantee(epsilon=epsilon, delta=self._delta(parts) if needs_delta else 0.0)


def band_labels(cuts: Sequence[int]) -> tuple[str, ...]:
    """The bands that cuts make, lowest first; no spreadsheet takes them for dates or formulas."""
    labels = [f"<{cuts[0]}"]
    for low, above in pairwise(cuts):
        labels.append(str(low) if above == low + 1 else f"{low}~{above - 1}")
    return (*labels, f">={cuts[-1]}")


def with_weeks(spec: PackSpec, as_of_date: date | None) -> PackSpec:
    """The spec with the weeks of its window as the vocabulary of its week columns.

    The whole weeks (Monday to Sunday) that lie in the `window_days` dates ending on as_of_date,
    which is published with every mart.
    """
    weeks = {recode.name for recode in spec.recode if FEATURES[recode.source].kind == "week"}
    if not weeks or as_of_date is None:
        return spec
    found = tuple(day.isoformat() for day in window_weeks(as_of_date, spec.window_days))
    return replace(
        spec,
        columns=tuple(
            replace(column, vocabulary=found) if column.name in weeks else column
            for column in spec.columns
        ),
    )


def window_weeks(as_of_date: date, window_days: int) -> list[date]:
    """The Mondays of the whole weeks in the `window_days` dates that end on as_of_date."""
    first = as_of_date - timedelta(days=window_days - 1)
    monday = first + timedelta(days=-first.weekday() % 7)
    weeks = []
    while monday + timedelta(days=6) <= as_of_date:
        weeks.append(monday)
        monday += timedelta(days=7)
    return weeks


def cell_limit(spec: PackSpec) -> int:
    """How many cells the declared vocabularies allow."""
    cells = 1
    for column in spec.columns:
        if column.role != "measure":
            cells *= max(len(column.vocabulary), 1)
    return cells


def definition_sha256(spec: PackSpec) -> str:
    """SHA-256 of what the definition means: mappings included; layout, title and path not."""
    content = {
        "pack": spec.pack,
        "product": spec.product,
        "purpose": spec.purpose,
        "recipients": sorted(spec.recipients),
        "population": spec.population,
        "window_days": spec.window_days,
        "ttl_days": spec.ttl_days,
        "segment": [[c.column, c.op, c.value] for c in spec.segment],
        "recode": [[r.name, r.source, r.cuts, r.mapping] for r in spec.recode],
        "columns": [[c.name, c.type, c.role] for c in spec.columns],
        "guarantee": vars(spec.guarantee),
        "max_cells_per_person": spec.max_cells_per_person,
        "measures": [[m.name, m.source, m.low, m.high] for m in spec.measures],
        "noise": spec.noise,
        "keys": spec.keys,
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
