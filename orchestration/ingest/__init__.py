"""Landing files to `raw`, quarantine and the file ledger. No Dagster in here."""
