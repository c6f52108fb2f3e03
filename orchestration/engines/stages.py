"""The models of one build on Spark, a layer after the other, each in the warehouse once whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from orchestration.engines.relations import models_of, switch
from orchestration.engines.spark import SparkDbt, open_spark, stop_session
from orchestration.engines.tables import build_folder, drop_left_over
from orchestration.errors import TandemError
from orchestration.plan import LAYERS
from orchestration.settings import Settings
from orchestration.transform import DbtSession, NodeResult
from orchestration.warehouse import open_warehouse


@dataclass
class SparkStages:
    """Spark for one build: opened with the first layer, let go after the last, or by `close`.

    Tables go to a folder of the build in `home`; `dbt` is DuckDB's, which knows the types.
    """

    home: Settings
    build_id: str
    dbt: DbtSession
    _done: list[str] = field(default_factory=list)
    _spark: SparkDbt | None = None
    _views: set[str] = field(default_factory=set)
    _opened: ExitStack = field(default_factory=ExitStack)

    def run(
        self,
        work: Settings,
        layer: str,
        models: Sequence[str] | None,
        on_node: Callable[[str], None] | None = None,
    ) -> list[NodeResult]:
        """Make a layer's models on Spark, and views of them in the warehouse of `work`.

        A node that fails leaves the views as they were. Raises TandemError for a part of a layer,
        a layer out of its order, and where Spark cannot run.
        """
        if models is not None or layer != LAYERS[len(self._done)]:
            raise TandemError(
                "Spark makes every model in each build, a layer after the other: run the whole "
                f"build, or set the engine to duckdb to make {layer} alone"
            )
        seeds: list[NodeResult] = []
        if self._spark is None:
            self.dbt.settings = work
            seeds = self.dbt.invoke(["seed", "--full-refresh"], check=False)
            if any(item.failed for item in seeds):
                return seeds
            self._spark = self._opened.enter_context(
                open_spark(
                    work,
                    target=self.home.engine,
                    tables=build_folder(self.home, self.build_id),
                )
            )
            nodes = self._spark.manifest.nodes.values()
            self._views = {node.name for node in nodes if node.config.materialized == "view"}
        self._spark.on_node = on_node
        outcomes = seeds + self._spark.run([f"fqn:tandem.{layer}"], check=False)
        if not any(item.failed for item in outcomes):
            self._switch(work, layer)
            self._done.append(layer)
        if layer == LAYERS[-1]:
            self.close()
        return outcomes

    def close(self) -> None:
        """Let Spark go: a session holds a third of a small machine's memory."""
        if self._spark is not None:
            self._spark = None
            self._opened.close()
            # One that died has nothing left to stop, and must not hide what killed it.
            with suppress(Exception):
                stop_session()

    def _switch(self, work: Settings, layer: str) -> None:
        models = models_of(self.dbt, layer, self._views)
        with open_warehouse(work) as connection:
            switch(connection, work, models, build_folder(self.home, self.build_id))
            if layer == LAYERS[-1]:
                drop_left_over(connection, self.build_id)
