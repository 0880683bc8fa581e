"""All settings of a piece of work: one frozen tree, written as a TOML recipe.

Every default of the package lives here once (objectives and corruptions keep their own); the functions' signatures and
the command read them from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from .errors import nearest
from .nn.initialization import InitializerName
from .nn.layers import ActivationName
from .objectives import BY_NAME, AnyObjective
from .objectives.denoising import DenoisingAutoencoder

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Table(BaseModel):
    """One table of a recipe: frozen, and unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InverseTime(Table):
    r"""Fixed for tau updates, then falling as 1/t: :math:`\epsilon_t = \epsilon_0 \tau / \max(t, \tau)`.

    References
    ----------
    Bengio (2012), Practical recommendations for gradient-based training of deep architectures.

    Examples
    --------
    >>> InverseTime(tau=1000).tau
    1000
    """

    tau: Count
    kind: Literal["inverse-time"] = "inverse-time"


class Linear(Table):
    r"""Falling in a straight line to 0 after the last of T updates: :math:`\epsilon_t = \epsilon_0 (1 - t / T)`.

    Examples
    --------
    >>> Linear().kind
    'linear'
    """

    kind: Literal["linear"] = "linear"


Schedule = Annotated[InverseTime | Linear, Field(discriminator="kind")]


class EarlyStopping(Table):
    """Stop when the validation result has not improved enough for long enough; the best parameters are returned.

    Training starts with ``patience`` updates (None: 10 epochs). A validation result below ``improvement`` times the
    best sets the patience to at least ``growth`` times the present update.

    References
    ----------
    The Theano deep-learning tutorials' patience rule; Bengio (2012), section 3.1.3.

    Examples
    --------
    >>> EarlyStopping(patience=5000).improvement
    0.995
    """

    patience: Count | None = None
    improvement: Annotated[float, Field(gt=0.0, le=1.0)] = 0.995
    growth: Annotated[float, Field(ge=1.0)] = 2.0


def _objective(value: Any) -> Any:
    """Turn a name into an objective's value; anything else is left to the union."""
    if isinstance(value, str):
        if value == "none":
            return None
        if value not in BY_NAME:
            near = nearest(value, BY_NAME)
            cure = f"; did you mean {near!r}?" if near else ""
            raise ValueError(f"unknown objective {value!r}, expected one of {', '.join(BY_NAME)}{cure}")
        return BY_NAME[value]()
    return value


def _objectives(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_objective(item) for item in value)
    return _objective(value)


class TrainingPlan(Table):
    """What every training has: the size of its updates and what is done every so many of them."""

    epochs: Count
    batch_size: Count
    optimizer: str = "sgd"
    momentum: Rate = 0.0
    schedule: Schedule | None = None
    l2: NotNegative = 0.0
    bias_rate: Positive = 1.0
    early_stopping: EarlyStopping | None = None
    summary_every: Count | None = None
    validate_every: Count | None = None
    checkpoint_every: Count | None = None

    @field_validator("optimizer")
    @classmethod
    def _known_optimizer(cls, name: str) -> str:
        optimizer_class(name)
        return name


class PretrainPlan(TrainingPlan):
    """The table ``[pretrain]``: arguments of `layerwise.pretrain`."""

    objective: Annotated[
        AnyObjective | Annotated[tuple[AnyObjective, ...], Field(min_length=1)] | None, BeforeValidator(_objectives)
    ] = DenoisingAutoencoder()
    layers: Literal["auto"] | tuple[str, ...] = "auto"
    epochs: Count = 15
    batch_size: Count = 100
    learning_rate: Literal["auto"] | Positive | tuple[Positive, ...] = "auto"
    initializer: InitializerName | None = None


class FinetunePlan(TrainingPlan):
    """The table ``[finetune]``: arguments of `layerwise.finetune`."""

    epochs: Count = 80
    batch_size: Count = 50
    learning_rate: Positive = 0.1
    momentum: Rate = 0.9
    head_first: Annotated[int, Field(ge=0)] = 0
    freeze: tuple[str, ...] = ()


class DataPlan(Table):
    """The table ``[data]``: where the rows are.

    ``inputs``, ``targets``, ``test`` and ``test_targets`` are files that `layerwise.open_source` takes
    (``file.h5::name`` names a data set). ``inputs`` may be "mnist", ``targets`` the name of a data set in the file of
    inputs, and ``test`` a fraction of the labelled rows. ``scale`` divides every input; "auto" divides 8-bit pixels by
    255 and leaves everything else as it is.
    """

    inputs: str = "mnist"
    targets: str | None = None
    test: Annotated[float, Field(gt=0.0, lt=1.0)] | str = 0.2
    test_targets: str | None = None
    scale: Literal["auto"] | Positive = "auto"


class NetworkPlan(Table):
    """The table ``[network]``: the network that both arms train."""

    hidden_layer_sizes: Annotated[tuple[Count, ...], Field(min_length=1)] = (1000, 1000)
    activation: ActivationName = "sigmoid"
    initializer: Literal["auto"] | InitializerName = "auto"
    dropout: Rate = 0.0
    input_dropout: Rate = 0.0
    batch_norm: bool = False


BaselineName = Literal["logistic regression", "gradient boosting", "modern network"]


class ComparePlan(Table):
    """The table ``[compare]``: arguments of `layerwise.compare`."""

    budgets: Literal["auto"] | Annotated[tuple[Count, ...], Field(min_length=1)] = "auto"
    headline: Count | None = None
    seeds: Count = 5
    min_gain: NotNegative = 0.5
    tune: bool = True
    learning_rates: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.03, 0.1, 0.3)
    baselines: Literal["auto"] | tuple[BaselineName, ...] = "auto"
    random_state: Annotated[int, Field(ge=0)] = 0


class Plan(Table):
    """A whole comparison."""

    name: str = "default"
    data: DataPlan = DataPlan()
    network: NetworkPlan = NetworkPlan()
    pretrain: PretrainPlan = PretrainPlan()
    finetune: FinetunePlan = FinetunePlan()
    compare: ComparePlan = ComparePlan()


# They need more than a gradient of every parameter: a closure, sparse gradients, matrices only.
UNFIT_OPTIMIZERS = {"lbfgs", "sparseadam", "muon"}


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """Return the optimiser of ``torch.optim`` with this name, in any case.

    Examples
    --------
    >>> optimizer_class("sgd")
    <class 'torch.optim.sgd.SGD'>
    """
    known = {
        key.lower(): value
        for key, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    }
    known = {key: value for key, value in known.items() if key not in UNFIT_OPTIMIZERS}
    if name.lower() not in known:
        near = nearest(name.lower(), known)
        cure = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"there is no optimiser {name!r}, expected one of {', '.join(sorted(known))}{cure}")
    return known[name.lower()]
