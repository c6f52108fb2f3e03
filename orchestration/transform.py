"""dbt in this process: one invocation a stage, with one parsed manifest for all of them.

A dbt subprocess costs eight seconds of start; `dbtRunner` with a parsed manifest about one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from orchestration.errors import TandemError
from orchestration.plan import DBT_PROJECT
from orchestration.settings import Settings


@dataclass(frozen=True)
class NodeResult:
    """One dbt node's outcome. `message` may quote SQL, never rows of the tables."""

    unique_id: str
    name: str
    resource_type: str
    status: str
    seconds: float
    message: str
    failures: int | None


@dataclass
class DbtSession:
    """Runs dbt commands against the warehouse of `settings`, keeping the manifest between them."""

    settings: Settings
    manifest: Any = field(default=None)

    def invoke(self, arguments: Sequence[str]) -> list[NodeResult]:
        """Run one dbt command and return its nodes' outcomes.

        Raises TandemError when dbt could not run at all or a node failed; the error's text
        names the failed nodes.
        """
        from dbt.cli.main import dbtRunner

        with _environment(self.settings):
            runner = dbtRunner(manifest=self.manifest)
            result = runner.invoke(
                [
                    "--quiet",
                    "--no-use-colors",
                    "--log-level-file",
                    "none",
                    *arguments,
                    "--project-dir",
                    str(DBT_PROJECT),
                    "--profiles-dir",
                    str(DBT_PROJECT),
                    "--target-path",
                    str(self.settings.home.absolute() / "dbt"),
                ]
            )
        if arguments[0] == "parse" and result.success:
            self.manifest = result.result
            return []
        if result.exception is not None:
            raise TandemError(f"dbt {arguments[0]}: {result.exception}")
        outcomes = [
            NodeResult(
                unique_id=item.node.unique_id,
                name=item.node.name,
                resource_type=str(item.node.resource_type),
                status=str(item.status),
                seconds=item.execution_time,
                message=item.message or "",
                failures=item.failures,
            )
            for item in cast("Any", result.result)
        ]
        failed = [item for item in outcomes if item.status in ("error", "fail", "runtime error")]
        if failed:
            reasons = "; ".join(f"{item.name}: {item.message}" for item in failed)
            raise TandemError(f"dbt {arguments[0]} failed: {reasons}")
        return outcomes

    def parse(self) -> None:
        """Read the project once; later commands reuse it."""
        self.invoke(["parse"])


@contextmanager
def _environment(settings: Settings) -> Iterator[None]:
    wanted = {
        "TANDEM_WAREHOUSE": str(settings.warehouse_path.absolute()),
        "TANDEM_HOME": str(settings.home.absolute()),
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
