"""The reference pages of the documentation as Markdown, made from the parameter models, registries and catalog."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from beatwise.core.registry import Registry
from beatwise.core.settings import Block, Choice, Choices, Presets
from beatwise.params import Globals, Parameters
from tools.reference.flow import Detail, flow, mermaid
from tools.reference.rooms import rooms_graph

NOTE: Final = "<!-- Made by `python -m tools.reference --write`; changes by hand are lost. -->"
# Stands above and below the graph in README.md.
MARKER: Final = "<!-- flow -->"
# Stands above and below the picture of the rooms.
ROOMS: Final = "<!-- rooms -->"
# Pipelines that are drawn, and what one box of each stands for.
DRAWN: Final[dict[str, Detail]] = {
    "tune": "namespace",
    "train": "stage",
    "compare": "node",
    "ingest": "node",
    "segment": "node",
    "provenance": "node",
    "download": "node",
    "promote": "node",
}
# Letters of a text that is shown; longer ones are sentences for people.
LONGEST: Final = 60
# Descriptions of checks by the function that checks.
CHECKS: Final = {"_odd": "odd", "_rising": "the lower first"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


# --- what is allowed


def allowed(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """The values that a type and its checks allow, in words.

    Args:
        annotation: A type of a parameter.
        metadata: Checks that stand beside it.
    """
    if get_origin(annotation) is Annotated:
        inner, *checks = get_args(annotation)
        return allowed(inner, [*_flat(checks), *metadata])
    words, bounds = _type(annotation), _bounds(metadata)
    return f"{words} {bounds}".strip()


def _flat(checks: Iterable[Any]) -> Iterator[Any]:
    for check in checks:
        if isinstance(check, FieldInfo):
            yield from check.metadata
        else:
            yield check


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "null"
    if annotation is Any:
        return "any value"
    if origin is None:
        return {bool: "true or false", int: "whole number", float: "number", str: "text"}[annotation]
    if origin in (list, tuple):
        if origin is tuple and Ellipsis not in arguments:
            return f"list of {len(arguments)}: {', '.join(map(allowed, arguments))}"
        return f"list of: {allowed(arguments[0])}"
    if origin is dict:
        return f"mapping of name to {allowed(arguments[1])}"
    if all(isinstance(value, str) for value in arguments):  # Literal
        return ", ".join(f"`{value}`" for value in arguments)
    return " or ".join(allowed(argument) for argument in arguments)


def _bounds(metadata: Iterable[Any]) -> str:
    checks: dict[str, str] = {}
    for check in _flat(metadata):
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if (value := getattr(check, name, None)) is not None:
                checks[name] = f"{sign} {value:g}" if value < 1e6 else f"{sign} {value:,}"
        if least := getattr(check, "min_length", None):
            checks["length"] = f"(at least {least})"
        if pattern := getattr(check, "pattern", None):
            checks["pattern"] = f"matching `{pattern}`"
        if isinstance(check, AfterValidator) and (word := CHECKS.get(getattr(check.func, "__name__", ""))):
            checks["check"] = word
    return ", ".join(checks.values())


def value(given: Any) -> str:
    """A value in YAML."""
    if isinstance(given, str) and given:
        return f"`{given}`" if len(given) <= LONGEST else "a sentence"
    text = yaml.safe_dump(given, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return f"`{text.removesuffix(f'...{chr(10)}').strip()}`"


# --- docstrings


def first_line(documented: Any) -> str:
    """The first sentence of a docstring, as Markdown."""
    return as_markdown((inspect.getdoc(documented) or "").split("\n\n")[0].replace("\n", " "))


def described(documented: Any) -> dict[str, str]:
    """The description of each argument in a docstring of Google's style."""
    _, _, below = (inspect.getdoc(documented) or "").partition("Args:\n")
    found: dict[str, str] = {}
    name = ""
    for line in below.split("\n\n")[0].splitlines():
        if match := re.match(r"    (\w+): (.*)", line):
            name = match[1]
            found[name] = match[2]
        elif name:
            found[name] += f" {line.strip()}"
    return {name: as_markdown(text) for name, text in found.items()}


def as_markdown(text: str) -> str:
    """Docstrings' markup as Markdown: code in single ticks, references by their last name."""
    text = re.sub(r":\w+:`~?([\w.]+)`", lambda match: f"`{match[1]}`", text)
    return text.replace("``", "`")


# --- parameters


def parameters_page(conf: Path) -> str:
    """Every parameter: its value in ``conf/base``, what is allowed, what it means.

    Args:
        conf: Folder of the configuration.
    """
    given = _merged(conf.glob("base/parameters/*.yml"))
    head = [
        "# Parameters",
        NOTE,
        "All parameters of all pipelines, as [params.py](../../src/beatwise/params.py) checks them before anything "
        "runs. They stand in `conf/base/parameters/`, an environment overrides single ones, and "
        "`--params=train.epochs=5,model.use=gru` both. What can be chosen by name (`use`), and the options of each "
        "choice, is on the page [Choices by name](choices.md).",
    ]
    metadata = {name: field for name, field in Parameters.model_fields.items() if not _is_block(field.annotation)}
    sections = [
        "## Of the run",
        table(HEAD, (_row(name, field, given, what=OF_GLOBALS.get(name)) for name, field in metadata.items())),
    ]
    for name, field in Parameters.model_fields.items():
        if _is_block(field.annotation):
            sections += _block(name, _block_type(field), given.get(name, {}))
    sections += [
        "## globals.yml",
        first_line(Globals),
        table(HEAD, _rows(Globals, _merged([conf / "base" / "globals.yml"]))),
    ]
    return "\n\n".join([*head, *sections]) + "\n"


OF_GLOBALS: Final = dict.fromkeys(Globals.model_fields, "As in [globals.yml](#globalsyml).")
HEAD: Final = ("name", "in conf/base", "allowed", "what it is")


def _is_block(annotation: Any) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, BaseModel)


def _merged(files: Iterable[Path]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in sorted(files):
        found |= yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return found


def _block(name: str, block: type[Block], given: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {name}"
    yield first_line(block)
    if issubclass(block, Presets):
        presets = ", ".join(f"`{preset}`" for preset in given if preset not in block.model_fields)
        yield f"In `conf/base`: {presets}."
        yield table(HEAD, _rows(block, given, f"{name}."))
        yield f"Each {block.kind}:"
        yield table(("name", "default", "allowed", "what it is"), _rows(block.preset, {}, f"{name}.<{block.kind}>."))
    else:
        yield table(HEAD, _rows(block, given, f"{name}."))


def _rows(block: type[Block], given: Mapping[str, Any], prefix: str = "") -> Iterator[list[str]]:
    for name, field in block.model_fields.items():
        if _is_block(field.annotation) and not issubclass(_block_type(field), Choice):
            yield from _rows(_block_type(field), given.get(name, {}), f"{prefix}{name}.")
        elif _is_block(field.annotation):
            chosen = given.get(name, {}) or (field.default.model_dump() if field.default is not None else {})
            what = field.description or first_line(field.annotation)
            for own, inner in _block_type(field).model_fields.items():
                yield _row(own, inner, chosen, f"{prefix}{name}.", _block_type(field), what if own == "use" else None)
        else:
            yield _row(name, field, given, prefix, block)


def _block_type(field: FieldInfo) -> type[Any]:
    assert inspect.isclass(field.annotation)
    return field.annotation


def _row(
    name: str,
    field: FieldInfo,
    given: Mapping[str, Any],
    prefix: str = "",
    block: type[Block] | None = None,
    what: str | None = None,
) -> list[str]:
    known = given.get(name, ...) if name in given else (... if field.is_required() else field.default)
    can = allowed(field.annotation, field.metadata)
    if name == "use" and block is not None and issubclass(block, Choice):
        can = f"[a name]({_choices_of(block)})" + (", several joined by `+`" if issubclass(block, Choices) else "")
    if name == "use" and block is not None and issubclass(block, Presets):
        can = "a name of those below it"
    if known is ...:
        shown = "must be given"
    elif isinstance(known, Mapping) and len(known) > 5:
        shown = f"{len(known)} entries"
    else:
        shown = value(known)
    return [f"`{prefix}{name}`", shown, can, what or field.description or ""]


def _choices_of(block: type[Choice]) -> str:
    """The section of the page of choices that a block chooses from."""
    title = next(title for title, chooses, _ in choices() if chooses is block)
    return f"choices.md#{title.lower().replace(' ', '-')}"


# --- choices


def choices() -> list[tuple[str, type[Choice], str]]:
    """Section of the page, the block that chooses, its place in the parameters."""
    from beatwise.data import settings as data
    from beatwise.ecg.settings import SegmentRule
    from beatwise.explanation.settings import Projections
    from beatwise.networks.settings import Model
    from beatwise.scoring.settings import DetectorChoice
    from beatwise.search.settings import Algorithm, TrialScheduler
    from beatwise.tasks.settings import TaskChoice
    from beatwise.training import settings as training

    return [
        ("Tasks", TaskChoice, "task"),
        ("Splits", data.SplitChoice, "ingest.split"),
        ("Resampling strategies", data.Resample, "resample"),
        ("Representations", data.Tensors, "tensors"),
        ("Models", Model, "model"),
        ("Augmentations", training.Augment, "train.augment"),
        ("Losses", training.Loss, "train.loss"),
        ("Class weights", training.ClassWeights, "train.class_weights"),
        ("Starts of the weights", training.Start, "train.start"),
        ("Optimizers", training.Optimizer, "train.optimizer"),
        ("Learning-rate schedules", training.Schedule, "train.schedule"),
        ("Averages of weights", training.Average, "train.average"),
        ("Search algorithms", Algorithm, "tune.<search>.algorithm"),
        ("Trial schedulers", TrialScheduler, "tune.<search>.scheduler"),
        ("Segmentation rules", SegmentRule, "segment.rule"),
        ("Detectors of R peaks", DetectorChoice, "score.detector"),
        ("Projections", Projections, "explain.projections"),
    ]


def registries() -> dict[str, Registry[Any]]:
    """All registries, by their section on the page."""
    return {title: block.entries() for title, block, _ in choices()}


def choices_page() -> str:
    """Everything that can be chosen by name, with its options."""
    parts = [
        "# Choices by name",
        NOTE,
        "What stands under `use`, in a parameters file or behind `--params`, and the options of each, which stand "
        "under its "
        "name: `--params=resample.use=smote,resample.smote.k_neighbors=3`. Values are the defaults; what "
        "`conf/base` sets instead is said in [Parameters](parameters.md) and its files.",
    ]
    named = registries()
    for title, _, place in choices():
        parts += [f"## {title}", f"`{place}.use`"]
        if title == "Models":
            parts.append("What each is, its size and its source: [Models](models.md).")
        entries = named[title]
        parts.append(
            table(("name", "options", "what it is"), (_entry(entries, name) for name in entries.names()))
            if title != "Models"
            else table(("name", "options"), (_entry(entries, name)[:2] for name in entries.names()))
        )
    return "\n\n".join(parts) + "\n"


def _entry(registry: Registry[Any], name: str) -> list[str]:
    entry = registry[name]
    text = described(entry) or described(getattr(entry, "__init__", entry))
    options = []
    for option, field in registry.schema(name).model_fields.items():
        what = f": {text[option][0].lower()}{text[option][1:].rstrip('.')}" if option in text else ""
        options.append(f"`{option}: {_plain(field.default)}` ({allowed(field.annotation, field.metadata)}){what}")
    return [f"`{name}`", "<br>".join(options) or "–", first_line(entry)]


def _plain(default: Any) -> str:
    return value(list(default) if isinstance(default, tuple) else default).strip("`")


# --- catalog


def catalog_page(conf: Path) -> str:
    """Every dataset of the catalog: its layer, class, place, and whether versions of it are kept.

    Args:
        conf: Folder of the configuration.
    """
    parts = [
        "# Catalog",
        NOTE,
        "The datasets of `conf/base/catalog/`, the same in every environment. Names in braces stand for any: "
        "`{namespace}` is `baseline` or `tuned`. "
        "`<source>` is the source's name, `$BEATWISE_DATA` the folder of the real data. Of a versioned dataset "
        "every version is kept, in a folder "
        'named by its time. In a notebook or a session: `catalog.load("baseline.metrics")`.',
    ]
    layers: dict[str, list[list[str]]] = {}
    for file in sorted(conf.glob("base/catalog/*.yml")):
        for name, entry in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            metadata = entry["metadata"]
            row = [f"`{name}`", _kind(entry), f"`{_place(entry.get('filepath', 'in MLflow'))}`"]
            row += ["yes" if entry.get("versioned") else "", _recorded(metadata), _validated(entry)]
            layers.setdefault(metadata["kedro-viz"]["layer"], []).append(row)
    for layer in sorted(layers):
        head = ("name", "class", "place", "versioned", "recorded as", "contract")
        parts += [f"## {layer}", table(head, layers[layer])]
    return "\n\n".join(parts) + "\n"


def _kind(entry: Mapping[str, Any]) -> str:
    module, _, name = entry["type"].rpartition(".")
    path = module.replace(".", "/")
    return f"[{name}](../../src/{path}.py)" if module.startswith("beatwise.") else f"`{entry['type']}`"


def _place(path: str) -> str:
    path = path.replace("${globals:source}", "<source>").replace("${globals:beats_folder}", "<beats_folder>")
    path = path.replace("${globals:records_folder}", "<records_folder>")
    return re.sub(r"\$\{beatwise_data:(\w+)\}", r"$BEATWISE_DATA/\1", path)


def _recorded(metadata: Mapping[str, Any]) -> str:
    return str(metadata.get("beatwise", {}).get("record", ""))


def _validated(entry: Mapping[str, Any]) -> str:
    return f"`{entry['validator']['class'].rpartition('.')[2]}`" if "validator" in entry else ""


# --- pipelines


def pipelines_page(root: Path, snapshot: Any) -> str:
    """All pipelines with their purposes, and graphs of those in :data:`DRAWN`.

    Args:
        root: Root of the repository.
        snapshot: Kedro's snapshot of the project.
    """
    found = {pipeline.name: pipeline for pipeline in snapshot.pipelines if pipeline.name != "__default__"}
    rows = [
        [f"[{name}](../../src/beatwise/pipelines/{name}/README.md)", _purpose(root, name), str(len(found[name].nodes))]
        for name in sorted(found)
    ]
    parts = [
        "# Pipelines",
        NOTE,
        "`kedro run --pipeline=<name>`; `kedro run` alone is `tune`. Each name links to the page of its package, which "
        "lists inputs, outputs and commands.",
        table(("pipeline", "what it does", "nodes"), rows),
        "The graphs below are made from the registered pipelines. Boxes are nodes or groups of nodes, cylinders are "
        "datasets. Parameters, the run card and the stores of unfinished work (`checkpoints`, `finished_rows`, "
        "`searches`) are left out. `kedro viz` shows every single node.",
    ]
    for name, detail in DRAWN.items():
        parts += [f"## {name}", mermaid(flow(found[name].nodes, detail))]
    return "\n\n".join(parts) + "\n"


def _purpose(root: Path, name: str) -> str:
    readme = root / "src" / "beatwise" / "pipelines" / name / "README.md"
    heading = readme.read_text(encoding="utf-8").splitlines()[0]
    return heading.partition(": ")[2]


def whole_flow(snapshot: Any) -> str:
    """The graph of the whole flow, for the front page."""
    (tune,) = (pipeline for pipeline in snapshot.pipelines if pipeline.name == "tune")
    return mermaid(flow(tune.nodes, DRAWN["tune"]))


def with_graph(text: str, drawn: str, marker: str = MARKER) -> str:
    """Put a graph between the two markers of a text."""
    above, _, rest = text.partition(marker)
    _, _, below = rest.partition(marker)
    return f"{above}{marker}\n\n{drawn}\n\n{marker}{below}"


Pages = dict[str, str]
Maker = Callable[[Path], Pages]


def all_pages(root: Path, snapshot: Any) -> Pages:
    """Every generated page by its path below the repository's root.

    Args:
        root: Root of the repository.
        snapshot: Kedro's snapshot of the project.
    """
    conf = root / "conf"
    readme = (root / "README.md").read_text(encoding="utf-8")
    house = (root / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    return {
        "docs/explanation/architecture.md": with_graph(house, rooms_graph(root), ROOMS),
        "docs/reference/parameters.md": parameters_page(conf),
        "docs/reference/choices.md": choices_page(),
        "docs/reference/catalog.md": catalog_page(conf),
        "docs/reference/pipelines.md": pipelines_page(root, snapshot),
        "README.md": with_graph(readme, whole_flow(snapshot)),
    }
