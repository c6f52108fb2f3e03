"""dbt in this process: one invocation a stage, with one parsed manifest for all of them.

A dbt subprocess costs eight seconds of start; `dbtRunner` with a parsed manifest about one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, cast

import duckdb

from orchestration import dbt_cache, durable, plan
from orchestration.errors import TandemError, first_of
from orchestration.machine import rare_collections
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse, set_key

FAILED = frozenset({"error", "fail", "runtime error", "partial success"})
_PARSED, _MODELS, _STAMP = "partial_parse.msgpack", "models.msgpack", "manifest.sha256"
_STAMPED = ("manifest.json", _PARSED, _MODELS)
_TESTS, _SEMANTIC = "data_tests.json", "semantic_manifest.json"
# dbt imports its adapter with the first command, and Python models what they need when they run.
# DuckDB loads pandas to bind a parameter.
_LOADED_LATE = (
    "dbt.cli.main",
    "dbt.adapters.duckdb",
    "orchestration.statistics.experiments",
    "pandas",
)
# Below so many bytes of warehouse two models are made at a time: one plans while another commits,
# and both fit into memory. With more data one query alone fills the cores.
_SMALL_BYTES = 400 << 20
_PROJECT_SUFFIXES = {".sql", ".yml", ".yaml", ".csv", ".py", ".md"}


@dataclass(frozen=True)
class NodeResult:
    """One dbt node's outcome. `message` may quote SQL, never values of the tables."""

    unique_id: str
    name: str
    resource_type: str
    status: str
    seconds: float
    message: str
    failures: int | None

    @property
    def failed(self) -> bool:
        """Whether the node errored, or a test found rows at severity error."""
        return self.status in FAILED


@dataclass(frozen=True)
class DataTest:
    """A dbt data test as compiled SQL, which gives the rows that break it.

    `reads` are the names of its models and seeds, `layer` the last layer among them.
    """

    unique_id: str
    name: str
    layer: str
    reads: list[str]
    sql: str
    severity: str
    fail_calc: str
    warn_if: str
    error_if: str
    limit: int | None


@dataclass
class DbtSession:
    """Runs dbt commands against the warehouse of `settings`, keeping the manifest between them.

    Artifacts go to `target`, by default `<home>/dbt`. `on_node` is called as each node ends.
    """

    settings: Settings
    target: Path | None = None
    manifest: Any = field(default=None)
    on_node: Callable[[str], None] | None = None

    def invoke(self, arguments: Sequence[str], *, check: bool = True) -> list[NodeResult]:
        """Run one dbt command and return its nodes' outcomes.

        Raises TandemError when dbt could not run at all or, with `check`, when a node failed;
        the error's text names the failed nodes.
        """
        outcomes = [
            NodeResult(
                unique_id=item.node.unique_id,
                name=item.node.name,
                resource_type=str(item.node.resource_type),
                status=str(item.status),
                seconds=item.execution_time,
                message=_without_values(item.message or ""),
                failures=item.failures,
            )
            for item in self._run(arguments)
        ]
        if check:
            raise_for_failures(outcomes)
        return outcomes

    def test(self, layer: str, models: Sequence[str] | None = None) -> list[NodeResult]:
        """Run the data tests whose last model is in `layer`, or those that read one of `models`.

        They are dbt's own, as dbt compiles them; run here one after the other on one connection,
        they take milliseconds where dbt needs a tenth of a second each.
        """
        wanted = [
            test
            for test in self._data_tests()
            if test.layer == layer and (models is None or not set(models).isdisjoint(test.reads))
        ]
        with open_warehouse(self.settings) as connection:
            set_key(connection, self.settings)
            return [_judge(connection, test) for test in wanted]

    def compile(self, models: Sequence[str], options: Sequence[str] = ()) -> dict[str, str]:
        """Model name to its SQL as dbt compiles it; nothing is run."""
        if self.manifest is None:
            self.parse()
        results = self._run(["compile", *options, "--select", *models])
        return {item.node.name: item.node.compiled_code for item in results}

    def _data_tests(self) -> list[DataTest]:
        """The project's data tests with their SQL, compiled once for one state of the project."""
        target, fingerprint = self._target(), project_fingerprint()
        path = target / _TESTS
        kept = _kept_tests(path, fingerprint)
        if kept is None:
            dbt_cache.fetch(target, fingerprint, [_TESTS])
            kept = _kept_tests(path, fingerprint)
        if kept is not None:
            return kept
        whole = DbtSession(self.settings, self.target)
        whole.parse()
        results = whole._run(["compile", "--select", "resource_type:test"])
        tests = [_data_test(item.node, whole.manifest) for item in results]
        text = json.dumps([asdict(test) for test in tests])
        durable.write(path, f"{_digest(fingerprint, text)}\n{text}")
        dbt_cache.keep(target, fingerprint, [_TESTS])
        return tests

    def _run(self, arguments: Sequence[str]) -> list[Any]:
        from dbt.cli.main import dbtRunner

        project = str(plan.DBT_PROJECT)
        with _environment(self.settings), self._held_open(arguments[0]), rare_collections():
            runner = dbtRunner(
                manifest=self.manifest, callbacks=[self._heard] if self.on_node else []
            )
            result = runner.invoke(
                [
                    "--quiet",
                    "--no-use-colors",
                    "--log-level",
                    "none",
                    "--log-level-file",
                    "none",
                    # The manifest is written when it is parsed; a build would write it again.
                    *([] if arguments[0] == "parse" else ["--no-write-json"]),
                    *arguments,
                    *(["--threads", "2"] if self._is_small(arguments[0]) else []),
                    "--project-dir",
                    project,
                    "--profiles-dir",
                    project,
                    "--target-path",
                    str(self._target()),
                ]
            )
        if isinstance(result.exception, KeyboardInterrupt):
            raise result.exception
        if result.exception is not None:
            raise TandemError(f"dbt {arguments[0]}: {_without_values(str(result.exception))}")
        if arguments[0] == "parse":
            self.manifest = result.result
            return []
        return list(cast("Any", result.result))

    def parse(self) -> None:
        """Read the project once; later commands reuse it, and so does Dagster's code location.

        An unchanged project is taken as dbt left it: even a partial parse takes two seconds.
        """
        fingerprint = project_fingerprint()
        if _is_at_hand(self._target(), fingerprint):
            self.manifest = _saved_manifest(self._target() / _PARSED)
        if self.manifest is None:
            self._run(["parse"])
            self._keep(fingerprint)

    def read_models(self) -> None:
        """Read the project without its tests, which is what building models takes.

        Tests are five of six nodes, and each dbt command goes over all of them several times.
        """
        if _is_at_hand(self._target(), project_fingerprint()):
            self.manifest = _saved_manifest(self._target() / _MODELS)
        if self.manifest is None:
            self.parse()

    def warm_up(self) -> None:
        """Load what the first command would, for a thread of a process that waits.

        Opens no warehouse, which others may hold, and parses nothing.
        """
        for name in _LOADED_LATE:
            import_module(name)
        if self.manifest is None and _is_at_hand(self._target(), project_fingerprint()):
            self.manifest = _saved_manifest(self._target() / _MODELS)

    def _keep(self, fingerprint: str) -> None:
        """Save what is parsed without its tests too, and stamp all that is saved."""
        target = self._target()
        saved = _saved_manifest(target / _PARSED)
        if saved is None:
            return
        durable.write(target / _MODELS, _without_tests(saved))
        durable.write(target / _STAMP, _stamp(target, fingerprint))
        dbt_cache.keep(target, fingerprint, [*_STAMPED, _SEMANTIC, _STAMP])

    @contextmanager
    def _held_open(self, command: str) -> Iterator[None]:
        # dbt opens and closes the file for every node; while it is open here, that costs nothing.
        if command == "parse":
            yield
            return
        with open_warehouse(self.settings):
            yield

    def _is_small(self, command: str) -> bool:
        if command != "build" or self.settings.engine != "duckdb":
            return False
        # It is open by now, so it is there.
        return self.settings.warehouse_path.stat().st_size <= _SMALL_BYTES

    def _target(self) -> Path:
        return (self.target or self.settings.home / "dbt").absolute()

    def _heard(self, event: Any) -> None:
        if event.info.name == "NodeFinished" and self.on_node is not None:
            self.on_node(event.data.node_info.node_name)


def _data_test(node: Any, manifest: Any) -> DataTest:
    parents = [manifest.nodes[name] for name in node.depends_on.nodes if name in manifest.nodes]
    layers = [parent.fqn[1] for parent in parents if parent.fqn[1] in plan.LAYERS]
    config = node.config
    return DataTest(
        unique_id=node.unique_id,
        name=node.name,
        layer=max(layers, key=plan.LAYERS.index, default=plan.LAYERS[0]),
        reads=[parent.name for parent in parents],
        sql=node.compiled_code,
        severity=config.severity.lower(),
        fail_calc=config.fail_calc,
        warn_if=config.warn_if,
        error_if=config.error_if,
        limit=config.limit,
    )


def _judge(connection: duckdb.DuckDBPyConnection, test: DataTest) -> NodeResult:
    started = time.monotonic()
    limit = f"limit {test.limit}" if test.limit is not None else ""
    status, failures, message = "pass", None, ""
    try:
        row = connection.execute(
            f"""
            select {test.fail_calc}, {test.fail_calc} {test.warn_if},
                {test.fail_calc} {test.error_if}
            from ({test.sql} {limit}) as dbt_internal_test
            """
        ).fetchone()
        failures, warns, errs = row or (0, False, False)
        if errs and test.severity == "error":
            status = "fail"
        elif warns:
            status = "warn"
        message = "" if status == "pass" else f"{failures} rows break it"
    except duckdb.Error as error:
        status, message = "error", _without_values(str(error))
    return NodeResult(
        unique_id=test.unique_id,
        name=test.name,
        resource_type="test",
        status=status,
        seconds=time.monotonic() - started,
        message=message,
        failures=failures,
    )


def raise_for_failures(outcomes: Sequence[NodeResult]) -> None:
    """Raise TandemError naming every failed node."""
    failed = [item for item in outcomes if item.failed]
    if failed:
        reasons = [f"{item.name}: {brief(item.message)}" for item in failed]
        shown = first_of(reasons, 5, last="; and")
        raise TandemError(f"dbt: {len(failed)} nodes failed: {shown}")


def brief(message: str) -> str:
    """What went wrong in dbt's words, without its trace of macros."""
    lines = [line.strip() for line in message.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(">"))[:300]


def ensure_manifest(settings: Settings) -> Path:
    """The path of a `manifest.json` that agrees with the project's files; parses when stale.

    A build leaves it fresh, so a code location loads without dbt's parser.
    """
    target = settings.home.absolute() / "dbt"
    if not _is_at_hand(target, project_fingerprint()):
        DbtSession(settings).parse()
    return target / "manifest.json"


def _is_at_hand(target: Path, fingerprint: str) -> bool:
    """Whether dbt's artifacts are in `target`, be it from another home of this user."""
    if not _is_stamped(target, fingerprint):
        dbt_cache.fetch(target, fingerprint, [*_STAMPED, _SEMANTIC, _STAMP])
    return _is_stamped(target, fingerprint)


def _is_stamped(target: Path, fingerprint: str) -> bool:
    """Whether dbt's artifacts in `target` are of the project with this fingerprint."""
    try:
        stamp = (target / _STAMP).read_text(encoding="ascii")
        return stamp == _stamp(target, fingerprint)
    except (FileNotFoundError, UnicodeDecodeError):
        return False


def _stamp(target: Path, fingerprint: str) -> str:
    """SHA-256 over the project's fingerprint and the artifacts' bytes: dbt syncs none of them."""
    digest = hashlib.sha256(fingerprint.encode())
    for name in _STAMPED:
        digest.update((target / name).read_bytes())
    return digest.hexdigest()


def _kept_tests(path: Path, fingerprint: str) -> list[DataTest] | None:
    """The data tests that were compiled for this state of the project, if they are whole."""
    try:
        digest, text = path.read_text(encoding="utf-8").split("\n", 1)
    except (FileNotFoundError, ValueError):
        return None
    if digest != _digest(fingerprint, text):
        return None
    return [DataTest(**item) for item in json.loads(text)]


def _digest(fingerprint: str, text: str) -> str:
    return hashlib.sha256(f"{fingerprint}\n{text}".encode()).hexdigest()


def _saved_manifest(path: Path) -> Any:
    """A manifest that was saved for partial parsing; None where it cannot be read."""
    from dbt.contracts.graph.manifest import Manifest

    try:
        manifest: Any = Manifest.from_msgpack(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    manifest.build_flat_graph()
    return manifest


def _without_tests(manifest: Any) -> bytes:
    """A manifest's models, seeds, sources and macros, as it is saved; takes the rest from it."""
    for name, node in list(manifest.nodes.items()):
        if node.resource_type == "test":
            del manifest.nodes[name]
    for part in (
        *(manifest.files, manifest.disabled, manifest.docs, manifest.unit_tests),
        *(manifest.exposures, manifest.metrics, manifest.semantic_models, manifest.saved_queries),
    ):
        part.clear()
    saved: bytes = manifest.to_msgpack()
    return saved


def read_manifest(settings: Settings) -> dict[str, Any]:
    """The parsed dbt project as dbt writes it to JSON."""
    path = ensure_manifest(settings)
    return _loaded(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _loaded(path: Path, _: int) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(path.read_bytes()))


def project_fingerprint() -> str:
    """SHA-256 over every file of the dbt project that parsing reads, dbt's version and target."""
    digest = hashlib.sha256()
    for package in ("dbt-core", "dbt-adapters", "dbt-duckdb"):
        # Their macros are part of what is parsed.
        digest.update(metadata.version(package).encode() + b"\0")
    digest.update(os.environ.get("TANDEM_TARGET", "").encode() + b"\0")
    for path in sorted(plan.DBT_PROJECT.rglob("*")):
        relative = path.relative_to(plan.DBT_PROJECT)
        if path.suffix in _PROJECT_SUFFIXES and relative.parts[0] not in ("target", "logs"):
            digest.update(relative.as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _without_values(message: str) -> str:
    """Mask what DuckDB quotes in conversion errors: it may be a person's data."""
    return re.sub(
        r"(?i)((?:convert|cast|parse)\w*\s[^'\"\n]*)(['\"]).*?\2", r"\1'…'", message, flags=re.S
    ).strip()


@contextmanager
def _environment(settings: Settings) -> Iterator[None]:
    # The plugin loads settings anew; what a caller overrode must reach it all the same.
    wanted: Mapping[str, str] = {
        "TANDEM_WAREHOUSE": str(settings.warehouse_path.absolute()),
        "TANDEM_HOME": str(settings.home.absolute()),
        "TANDEM_KEY": settings.secret_key().decode(),
        "TANDEM_MEMORY_LIMIT": settings.memory_limit,
        "TANDEM_THREADS": str(settings.threads),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
