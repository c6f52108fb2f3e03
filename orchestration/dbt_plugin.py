"""The dbt-duckdb plugin that gives dbt's connections our DuckDB options and the HMAC key.

The key reaches SQL as two session variables (the padded inner and outer keys of RFC 2104), so it
stands in no compiled SQL, no view definition and no file. The macro `tokenise` reads them.
"""

from __future__ import annotations

from typing import Any

from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection

from orchestration.settings import Settings, load_settings
from orchestration.warehouse import duckdb_config, give_room, set_key


class Plugin(BasePlugin):
    """Found by dbt-duckdb under this name through profiles.yml."""

    settings: Settings

    def initialize(self, plugin_config: dict[str, Any]) -> None:  # noqa: ARG002
        """Read the settings once per adapter."""
        self.settings = load_settings()

    def update_connection_config(
        self,
        creds: DuckDBCredentials,  # noqa: ARG002
        config: dict[str, Any],
    ) -> None:
        """Open the warehouse with the options that every other writer uses."""
        config.update(duckdb_config(self.settings))

    def configure_cursor(self, cursor: DuckDBPyConnection) -> None:
        """Set what a DuckDB cursor does not inherit from its connection."""
        cursor.execute("set timezone = 'UTC'")
        give_room(cursor, self.settings)
        set_key(cursor, self.settings)
