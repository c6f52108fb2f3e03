"""Estimators beyond SQL, over small tables of numbers; dbt's Python models call them."""
