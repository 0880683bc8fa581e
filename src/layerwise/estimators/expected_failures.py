"""Which of scikit-learn's own checks the estimators fail, and why: the one list of them.

Tests hand it to ``parametrize_with_checks`` and see that each of them does fail; docs/estimators.md shows it.
"""

from __future__ import annotations

from typing import Any

_WEIGHTS = (
    "a row of weight 2 is not the same as two rows: rows are dealt in mini-batches and masked at random, and "
    "pre-training learns from every row alike, whatever its weight"
)
_SIGNS = "-1 marks a row without a label, so of the classes -1 and 1 one is left; unlabeled=None passes the check"
_EQUIVALENCE = {
    "check_sample_weight_equivalence_on_dense_data": _WEIGHTS,
    "check_sample_weight_equivalence_on_sparse_data": _WEIGHTS,
}


def expected_failed_checks(estimator: Any) -> dict[str, str]:
    """Return the checks that an estimator fails, each with its reason.

    Examples
    --------
    >>> from layerwise import LayerwiseClassifier, LayerwiseEncoder
    >>> list(expected_failed_checks(LayerwiseEncoder()))
    []
    >>> "check_classifiers_classes" in expected_failed_checks(LayerwiseClassifier(unlabeled=None))
    False
    """
    parameters = estimator.get_params()
    if "learning_rate" not in parameters:  # no fine-tuning, no weights
        return {}
    signs = {"check_classifiers_classes": _SIGNS} if parameters.get("unlabeled", None) == -1 else {}
    return {**_EQUIVALENCE, **signs}
