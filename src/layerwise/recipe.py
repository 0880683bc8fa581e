"""Plans as TOML recipes: read, override, check as a whole, write.

A recipe has the tables ``[data] [network] [pretrain] [finetune] [compare]``, keyed as the functions' arguments, and
``[search]``, keyed by the settings that may be searched. All faults are reported together, each with the nearest valid
key.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args

import tomli_w
from pydantic import ValidationError

from .errors import PlanError, nearest
from .nn.corruption import GaussianNoise, Masking, SaltAndPepper, SwapNoise
from .objectives import BY_NAME
from .objectives.ranking import RankingLoss
from .plan import Plan, SearchPlan, gathered
from .settings import Exponential, Inverse, InverseTime, Linear, OnValidation, Range, Staged, Step, Table

KINDS: dict[str, type] = {
    **BY_NAME,
    "masking": Masking,
    "gaussian": GaussianNoise,
    "salt-and-pepper": SaltAndPepper,
    "swap": SwapNoise,
    "ranking-loss": RankingLoss,
    "step": Step,
    "exponential": Exponential,
    "inverse": Inverse,
    "staged": Staged,
    "inverse-time": InverseTime,
    "linear": Linear,
    "on-validation": OnValidation,
}
T = TypeVar("T", bound=Table)


def check(table: type[T], values: Mapping[str, Any], what: str) -> T:
    """Validate settings as a whole and report all faults together, each with the nearest valid key.

    Parameters
    ----------
    table : type of Table
        What the values should make.
    values : mapping
        Keys and values, nested for a whole plan.
    what : str
        Where the values are from, for the message.

    Raises
    ------
    PlanError
        Naming every fault.

    Examples
    --------
    >>> try: check(Plan, {"pretrain": {"epoch": 3}, "network": {"activation": "relu", "units": 3}}, "recipe x")
    ... except PlanError as error: print(error.message)
    recipe x has 2 faults: network.units is unknown; pretrain.epoch is unknown (did you mean 'epochs'?)
    """
    found, items = None, []
    try:
        found = table.model_validate(values)
    except ValidationError as error:
        items = error.errors()
    # domains are said in their own words: they are tried against what is sound of the rest
    faults = _faults(table, values, [item for item in items if item["loc"][:2] != ("search", "domains")])
    if table is Plan and isinstance(values.get("search"), Mapping):
        faults += _domain_faults(values, {str(item["loc"][0]) for item in items})
    if found is not None and not faults:
        return found
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    raise PlanError(f"{what} has {count}: {'; '.join(faults)}", "correct every fault named above")


def shipped() -> dict[str, Path]:
    """Return the recipes that come with the package, by name."""
    folder = files("layerwise") / "recipes"
    return {Path(str(item)).stem: Path(str(item)) for item in folder.iterdir() if item.name.endswith(".toml")}


def read_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> Plan:
    """Read a recipe by name or file, with ``KEY=VALUE`` overrides.

    Parameters
    ----------
    recipe : str or Path
        A shipped name (`shipped`) or a TOML file.
    overrides : sequence of str
        Each ``table.key=value``; the value is read as TOML, and as plain text where it isn't TOML.

    Raises
    ------
    PlanError
        When there is no such recipe, it isn't TOML, or any setting is at fault.

    Examples
    --------
    >>> read_recipe("mnist", ["compare.seeds=3"]).compare.seeds
    3
    """
    file = shipped().get(str(recipe), Path(recipe))
    try:
        values = tomllib.loads(file.read_text())
    except OSError as error:
        near = nearest(str(recipe), shipped())
        cure = f"did you mean {near!r}? " if near else ""
        raise PlanError(
            f"there is no recipe {str(recipe)!r}: neither a shipped name nor a TOML file",
            f"{cure}shipped recipes: {', '.join(sorted(shipped()))}",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"recipe {recipe} is not TOML: {error}", "correct the file at that place") from error
    for override in overrides:
        _override(values, override)
    return check(Plan, values, f"recipe {recipe}")


SEARCHED_TABLES = ("network", "pretrain", "finetune")


def with_settings(plan: Plan, settings: Mapping[str, Any]) -> Plan:
    """Return a plan with other values of some settings, named by table and key, and without what is to be searched.

    A name that leads through a sequence, one objective for each layer, holds for all its members; a number picks one.

    Raises
    ------
    PlanError
        When there is no such setting, or a value is out of bounds.

    Examples
    --------
    >>> with_settings(Plan(), {"pretrain.objective.corruption.rate": 0.4}).pretrain.objective.corruption
    Masking(rate=0.4, kind='masking')
    """
    values = plan.model_dump(mode="json", exclude={"search"})
    for name in sorted(settings, key=lambda name: name.count(".")):  # an objective before its corruption
        fault = _put(values, name.split("."), settings[name])
        if fault:
            raise PlanError(f"{name} {fault}", "correct the setting's name")
    return check(Plan, values, "the plan")


def misfit(plan: Plan, name: str, value: Any) -> str | None:
    """Say why a setting cannot have a value in a plan, None where it can.

    Examples
    --------
    >>> misfit(Plan(), "pretrain.epochs", 2.5), misfit(Plan(), "pretrain.epochs", 2)
    ('found 2.5, should be a valid integer, got a number with a fractional part', None)
    """
    values = plan.model_dump(mode="json", exclude={"search"})
    fault = _put(values, name.split("."), value)
    if fault:
        return fault
    try:
        Plan.model_validate(values)
    except ValidationError as error:
        return _faults(Plan, values, error.errors())[0].removeprefix(name).strip()
    return None


def to_toml(plan: Plan) -> str:
    """Write a plan as a complete recipe: every setting, defaults included, so that it can be run again.

    Examples
    --------
    >>> text = to_toml(Plan())
    >>> check(Plan, tomllib.loads(text), "text") == Plan()
    True
    """
    values = plan.model_dump(mode="json")
    if values["pretrain"]["objective"] is None:
        values["pretrain"]["objective"] = "none"  # TOML has no null; elsewhere an absent key means None
    return tomli_w.dumps(_without_none(values))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if path[:2] == ["data", "kinds"]:
        path[2:] = [".".join(path[2:])]  # a column's name may have dots in it
    if not equals or not all(path):
        raise PlanError(f"--set {override!r} is not KEY=VALUE", "for example --set pretrain.epochs=10")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    table = values
    for name in path[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise PlanError(f"--set {override!r}: {name!r} is not a table", "name a table and a key of it")
    table[path[-1]] = value


def _put(values: Any, path: Sequence[str], value: Any) -> str | None:
    """Set a value below its path in place, and say what is wrong with the path where it leads nowhere."""
    piece, *rest = path
    if isinstance(values, list):
        if piece.isdigit() and int(piece) < len(values):
            return _put({piece: values}, [piece], value) if not rest else _put(values[int(piece)], rest, value)
        return next((fault for member in values if (fault := _put(member, path, value))), None)
    if not isinstance(values, dict) or piece not in values:
        near = nearest(piece, values) if isinstance(values, dict) else None
        return "is unknown" + (f" (did you mean {near!r}?)" if near else "")
    if rest:
        return _put(values[piece], rest, value)
    values[piece] = copy.deepcopy(value)  # a longer name may reach into it
    return None


def _domain_faults(values: Mapping[str, Any], broken: set[str]) -> list[str]:
    """Say what is wrong with the domains of ``[search]``, tried against those tables that are sound."""
    base = Plan.model_validate({key: value for key, value in values.items() if key not in {*broken, "search"}})
    domains = gathered(values["search"])["domains"]
    faults = {name: _domain_fault(base, name, domain) for name, domain in domains.items()}
    return [f"search.{name} {fault}" for name, fault in faults.items() if fault]


def _domain_fault(plan: Plan, name: str, domain: Any) -> str | None:
    table, _, key = name.partition(".")
    if not key or table not in SEARCHED_TABLES:
        near = nearest(table, SEARCHED_TABLES if key else [*SearchPlan.model_fields, *SEARCHED_TABLES])
        return "is no setting of network, pretrain or finetune" + (f" (did you mean {near!r}?)" if near else "")
    fault = misfit(plan, name, None)
    if fault and fault.startswith("is unknown"):
        return fault
    if isinstance(domain, (list, tuple)):
        found = (misfit(plan, name, choice) for choice in domain)
        told = next((f"has a choice that cannot be: {fault}" for fault in found if fault), None)
        return told if domain else "has no choices"
    if not isinstance(domain, (Mapping, Range)):
        return f"found {domain!r}, should be a list of choices or a table of low and high"
    try:
        ends = Range.model_validate(domain)
    except ValidationError as error:
        return ", ".join(fault.strip() for fault in _faults(Range, dict(domain), error.errors()))
    found = (misfit(plan, name, end) for end in (ends.low, ends.high))
    return next((f"has an end that cannot be: {fault}" for fault in found if fault), None)


def _faults(table: type[Table], values: Mapping[str, Any], items: Sequence[Any]) -> list[str]:
    """Say each fault once: a union reports it for each of its members, and the deepest of them is the one meant."""
    places = [_place(values, item) for item in items]
    said: dict[str, list[str]] = {}
    for place, item in zip(places, items, strict=True):
        deeper = any(other != place and other[: len(place)] == place for other in places)
        if not deeper:
            said.setdefault(".".join(map(str, place)), []).append(_fault(table, item))
    return [f"{where} {_joined(faults)}" for where, faults in said.items()]


def _joined(faults: list[str]) -> str:
    found = next((fault.partition(", ")[0] for fault in faults if fault.startswith("found ")), "")
    reasons = [fault.removeprefix(f"{found}, ") for fault in dict.fromkeys(faults)]
    told = next((reason for reason in reasons if "did you mean" in reason), " or ".join(reasons))
    return f"{found}, {told}" if found else told


def _fault(table: type[Table], item: Any) -> str:
    loc = item["loc"]
    if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        near = nearest(str(loc[-1]), _valid_keys(table, loc))
        return "is unknown" + (f" (did you mean {near!r}?)" if near else "")
    if item["type"] == "missing":
        return "is missing"
    if item["type"] == "union_tag_invalid":
        known = item["ctx"]["expected_tags"].replace("'", "")
        return f"found kind {item['ctx']['tag']!r}, should be one of {known}{_cure(item['ctx']['tag'], known)}"
    if item["type"] == "union_tag_not_found":
        return f"found {item['input']!r}, should have a kind"
    message = item["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    if item["type"] == "literal_error":
        message += _cure(item["input"], item["ctx"]["expected"].replace("'", "").replace(" or ", ", "))
    return f"found {item['input']!r}, {message[:1].lower() + message[1:]}"


def _cure(found: Any, known: str) -> str:
    near = nearest(found, known.split(", ")) if isinstance(found, str) else None
    return f" (did you mean {near!r}?)" if near else ""


def _place(values: Any, item: Any) -> tuple[str | int, ...]:
    """Keep the pieces that stand in the settings; the tags that name a union's member are left out."""
    kept: list[str | int] = []
    for piece in item["loc"]:
        inside = isinstance(values, Mapping) and piece in values
        if inside or (isinstance(values, (list, tuple)) and isinstance(piece, int) and piece < len(values)):
            values = values[piece]
            kept.append(piece)
    return (*kept, item["loc"][-1]) if item["type"] == "missing" else tuple(kept)


def _valid_keys(table: type, loc: tuple[str | int, ...]) -> list[str]:
    current = table
    for piece in loc[:-1]:
        if piece in KINDS:
            current = KINDS[str(piece)]
        elif issubclass(current, Table) and piece in current.model_fields:
            annotation = current.model_fields[str(piece)].annotation
            inner = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
            current = next((kind for kind in inner if issubclass(kind, Table) or is_dataclass(kind)), current)
    if is_dataclass(current):
        return [field.name for field in fields(current)]
    return list(current.model_fields) if issubclass(current, Table) else []
