"""All settings of a piece of work: one frozen tree, written as a TOML recipe.

Every default of the package lives here once (objectives and corruptions keep their own); the functions' signatures and
the command read them from here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from .data.batches import updates_per_epoch
from .errors import nearest
from .nn.initialization import InitializerName
from .nn.networks import ActivationName, Convolution
from .objectives import BY_NAME, AnyObjective
from .objectives.denoising import DenoisingAutoencoder
from .objectives.pseudo_labels import PseudoLabels
from .objectives.ranking import OutputLoss
from .preparation.choices import EncodeName, ImputeName, ScaleName
from .preparation.columns import KindName
from .settings import (
    Count,
    EarlyStopping,
    Linear,
    NotNegative,
    OnValidation,
    Positive,
    Precision,
    Range,
    Rate,
    Schedule,
    Staged,
    Step,
    Table,
)


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


ObjectiveSetting = Annotated[
    AnyObjective | Annotated[tuple[AnyObjective, ...], Field(min_length=1)] | None, BeforeValidator(_objectives)
]


class TrainingPlan(Table):
    """What every training has: the size of its updates and what is done every so many of them."""

    epochs: Count
    batch_size: Count
    optimizer: str = "sgd"
    momentum: Rate = 0.0
    schedule: Schedule | None = None
    momentum_schedule: Schedule | None = None
    l1: NotNegative = 0.0
    l2: NotNegative = 0.0
    max_norm: Positive | None = None
    clip_norm: Positive | None = None
    bias_rate: Positive = 1.0
    fan_in_scaling: bool = False
    early_stopping: EarlyStopping | None = None
    summary_every: Count | None = None
    validate_every: Count | None = None
    checkpoint_every: Count | None = None
    precision: Precision | None = None

    @field_validator("optimizer")
    @classmethod
    def _known_optimizer(cls, name: str) -> str:
        optimizer_class(name)
        return name

    @field_validator("momentum_schedule")
    @classmethod
    def _momentum_stays_below_1(cls, schedule: Schedule | None, info: ValidationInfo) -> Schedule | None:
        name, start = info.data.get("optimizer"), info.data.get("momentum")
        if schedule is None or name is None or start is None:
            return schedule
        if not takes_momentum(optimizer_class(name)):
            raise ValueError(f"optimiser {name!r} has no momentum, for example sgd and rmsprop have one")
        highest = _highest(schedule, start)
        if highest >= 1.0:
            raise ValueError(f"the momentum should stay below 1, this one reaches {highest:g}")
        if highest == 0.0:
            raise ValueError("the momentum stays 0: set momentum, which is where it starts")
        return schedule

    @property
    def needs_validation(self) -> str | None:
        """Name of a setting that needs rows to validate on, None when there is none.

        Examples
        --------
        >>> PretrainPlan(schedule=OnValidation(factor=0.5)).needs_validation
        'schedule'
        """
        needing = (EarlyStopping, OnValidation)
        names = ("early_stopping", "schedule", "momentum_schedule")
        return next((name for name in names if isinstance(getattr(self, name), needing)), None)


class PretrainPlan(TrainingPlan):
    """The table ``[pretrain]``: arguments of `layerwise.pretrain`."""

    objective: ObjectiveSetting = DenoisingAutoencoder()
    layers: Literal["auto"] | tuple[str, ...] = "auto"
    activation: Literal["auto"] | ActivationName = "auto"
    corrupt: Literal["layer", "input"] = "layer"
    epochs: Count = 15
    batch_size: Count = 100
    learning_rate: Literal["auto"] | Positive | tuple[Positive, ...] = Field("auto", validate_default=True)
    initializer: InitializerName | None = None
    # fixed rather than a share of the machine's memory, so that results do not depend on the machine
    memory_limit: Positive = 2.0

    @field_validator("learning_rate")
    @classmethod
    def _measured_without_scaling(cls, rate: Any, info: ValidationInfo) -> Any:
        if rate == "auto" and info.data.get("fan_in_scaling"):
            raise ValueError("fan_in_scaling needs a learning_rate that is a number: auto is measured without it")
        return rate


class FinetunePlan(TrainingPlan):
    """The table ``[finetune]``: arguments of `layerwise.finetune`."""

    loss: OutputLoss = "cross_entropy"
    pseudo_labels: PseudoLabels | None = None
    epochs: Count = 80
    batch_size: Count = 50
    learning_rate: Positive = 0.1
    momentum: Rate = 0.9
    head_first: Annotated[int, Field(ge=0)] = 0
    freeze: tuple[str, ...] = ()

    @field_validator("pseudo_labels")
    @classmethod
    def _of_a_distribution(cls, settings: PseudoLabels | None, info: ValidationInfo) -> PseudoLabels | None:
        if settings is not None and info.data.get("loss", "cross_entropy") != "cross_entropy":
            raise ValueError('pseudo-labels need probabilities of the classes: leave loss at "cross_entropy"')
        return settings

    def updates_per_epoch(self, labelled: int, unlabelled: int) -> int:
        """Return the updates of an epoch: of the unlabelled rows where there are pseudo-labels, else of the labelled.

        Examples
        --------
        >>> FinetunePlan().updates_per_epoch(100, 59_900)
        2
        >>> FinetunePlan(pseudo_labels=PseudoLabels(batch_size=200)).updates_per_epoch(100, 59_900)
        300
        """
        if self.pseudo_labels is not None:
            return updates_per_epoch(unlabelled, self.pseudo_labels.batch_size)
        return updates_per_epoch(labelled, self.batch_size)


class DataPlan(Table):
    """The table ``[data]``: where the rows are.

    ``inputs``, ``targets``, ``test`` and ``test_targets`` are files that `layerwise.open_source` takes
    (``file.h5::name`` names a data set), or tables with columns of any kind. ``inputs`` may be "mnist" or several
    files, ``targets`` the name of a column or data set in the file of inputs, and ``test`` a fraction of the labelled
    rows. ``pretrain_inputs`` is a file of other rows to pre-train on; without it they are those of ``inputs``.

    ``impute``, ``encode``, ``scale`` and ``kinds`` are of `layerwise.Preparation.fit`, which the training rows are
    handed. Their "auto" prepares tables, divides 8-bit pixels by 255 and leaves all other arrays as they are. A number
    as ``scale`` divides.
    """

    inputs: str | Annotated[tuple[str, ...], Field(min_length=1)] = "mnist"
    targets: str | None = None
    test: Annotated[float, Field(gt=0.0, lt=1.0)] | str = 0.2
    test_targets: str | None = None
    pretrain_inputs: str | None = None
    impute: ImputeName = "auto"
    encode: EncodeName = "auto"
    scale: ScaleName | Positive = "auto"
    kinds: Mapping[str, KindName] = Field(default_factory=dict)


class NetworkPlan(Table):
    """The table ``[network]``: the network that both arms train.

    ``factory`` names the callable that made it in Python; a recipe cannot hold it.
    """

    hidden_layer_sizes: tuple[Count, ...] = (1000, 1000)
    convolutions: tuple[Convolution, ...] = ()
    activation: ActivationName = "sigmoid"
    initializer: Literal["auto"] | InitializerName = "auto"
    dropout: Rate = 0.0
    input_dropout: Rate = 0.0
    batch_norm: bool = False
    factory: str | None = None

    @model_validator(mode="after")
    def _has_a_hidden_layer(self) -> NetworkPlan:
        if not (self.hidden_layer_sizes or self.convolutions):
            raise ValueError("should have a hidden layer or a convolution")
        return self


BaselineName = Literal[
    "logistic regression", "gradient boosting", "modern network", "momentum", "adagrad", "rmsprop", "adam"
]


class ComparePlan(Table):
    """The table ``[compare]``: arguments of `layerwise.compare`."""

    budgets: Literal["auto"] | Annotated[tuple[Count, ...], Field(min_length=1)] = "auto"
    headline: Count | None = None
    seeds: Count = 5
    min_gain: NotNegative = 0.5
    tune: bool = True
    learning_rates: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.03, 0.1, 0.3)
    max_updates: Count | None = None
    baselines: Literal["auto"] | tuple[BaselineName, ...] = "auto"
    random_state: Annotated[int, Field(ge=0)] = 0


MethodName = Literal["random", "halving", "greedy", "grid", "tpe"]
Domain = Range | tuple[Any, ...]


class SearchPlan(Table):
    """The table ``[search]``: arguments of `layerwise.search`, and the domain of each setting that is searched.

    Every other key of the table is a setting's dotted name, ``"pretrain.learning_rate"``; its value is a `Range` or the
    choices. ``recipe.check`` tries both against the rest of the plan.
    """

    trials: Count = 60
    method: MethodName = "random"
    keep: Count = 3
    budget: Count | None = None
    domains: Mapping[str, Domain] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: Any) -> Any:
        return gathered(values) if isinstance(values, Mapping) else values

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        own: dict[str, Any] = handler(self)
        domains = own.pop("domains")
        return {**own, **domains}


class SearchedPlan(Table):
    """The table ``[searched]``: what the search that found a recipe was given and has cost; `compare` counts it."""

    method: MethodName
    trials: Count
    seconds: NotNegative
    labels: Count
    validation_rows: Count
    validation_error: NotNegative
    epochs: Count
    rows: str


class Plan(Table):
    """A whole comparison, with what may be searched beforehand."""

    name: str = "default"
    data: DataPlan = DataPlan()
    network: NetworkPlan = NetworkPlan()
    pretrain: PretrainPlan = PretrainPlan()
    finetune: FinetunePlan = FinetunePlan()
    compare: ComparePlan = ComparePlan()
    search: SearchPlan | None = None
    searched: SearchedPlan | None = None


def gathered(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table ``[search]`` with its domains under one key, by dotted name and in the order of the names.

    So a recipe means the same however it is written: a grid depends on the order.

    Examples
    --------
    >>> gathered({"trials": 9, "pretrain": {"learning_rate": {"low": 0.1, "high": 1.0}}})
    {'trials': 9, 'domains': {'pretrain.learning_rate': {'low': 0.1, 'high': 1.0}}}
    """
    own = {key: value for key, value in values.items() if key in SearchPlan.model_fields and key != "domains"}
    others = {key: value for key, value in values.items() if key not in SearchPlan.model_fields}
    return {**own, "domains": dict(sorted({**_dotted(others), **values.get("domains", {})}.items()))}


def _dotted(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a table's leaves by dotted name; a table of low or high is one."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and not {"low", "high"} & set(value):
            found |= _dotted(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


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


def takes_momentum(kind: type[torch.optim.Optimizer]) -> bool:
    """Say whether an optimiser has a momentum.

    Examples
    --------
    >>> takes_momentum(torch.optim.SGD), takes_momentum(torch.optim.Adam)
    (True, False)
    """
    return "momentum" in inspect.signature(kind).parameters


def _highest(schedule: Schedule, start: float) -> float:
    """Return the highest value of a schedule that starts here."""
    match schedule:
        case Staged(stages=stages):
            return max(start, *(value for _, value in stages))
        case Linear(end=end):
            return max(start, end)
        case Step(factor=factor, end=float(end)) if factor > 1.0 and start > 0.0:
            return max(start, end)
    return start
