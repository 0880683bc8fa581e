"""The tables say the run's numbers with their units."""

from __future__ import annotations

from layerwise.report import Summary, tables


def test_budgets(summary: Summary) -> None:
    table = tables.budgets(summary)
    assert table.rows[1] == ("1,000", "5.90", "8.02", "+2.12", "1.62 to 2.61", "5 of 5", "0.0003", "\u2013")
    assert table.strong == {1}


def test_budgets_of_one_seed_have_no_p_values(tutorial: Summary) -> None:
    table = tables.budgets(tutorial)
    assert len(table.columns) == len(table.rows[0]) == 6
    assert "p-value" not in table.caption


def test_convergence(summary: Summary, tutorial: Summary) -> None:
    table = tables.convergence(summary)
    assert table is not None
    assert table.rows[0] == ("updates", "updates", "208", "1,150", "942", "801 to 1,083")
    assert table.rows[2][2:] == ("92.7", "11.7", "\u221281.0", "\u221283.0 to \u221279.0")
    assert tables.convergence(tutorial) is None


def test_layers_are_means_over_the_seeds(summary: Summary) -> None:
    table = tables.layers(summary)
    assert table is not None
    assert table.rows[0] == ("1", "0", "denoising", "1,000", "cross-entropy", "74.00", "206.00", "35.9")


def test_baselines_stand_with_the_arms_best_first(summary: Summary, tutorial: Summary) -> None:
    table = tables.baselines(summary)
    assert table is not None
    assert [row[1] for row in table.rows[6:9]] == ["pre-trained", "modern network", "random"]
    assert table.rows[9] == ("1,000", "gradient boosting", "9.10", "rate 0.1", "41.0 s")
    assert {table.rows[index][1] for index in table.strong} == {"pre-trained", "random"}
    assert tables.baselines(tutorial) is None


def test_tuning_marks_what_was_chosen(summary: Summary, tutorial: Summary) -> None:
    table = tables.tuning(summary)
    assert table is not None
    chosen = [row for index, row in enumerate(table.rows) if index in table.strong]
    assert len(table.rows) == 18 and len(chosen) == 6
    assert chosen[0] == (
        "100",
        "pre-trained",
        "learning rate 0.1, epochs 60",
        "5",
        "75",
        "25",
        "7.00",
        "11.0 s",
        "chosen",
    )
    assert tables.tuning(tutorial) is None


def test_cost_adds_up_each_part(summary: Summary) -> None:
    rows = {row[0]: row[1:] for row in tables.cost(summary).rows}
    assert rows["pre-training"] == ("5", "1 min 31 s", "7 min 33 s")
    assert rows["fine-tuning, random"] == ("5", "24.0 s", "2 min 00 s")
    assert rows["all of it"] == ("", "", "13 min 32 s")


def test_published_points() -> None:
    rows = tables.published().rows
    assert rows[1] == ("10,000", "59.9", "26.1", "1.27", "2.04")
    assert rows[-1] == ("600,000", "97.52", "96.97", "\u2248 0", "\u2248 0")
