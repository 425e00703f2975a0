"""Keeps texts of a CSV from being run or changed by the spreadsheet that opens it."""

import polars as pl

_FORMULA = r"^[\s\u00a0]*[=+\-@\t\r\n\u{FF1D}\u{FF0B}\u{FF0D}\u{FF20}]"
"""What is run; full-width signs count too."""
_NUMBER = r"^[\s\p{P}\p{S}]*\d[\d\s\p{P}\p{S}eEaApPmMtTzZ]*$"
"""What may be taken for a number or a time: leading zeros and all but 15 digits are lost."""
_MONTHS = (
    "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mär|mai|okt|dez|fév|fev|avr|jui|aoû|déc|"
    "ene|abr|ago|dic|gen|mag|giu|lug|set|ott|out|mrt|mei|maa"
)
_DATE = rf"(?i)^[\d\s\p{{P}}]*({_MONTHS})\p{{L}}{{0,7}}[\d\s\p{{P}}apm]*$"
"""Digits beside the beginning of a month's name, in the languages of Western Europe."""
_TRUTH = r"(?i)^\s*(true|false)\s*$"


def is_run_by_spreadsheet(column: pl.Expr) -> pl.Expr:
    """Return whether a text would be run as a formula."""
    return column.str.contains(_FORMULA)


def is_changed_by_spreadsheet(column: pl.Expr) -> pl.Expr:
    """Return whether a text would be run, taken for no text, or taken for one with an apostrophe.

    So whoever takes one apostrophe off the beginning of every text has what was sent.
    """
    return (
        column.str.starts_with("'")
        | is_run_by_spreadsheet(column)
        | column.str.contains(_NUMBER)
        | column.str.contains(_TRUTH)
        | (column.str.contains(_DATE) & column.str.contains(r"\d"))
    )


def with_apostrophe(column: pl.Expr, is_marked: pl.Expr) -> pl.Expr:
    """Return the texts, those that are marked with an apostrophe before them."""
    return pl.when(is_marked).then(pl.concat_str(pl.lit("'"), column)).otherwise(column)
