"""A second engine for the dbt project: what it reads, how it runs, and whether it agrees."""
