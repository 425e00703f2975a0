"""Tests what a page says of a chart, and that it has few series whatever was counted."""

from engagement.model.points import Chart
from engagement.server.console.charts import SERIES_MAX, make_figure


def _chart(**series: list[int | None]) -> Chart:
    return Chart(step=300, at=[0, 300, 600], series={f"n.{k}": v for k, v in series.items()})


def test_a_figure_says_lowest_highest_and_newest() -> None:
    figure = make_figure(
        _chart(a=[10, None, 5], b=[10, None, 0]), "n", "N", prefix="n.", per_minute=True
    )

    assert figure.series == {"a": [2, None, 1], "b": [2, None, 0]}
    assert figure.sentence == "Lowest 1, highest 4, now 1."
    assert [values for _, values in figure.rows] == [["1", "0"], ["\u2013", "\u2013"], ["2", "2"]]


def test_small_series_are_gathered_so_that_few_remain() -> None:
    many = {f"s{number:02}": [number, None, number] for number in range(20)}

    figure = make_figure(_chart(**many), "n", "N", prefix="n.")

    assert len(figure.series) == SERIES_MAX
    assert figure.series["other"] == [sum(range(15)), None, sum(range(15))]
    assert sum(values[0] or 0 for values in figure.series.values()) == sum(range(20))


def test_a_chart_of_nothing_says_so() -> None:
    assert make_figure(_chart(), "n", "N", prefix="n.").sentence == (
        "Nothing was counted in this time."
    )


def test_sizes_are_written_as_sizes() -> None:
    figure = make_figure(_chart(lake=[1_000, 2_000, 3_000]), "n", "N", prefix="n.", unit="bytes")

    assert figure.sentence == "Lowest 1.00 kB, highest 3.00 kB, now 3.00 kB."
