"""The charts of the audit's page: where their marks stand."""

import pytest

from phasemap.auditing.charts import LEFT, RIGHT, line_chart, line_of


def chart_over(*sizes):
    values = [{"value": 0.5, "low": 0.4, "high": 0.6} for _ in sizes]
    return line_chart([line_of("a", "#000", "solid", sizes, values)], x_label="x", y_label="y", log_x=True)


@pytest.mark.parametrize(
    ("sizes", "marks"),
    [
        ((38, 90, 214, 1200), ["50", "100", "200", "500", "1000"]),
        ((100, 1000), ["100", "200", "500", "1000"]),
        ((31, 33), ["31", "33"]),
        ((7, 7), ["7"]),
    ],
)
def test_marks_of_a_log_scale_are_round_numbers_within_it(sizes, marks):
    ticks = chart_over(*sizes).x_ticks
    assert [text for _, text in ticks] == marks
    assert all(LEFT - 1e-6 <= at <= RIGHT + 1e-6 for at, _ in ticks)


def test_marks_lie_where_the_points_of_their_value_are():
    chart = chart_over(50, 100, 400)
    places = dict(zip([50, 100, 400], [x for x, _ in chart.lines[0].points], strict=True))
    marks = {int(text): at for at, text in chart.x_ticks}
    assert marks[50] == pytest.approx(places[50])
    assert marks[100] == pytest.approx(places[100])
