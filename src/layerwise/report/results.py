"""What ``results.json`` and ``tuning.json`` hold, as frozen values that refuse a file of another shape."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Verdict = Literal["WORTH IT", "DO NOT PRE-TRAIN", "CANNOT TELL", "NO VERDICT"]


class Record(BaseModel):
    """A frozen part of a result file; keys added by later versions are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())


class Budget(Record):
    """Both arms at one label budget; errors in percent, the gain and its interval in percentage points."""

    labels: int
    pretrained_error: float
    random_error: float
    gain: float
    low: float | None = None
    high: float | None = None
    wins: int
    pretrained_errors: tuple[float, ...] = Field(min_length=1)
    random_errors: tuple[float, ...] = Field(min_length=1)
    p_value: float | None = None
    p_holm: float | None = None
    pretrained_settings: dict[str, Any] = {}
    random_settings: dict[str, Any] = {}

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.pretrained_errors) != len(self.random_errors):
            raise ValueError("pretrained_errors and random_errors need one value per seed each")
        return self


class Interval(Record):
    """A mean with its 95 % interval; the ends are None below three seeds."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None


class Convergence(Record):
    """When each arm first reaches the random arm's best validation error, per seed."""

    labels: int
    rows: int | None = None
    measured_on: str = "held-out rows"
    random_best_errors: tuple[float | None, ...] = ()
    pretrained_updates: tuple[float | None, ...] = ()
    random_updates: tuple[float | None, ...] = ()
    pretrained_reached: tuple[bool, ...] = ()
    pretrained_seconds: tuple[float | None, ...] = ()
    random_seconds: tuple[float | None, ...] = ()
    pretrained_seconds_with_pretraining: tuple[float | None, ...] = ()
    updates_saved: Interval | None = None
    seconds_saved: Interval | None = None
    seconds_saved_with_pretraining: Interval | None = None
    statement: str = ""


class Baseline(Record):
    """A model beside the two arms; error in percent, mean over the seeds."""

    name: str
    labels: int
    error: float
    errors: tuple[float, ...] = ()
    settings: dict[str, Any] = {}
    seconds: float | None = None


class Cost(Record):
    """Where the time went, in seconds."""

    pretraining_seconds: tuple[float, ...] = ()
    finetuning_seconds: dict[str, tuple[float, ...]] = {}
    tuning_seconds: dict[str, float] = {}
    baseline_seconds: float | None = None
    search_seconds: float | None = None
    total_seconds: float | None = None


class LayerLoss(Record):
    """One pre-trained layer's loss per row (summed over features) and the mean predictor's."""

    seed: int
    stage: int
    layer: str
    objective: str
    units: int
    loss_name: str
    loss: float | None = None
    mean_predictor_loss: float | None = None


class LayerMeasures(Record):
    """One module of one arm: how far it moved in fine-tuning, and its codes before and after.

    Probes in percent, the others as shares.
    """

    layer: str
    units: int | None = None  # the output head has none
    distance: float | None = None
    relative: float | None = None
    cosine: float | None = None
    gradient_norm: float | None = None
    probe_before: float | None = None
    probe_after: float | None = None
    saturated_before: float | None = None
    saturated_after: float | None = None
    dead_before: float | None = None
    dead_after: float | None = None


class ArmLayers(Record):
    """One arm, layer by layer; errors in percent."""

    layers: tuple[LayerMeasures, ...] = ()
    inputs_probe: float | None = None
    noise_errors: tuple[float, ...] = ()
    left_out: tuple[str, ...] = ()
    seconds: float | None = None


class ByLayer(Record):
    """Both arms of one seed, layer by layer."""

    labels: int
    seed: int = 0
    rows: int
    measured_on: str = "held-out rows"
    strengths: tuple[float, ...] = ()
    arms: dict[Literal["pretrained", "random"], ArmLayers] = Field(min_length=2)


class DataFacts(Record):
    """What the run was made on."""

    name: str
    training_rows: int | None = None
    labelled_rows: int | None = None
    test_rows: int | None = None
    features: int | None = None
    image_shape: tuple[int, ...] | None = None
    preparation: str | None = None
    repeated_test_rows: int = 0
    classes: tuple[str | int | float, ...] = ()


class SearchBefore(Record):
    """The search that found the settings of a comparison."""

    trials: int
    seconds: float
    same_rows: bool
    statement: str


class Results(Record):
    """The whole of ``results.json``."""

    verdict: Verdict
    harmful: bool = False
    preliminary: bool = False
    control: bool = False
    explanation: str
    headline: int
    seeds: int
    min_gain: float
    needed: dict[str, int] | None = None
    budgets: tuple[Budget, ...] = Field(min_length=1)
    convergence: Convergence | None = None
    baselines: tuple[Baseline, ...] = ()
    cost: Cost = Cost()
    search: SearchBefore | None = None
    layers: tuple[LayerLoss, ...] = ()
    by_layer: ByLayer | None = None
    data: DataFacts

    @model_validator(mode="after")
    def _headline_is_a_budget(self) -> Self:
        if self.headline not in {budget.labels for budget in self.budgets}:
            raise ValueError(f"the headline of {self.headline} labels is not among the budgets")
        return self


class TuningRow(Record):
    """One setting that was tried on validation rows; error in percent."""

    labels: int
    arm: str
    settings: dict[str, Any]  # not float: 60 epochs would be shown as 60.0
    folds: int | None = None
    rows_trained: int | None = None
    rows_validated: int | None = None
    validation_error: float | None = None
    chosen: bool = False
    seconds: float | None = None
