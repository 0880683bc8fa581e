"""Plain progress lines."""

from __future__ import annotations

from layerwise.training.loop import Progress
from layerwise.training.verbose import line_of, print_record, with_printing

RECORD = {"update": 600, "epoch": 1.5, "training_loss": 0.25, "validation_loss": 0.5, "validation_error": 12.345}


def test_a_whole_record():
    line = line_of(Progress("all", 600, 1200, 3000, 1.5, RECORD, 2000.0))
    assert line == (
        "all: update 600 of 1200, epoch 1.5, training loss 0.25, validation loss 0.5, "
        "validation error 12.35 %, 2,000 rows/s"
    ).replace("12.35", f"{12.345:.2f}")


def test_update_0_has_no_speed():
    line = line_of(Progress("all", 0, 1200, 0, 0.0, {"epoch": 0.0, "training_loss": 2.0}))
    assert line == "all: update 0 of 1200, epoch 0, training loss 2"


def test_only_records_are_printed_and_to_standard_error(capsys):
    print_record(Progress("all", 3, 9, 30, 1.0, None))
    print_record(Progress("all", 5, 9, 50, 1.0, {"epoch": 1.0}, 50.0, 200.0))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "all: update 5 of 9, epoch 1, 50 rows/s, about 3.3 min left\n"


def test_printing_is_asked_for():
    seen = []
    assert with_printing([seen.append], 0) == [seen.append]
    assert with_printing([seen.append], 1) == [seen.append, print_record]
