"""Every parameter of the configuration, typed once: one Pydantic model a block of ``conf/*/parameters``.

A block that chooses by name (``use``) keeps the options of each choice under that choice's name, so that environments
can be merged over one another. The options of models are checked in the node ``configure``, because the zoo needs
torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from beatwise.errors import BeatwiseError
from beatwise.evaluation.metrics import OverallMetric
from beatwise.explanation.projections import PROJECTIONS, check_installed
from beatwise.registry import Registry, describe_validation, unknown_name
from beatwise.resampling import STRATEGIES
from beatwise.search.algorithms import ALGORITHMS, SCHEDULERS
from beatwise.signals.representations import REPRESENTATIONS
from beatwise.signals.segmentation import BEAT_SYMBOLS, RULES
from beatwise.splits import SPLITS, Share

Positive = Annotated[float, Field(gt=0)]


B = TypeVar("B", bound=BaseModel)


class Block(BaseModel):
    """A block of parameters: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def chosen_values(self) -> dict[str, Any]:
        """The parameters as plain data for a tracker; of a choice, the options of what was chosen alone."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: v.chosen_values() if isinstance(v, Block) else v for name, v in fields.items()}


class Choice(Block):
    """A block that chooses one entry of a registry by name.

    Attributes:
        use: Name of the chosen entry.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    registry: ClassVar[Registry[Any] | None] = None

    use: str

    @model_validator(mode="before")
    @classmethod
    def _say_use(cls, given: Any) -> Any:
        if isinstance(given, str):
            raise ValueError(
                f"got {given!r}; a choice is made by `use`: {{use: {given}}}, or .use={given} behind --params."
            )
        return given

    @model_validator(mode="after")
    def _check_against_registry(self) -> Self:
        if self.registry is not None:
            self.check(self.registry)
        return self

    def check(self, registry: Registry[Any], key: str = "") -> None:
        """Check the choice and the options of every entry that has some.

        Args:
            registry: Of what can be chosen.
            key: Where the choice stands in the configuration, for the message.

        Raises:
            BeatwiseError: On an unknown entry, an unknown option, or a value that is not allowed.
        """
        registry[self.use]
        self._check_options(registry, key)

    def _check_options(self, registry: Registry[Any], key: str) -> None:
        for name, options in (self.model_extra or {}).items():
            if name not in registry:
                raise BeatwiseError(unknown_name(registry.kind, name, registry.names()))
            registry.options(name, {} if options is None else options, f"{key}.{name}".strip("."))

    def chosen(self, registry: Registry[Any]) -> dict[str, Any]:
        """The options of the chosen entry, checked, defaults filled in."""
        given = (self.model_extra or {}).get(self.use)
        return registry.options(self.use, {} if given is None else given, self.use)

    def chosen_values(self) -> dict[str, Any]:
        """As for every block."""
        return {**super().chosen_values(), self.use: (self.model_extra or {}).get(self.use) or {}}

    @property
    def options(self) -> dict[str, Any]:
        """The options of the chosen entry, for choices whose registry is known."""
        assert self.registry is not None
        return self.chosen(self.registry)


class SplitChoice(Choice):
    """Which beats are trained on, validated on, tested on (:mod:`beatwise.splits`)."""

    registry = SPLITS


class Ingest(Block):
    """Cleaning and splitting.

    Attributes:
        split: The split.
        drop_duplicates: Whether beats of train and validation that stand in a later part too are taken out.
    """

    split: SplitChoice
    drop_duplicates: bool = False


class Resample(Choice):
    """The resampling strategy of the training part (:mod:`beatwise.resampling`)."""

    registry = STRATEGIES


class Tensors(Choice):
    """The representation (:mod:`beatwise.signals.representations`).

    Attributes:
        use: Name of the representation, or ``auto`` for the one that the model is made for.
        rr: Whether to add RR features where the beats carry RR intervals.
    """

    registry = REPRESENTATIONS
    rr: bool = True

    def check(self, registry: Registry[Any], key: str = "") -> None:
        """As for every choice; ``auto`` is known too."""
        if self.use != "auto" and self.use not in registry:
            raise BeatwiseError(unknown_name(registry.kind, self.use, [*registry.names(), "auto"]))
        self._check_options(registry, key)


class Model(Choice):
    """The model (:mod:`beatwise.models`); its options are checked in ``configure``."""


class TrainingChoice(Choice):
    """A choice of the training loop; its options are checked in ``configure``, because its registry needs torch."""


class Choices(Choice):
    """A block that chooses any number of entries of a registry by name.

    Attributes:
        use: Names of the chosen entries in order; on the command line joined by ``+``.
    """

    use: list[str] = []  # type: ignore[assignment]

    @field_validator("use", mode="before")
    @classmethod
    def _split(cls, use: Any) -> Any:
        # `--params` splits at commas, so that a list cannot be given there.
        return [name.strip() for name in use.split("+") if name.strip()] if isinstance(use, str) else use

    def check(self, registry: Registry[Any], key: str = "") -> None:
        """As for every choice, for each of the chosen entries."""
        for name in self.use:
            registry[name]
        self._check_options(registry, key)

    def chosen_in_order(self, registry: Registry[Any]) -> list[tuple[str, dict[str, Any]]]:
        """Name and options of each chosen entry, checked, defaults filled in."""
        given = self.model_extra or {}
        return [(name, registry.options(name, given.get(name) or {}, name)) for name in self.use]

    def chosen_values(self) -> dict[str, Any]:
        """As for every block."""
        given = self.model_extra or {}
        return {"use": "+".join(self.use), **{name: given.get(name) or {} for name in self.use}}


class Augment(Choices):
    """Augmentations of the training batches (:mod:`beatwise.augment`), applied in order; checked in ``configure``."""


class Train(Block):
    """The training loop.

    Attributes:
        epochs: Epochs, at most.
        steps_per_epoch: Batches an epoch; null is one pass over the training part. A number makes strategies that
            leave parts of different size comparable, and a dry run short.
        max_minutes: Training stops after the epoch in which this time is over; null is no limit.
        batch_size: Beats a step.
        learning_rate: Highest learning rate.
        optimizer: Optimizer (:mod:`beatwise.training.optim`).
        schedule: Learning-rate schedule (:mod:`beatwise.training.optim`).
        loss: Loss (:mod:`beatwise.training.losses`).
        class_weights: Weights of the classes in the loss (:mod:`beatwise.training.losses`).
        sampler_power: Beats are drawn with weight count^-p of their class; 0 visits each beat once, 1 draws classes
            equally often.
        log_prior_bias: Whether the last layer's bias begins at the logarithm of the classes' shares.
        augment: Augmentations of the batches.
        average: Average of the weights that is validated and kept (:mod:`beatwise.training.optim`).
        gradient_clip: Largest norm of the gradient; null does not clip.
        trim_padding: Whether beats of like length share a batch and batches are cut to their longest beat; for models
            that ignore padding and have no batch normalisation.
        precision: Number format of the forward pass; ``bfloat16`` pays where the processor computes in it.
        monitor: Validation metric that picks the best epoch; of ``log_loss``, ``ece`` and ``brier`` less is better.
        patience: Epochs without a better one after which training stops; null never stops early.
    """

    epochs: Annotated[int, Field(ge=1)] = 20
    steps_per_epoch: Annotated[int, Field(ge=1)] | None = None
    max_minutes: Positive | None = None
    batch_size: Annotated[int, Field(ge=1)] = 128
    learning_rate: Positive = 3e-3
    optimizer: TrainingChoice = TrainingChoice(use="adamw")
    schedule: TrainingChoice = TrainingChoice(use="cosine")
    loss: TrainingChoice = TrainingChoice(use="cross_entropy")
    class_weights: TrainingChoice = TrainingChoice(use="none")
    sampler_power: Annotated[float, Field(ge=0, le=1)] = 0.0
    log_prior_bias: bool = False
    augment: Augment = Augment()
    average: TrainingChoice = TrainingChoice(use="none")
    gradient_clip: Positive | None = 1.0
    trim_padding: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"
    monitor: OverallMetric = "macro_recall"
    patience: Annotated[int, Field(ge=1)] | None = 8


class Evaluate(Block):
    """Measuring.

    Attributes:
        bootstrap_draws: Bootstrap samples behind every interval.
        confidence: Share of the bootstrap distribution between the ends of an interval.
        accuracy_floor: Accuracy on validation that the recall-first operating point must keep.
        wanted_recall: Recall on validation that the threshold of each class against the rest must reach.
        coverages: Shares of validation's beats that the reject option accepts, one threshold each.
        mistakes_per_class: Mistakes of each class that are shown as waveforms.
    """

    bootstrap_draws: Annotated[int, Field(ge=10)] = 1000
    confidence: Share = 0.95
    accuracy_floor: Share = 0.985
    wanted_recall: Share = 0.95
    coverages: Annotated[list[Share], Field(min_length=1)] = [0.99, 0.95, 0.9, 0.8]
    mistakes_per_class: Annotated[int, Field(ge=1, le=8)] = 4


class Projections(Choices):
    """How the space of the last layer is laid onto a plane (:mod:`beatwise.explanation.projections`), one or more.

    Attributes:
        use: Names of the projections; the last is the one that the interactive figure begins with.
    """

    registry = PROJECTIONS
    use: Annotated[list[str], Field(min_length=1)] = ["pca", "tsne"]

    @field_validator("use")
    @classmethod
    def _check_installed(cls, use: list[str]) -> list[str]:
        # Rather before anything runs than behind a training.
        for name in use:
            check_installed(name)
        return use


class Explain(Block):
    """Explaining what was learned, on validation beats.

    Attributes:
        beats_per_class: Beats of each class over which saliency is averaged, at most.
        steps: Steps of integrated gradients.
        random_networks: Networks with random weights with which the saliency is compared.
        check_beats_per_class: Beats of each class on which it is compared, of those over which it is averaged.
        embedding_beats: Beats that are projected, at most; rare classes are taken whole.
        projections: How the space of the last layer is laid onto a plane.
    """

    beats_per_class: Annotated[int, Field(ge=1)] = 32
    steps: Annotated[int, Field(ge=1)] = 20
    random_networks: Annotated[int, Field(ge=1)] = 3
    check_beats_per_class: Annotated[int, Field(ge=1)] = 4
    embedding_beats: Annotated[int, Field(ge=20)] = 3000
    projections: Projections = Projections()


class RaySettings(Block):
    """Where many trainings run at once.

    Attributes:
        address: Address of a Ray cluster, ``auto`` for one that runs on this machine already; null starts one here.
        cpus: Trainings at once on this machine, one thread each; null is one a core.
        gpus_per_fit: Share of a GPU that each takes.
    """

    address: str | None = None
    cpus: Annotated[int, Field(ge=1)] | None = None
    gpus_per_fit: Annotated[float, Field(ge=0, le=1)] = 0.0


class Rows(Block):
    """What a comparison compares: every model with every strategy and every seed, and ensembles of them.

    Attributes:
        models: By the name they are to have in the leaderboard: what each changes in the blocks ``model``, ``tensors``,
            ``resample`` and ``train``; or ``reference``, the name of a classifier that is no network.
        strategies: By name: what each changes, over what the model changes.
        seeds: Seeds.
        ensembles: By the name they are to have in the leaderboard: the models whose probabilities are averaged, over
            all seeds, once a strategy.
    """

    models: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    strategies: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] = {"none": {}}
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**32 - 1)]], Field(min_length=1)] = [42]
    ensembles: dict[str, Annotated[list[str], Field(min_length=1)]] = {}


class Presets(Block):
    """A block that chooses one of the presets below it by name; those that are not chosen are checked too.

    Attributes:
        use: Name of the preset.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    kind: ClassVar[str]
    preset: ClassVar[type[Block]]

    use: str

    @model_validator(mode="after")
    def _check_presets(self) -> Self:
        presets = self.model_extra or {}
        if self.use not in presets:
            raise BeatwiseError(unknown_name(self.kind, self.use, presets))
        for name, preset in presets.items():
            try:
                self.preset.model_validate(preset)
            except ValidationError as error:
                raise BeatwiseError(describe_validation(error, name, self.preset)) from error
        return self

    @property
    def chosen_preset(self) -> Any:
        """The chosen preset as plain data."""
        return (self.model_extra or {})[self.use]


class Comparison(Presets):
    """A leaderboard: one of the presets below it, by name."""

    kind = "comparison"
    preset = Rows

    @property
    def rows(self) -> Rows:
        """The chosen preset."""
        return Rows.model_validate(self.chosen_preset)


class Algorithm(Choice):
    """Where the values of the next trial come from (:mod:`beatwise.search.algorithms`)."""

    registry = ALGORITHMS


class TrialScheduler(Choice):
    """Which trials are stopped early (:mod:`beatwise.search.algorithms`)."""

    registry = SCHEDULERS


class Search(Block):
    """One search for hyper-parameters.

    Attributes:
        space: What is searched, see :mod:`beatwise.search.space`.
        algorithm: Where the values of the next trial come from.
        scheduler: Which trials are stopped early.
        metric: Validation metric that is searched for; of ``log_loss``, ``ece`` and ``brier`` less is better. It picks
            the epoch of each trial too.
        trials: Trials in all.
        epochs: Epochs of each trial, at most.
        total_epochs: Epochs of all trials together after which no trial begins and none goes on; null is no limit.
        max_minutes: Time after which no trial begins and none goes on; null is no limit.
        seeds: Trainings of each trial, with seeds of their own; their mean counts.
        refit: What the last fit of the best trial changes in its parameters, e.g. ``{train: {epochs: 30}}``.
    """

    space: dict[str, Any]
    algorithm: Algorithm = Algorithm(use="tpe")
    scheduler: TrialScheduler = TrialScheduler(use="asha")
    metric: OverallMetric = "macro_recall"
    trials: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)]
    total_epochs: Annotated[int, Field(ge=1)] | None = None
    max_minutes: Positive | None = None
    seeds: Annotated[int, Field(ge=1)] = 1
    refit: dict[str, Any] = {}


class Tune(Presets):
    """Searches by name, of which one is chosen.

    Attributes:
        use: Name of the search.
        models: What is searched of each model, where a search does not say so itself.
        refine: Name of a finished search around whose best trials the ranges are narrowed; null for none.
    """

    kind = "search"
    preset = Search

    models: dict[str, dict[str, Any]] = {}
    refine: str | None = None

    @property
    def search(self) -> Search:
        """The chosen search."""
        return Search.model_validate(self.chosen_preset)


class Report(Block):
    """The report.

    Attributes:
        title: Its title.
        author: Who hands it in; empty leaves the line out.
        repository: Where the code is, as an address; empty leaves the line out.
        examples_per_class: Example beats drawn for each class.
        notice: A sentence above everything else, e.g. that the data is synthetic; empty for none.
    """

    title: str = "Beatwise report"
    author: str = ""
    repository: str = ""
    examples_per_class: Annotated[int, Field(ge=1, le=50)] = 8
    notice: str = ""


class SegmentRule(Choice):
    """How beats are cut from records (:mod:`beatwise.signals.segmentation`)."""

    registry = RULES


class Segment(Block):
    """Segmentation of records into beats.

    Attributes:
        rule: How a beat is cut.
        lead: Lead to cut, by column or by name.
        aami: Annotation codes of each class.
    """

    rule: SegmentRule
    lead: int | str = 0
    aami: dict[str, list[str]]

    @field_validator("aami")
    @classmethod
    def _check_codes(cls, aami: dict[str, list[str]]) -> dict[str, list[str]]:
        codes = [code for named in aami.values() for code in named]
        wrong = sorted({code for code in codes if code not in BEAT_SYMBOLS or codes.count(code) > 1})
        if wrong:
            raise BeatwiseError(
                f"{', '.join(map(repr, wrong))} is no annotation code of a beat, or stands in two classes. Allowed, "
                f"once each: {' '.join(BEAT_SYMBOLS)}."
            )
        return aami


class Synthesise(Block):
    """Synthetic records and the sample that is bundled.

    Attributes:
        n_records: Records to make.
        beats_per_record: Beats in each, about.
        class_shares: Share of each class among all beats.
        test_share: Share of the beats that becomes the test part, stratified per beat.
        decimals: Decimals that the values of the sample are rounded to.
    """

    n_records: Annotated[int, Field(ge=1, le=999)]
    beats_per_record: Annotated[int, Field(ge=20)]
    class_shares: dict[str, Annotated[float, Field(ge=0, le=1)]]
    test_share: Share
    decimals: Annotated[int, Field(ge=1, le=7)]


class Download(Block):
    """Records to fetch from PhysioNet.

    Attributes:
        address: Address above the databases.
        database: Database and version.
        records: Names of the records; empty means all.
    """

    address: str
    database: str
    records: list[str] = []


class FitConfig(Block):
    """What one fit is made with: the dataset ``config`` of each namespace, checked in every node that takes it."""

    classes: list[str]
    seed: int
    resample: Resample
    tensors: Tensors
    model: Model
    train: Train


SourceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class Globals(Block):
    """What a source is: ``globals.yml``.

    Attributes:
        source: Its name; outputs live in folders of this name.
        classes: Class names in the order of their indices.
        sample_rate: Samples per second (Hz) of a beat.
        beat_length: Samples of a beat.
        seed: Seed of everything that is drawn.
        beats_folder: Folder of the beats.
        beats_layouts: File names by part, one mapping a layout; the first that is there is read.
        beats_how_to_get: What to do when none is there.
        records_folder: Folder of the WFDB records.
        records_how_to_get: What to do when there are none.
        notice: A sentence at the top of every report, e.g. that the data is synthetic; empty for none.
    """

    source: SourceName
    classes: Annotated[list[str], Field(min_length=2)]
    sample_rate: Positive
    beat_length: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    beats_folder: str
    beats_layouts: Annotated[list[dict[Literal["train", "val", "test", "all"], str | list[str]]], Field(min_length=1)]
    beats_how_to_get: str
    records_folder: str
    records_how_to_get: str
    notice: str


class Parameters(Block):
    """The whole configuration.

    Attributes:
        hypothesis: What a run is to test (:mod:`beatwise.journal`); empty for the one that waits in the journal.
    """

    source: SourceName
    sample_rate: Positive
    classes: Annotated[list[str], Field(min_length=2)]
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    hypothesis: str
    ingest: Ingest
    resample: Resample
    tensors: Tensors
    model: Model
    train: Train
    evaluate: Evaluate
    explain: Explain
    compare: Comparison
    tune: Tune
    ray: RaySettings
    report: Report
    segment: Segment
    synthesise: Synthesise
    download: Download


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level, ``{"train.epochs": 20}``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        flat |= flatten(value, name) if isinstance(value, Mapping) and value else {name: value}
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`flatten`."""
    values: dict[str, Any] = {}
    for name, value in flat.items():
        *above, last = name.split(".")
        block = values
        for step in above:
            block = block.setdefault(step, {})
        block[last] = value
    return values


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping over another, key by key all the way down; everything but mappings is replaced."""
    out = dict(base)
    for key, value in changes.items():
        below = out.get(key)
        out[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return out


def check_parameters(given: dict[str, Any]) -> Parameters:
    """Check all parameters, so that a mistyped key fails before anything runs.

    Args:
        given: All parameters, as the configuration loader merged them with ``--params``.

    Raises:
        BeatwiseError: One line a problem, each naming the full key.
    """
    return checked(Parameters, given, "The parameters cannot be used:")


def check_globals(given: dict[str, Any]) -> Globals:
    """Check ``globals.yml`` as the configuration loader merged it.

    Raises:
        BeatwiseError: One line a problem, each naming the key.
    """
    return checked(Globals, given, "globals.yml cannot be used:")


def checked(model: type[B], given: dict[str, Any], heading: str, kind: str = "parameter") -> B:
    """Check plain data against its model.

    Args:
        model: The model.
        given: The data.
        heading: First line of the message.
        kind: What a key is called in the message.

    Raises:
        BeatwiseError: One line a problem, each naming the full key.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise BeatwiseError(f"{heading}\n{describe_validation(error, '', model, kind)}") from error
