"""Gates between the stages: rules as YAML, judged by Great Expectations on DuckDB.

`catalogue` knows the rules, `runner` judges tables by them, `verdicts` keeps what was found and
blocks what must not go on, `report` shows it, `checks` describes the rules to Dagster.
"""
