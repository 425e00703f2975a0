"""Gives a statement any number of values as one parameter, a JSON array, on both databases."""

import sqlalchemy as sa


def json_elements(parameter: str) -> dict[str, sa.ColumnElement[str]]:
    """Return, by dialect, a column of the texts in the JSON array that a parameter holds."""
    given = sa.bindparam(parameter, type_=sa.Text())
    tables = {
        "sqlite": sa.func.json_each(given),
        "postgresql": sa.func.json_array_elements_text(sa.cast(given, sa.JSON)),
    }
    return {dialect: table.table_valued("value").c.value for dialect, table in tables.items()}
