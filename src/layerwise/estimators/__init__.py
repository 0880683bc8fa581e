"""scikit-learn estimators that take unlabelled rows: pre-train on all rows, fine-tune on those that have a label."""

from .classifier import LayerwiseClassifier
from .encoder import LayerwiseEncoder
from .regressor import LayerwiseRegressor

__all__ = ["LayerwiseClassifier", "LayerwiseEncoder", "LayerwiseRegressor"]
