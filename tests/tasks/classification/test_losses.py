from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torch.nn import functional as F

from beatwise.core.errors import BeatwiseError
from beatwise.networks.predict import predict_probabilities
from beatwise.tasks.classification.losses import CLASS_WEIGHTS, LOSSES, class_weights
from beatwise.training import loop
from beatwise.training.trained_model import TrainedModel
from tests.training.conftest import MakeBeats, Parts, choose, config, tensors

N_CLASSES = 5
WEIGHTS = torch.tensor([0.4, 2.0, 1.0, 3.0, 0.7])
ONES = torch.ones(N_CLASSES)
LOG_PRIOR = torch.tensor([0.8, 0.03, 0.07, 0.02, 0.08]).log()
# Every loss, with options of its own.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in LOSSES.names()),
    ("cross_entropy", {"label_smoothing": 0.2}),
    ("cross_entropy", {"logit_adjustment": 1.0}),
    ("focal", {"gamma": 0.0}),
    ("focal", {"gamma": 0.5}),
    ("focal", {"gamma": 1.0}),
    ("one_vs_rest", {"label_smoothing": 0.2}),
]
every_variant = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)


def loss(name: str, logits: Tensor, target: Tensor, weights: Tensor = ONES, **options: Any) -> Tensor:
    filled = LOSSES.options(name, {k: v for k, v in options.items() if k != "log_prior"})
    return LOSSES[name](logits, target, weights, **{"log_prior": LOG_PRIOR, **filled, **options})


def case(n: int = 40, *, soft: bool = False, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, targets, and class indices; soft targets are shares of two classes, as mixup makes them."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, N_CLASSES, generator=generator, dtype=torch.float64).float()
    y = torch.randint(N_CLASSES, (n,), generator=generator)
    target = F.one_hot(y, N_CLASSES).float()
    if soft:
        share = torch.rand(n, 1, generator=generator)
        target = share * target + (1 - share) * target.roll(1, dims=0)
    return logits, target, y


# --- every loss


@every_variant
@pytest.mark.parametrize("soft", [False, True])
def test_a_loss_is_a_mean_over_beats_and_not_over_weights(name, options, soft):
    logits, target, _ = case(soft=soft)
    whole = loss(name, logits, target, WEIGHTS, **options)
    each = [loss(name, logits[i : i + 1], target[i : i + 1], WEIGHTS, **options) for i in range(len(logits))]
    assert whole.shape == ()
    torch.testing.assert_close(whole, torch.stack(each).mean())


@every_variant
def test_a_loss_is_proportional_to_the_weights(name, options):
    logits, target, _ = case(soft=True)
    once, thrice = (loss(name, logits, target, factor * WEIGHTS, **options) for factor in (1, 3))
    torch.testing.assert_close(thrice, 3 * once)


@every_variant
def test_no_class_is_special_but_by_its_weight_and_share(name, options):
    logits, target, _ = case(soft=True)
    order = [3, 1, 4, 0, 2]
    shuffled = loss(name, logits[:, order], target[:, order], WEIGHTS[order], log_prior=LOG_PRIOR[order], **options)
    torch.testing.assert_close(shuffled, loss(name, logits, target, WEIGHTS, **options))


@every_variant
def test_a_mixed_beat_costs_the_mean_of_what_its_targets_cost(name, options):
    logits, target, _ = case()
    other = target.roll(1, dims=1)
    costs = [loss(name, logits, t, **options) for t in (target, other, 0.3 * target + 0.7 * other)]
    torch.testing.assert_close(costs[2], 0.3 * costs[0] + 0.7 * costs[1])


# Smoothed targets of the cross-entropy give a share of every class to every beat.
@pytest.mark.parametrize(("name", "options"), [v for v in VARIANTS if v != ("cross_entropy", {"label_smoothing": 0.2})])
def test_a_class_of_weight_0_is_not_learned_from(name, options):
    logits, target, y = case()
    logits.requires_grad_()
    weights = torch.where(torch.arange(N_CLASSES) == 2, 0.0, WEIGHTS)
    torch.autograd.backward(loss(name, logits, target, weights, **options))
    assert logits.grad is not None
    assert not logits.grad[y == 2].any()
    assert (logits.grad[y != 2] != 0).any(dim=1).all()


@pytest.mark.parametrize("name", LOSSES.names())
def test_certain_predictions_cost_nothing_where_right_and_much_where_wrong(name):
    _, target, _ = case()
    assert loss(name, 60 * target - 30, target) < 1e-6
    assert loss(name, 30 - 60 * target, target) > 20


@every_variant
@pytest.mark.parametrize("scale", [0.0, 1.0, 17.0, 20.0, 1000.0])
def test_loss_and_gradient_are_numbers_however_certain_the_network_is(name, options, scale):
    _, target, _ = case()
    for signs in (1, -1):
        logits = (signs * scale * target).requires_grad_()
        value = loss(name, logits, target, WEIGHTS, **options)
        torch.autograd.backward(value)
        assert value.isfinite()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


@every_variant
def test_the_gradient_is_that_of_the_loss(name, options):
    logits, target, _ = case(4, soft=True)
    double = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: loss(name, x, target.double(), WEIGHTS.double(), log_prior=LOG_PRIOR.double(), **options), double
    )


# --- cross-entropy


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("weights", [ONES, WEIGHTS], ids=["equal", "weighted"])
def test_cross_entropy_is_that_of_torch(label_smoothing, weights):
    logits, target, y = case()
    ours = loss("cross_entropy", logits, target, weights, label_smoothing=label_smoothing)
    # With class indices torch's own mean would divide by the sum of the weights.
    theirs = F.cross_entropy(logits, y, weights, label_smoothing=label_smoothing, reduction="sum") / len(y)
    torch.testing.assert_close(ours, theirs)


def test_cross_entropy_of_mixed_beats_is_the_expected_surprise():
    logits, target, _ = case(soft=True)
    expected = [-float((t * row.double().log_softmax(0)).sum()) for t, row in zip(target, logits, strict=True)]
    assert float(loss("cross_entropy", logits, target)) == pytest.approx(np.mean(expected), rel=1e-6)


# --- logit adjustment


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.0])
def test_logit_adjustment_adds_the_log_shares(tau):
    logits, target, y = case()
    ours = loss("cross_entropy", logits, target, logit_adjustment=tau)
    torch.testing.assert_close(ours, F.cross_entropy(logits + tau * LOG_PRIOR, y))


def test_logit_adjustment_pulls_rare_classes_up_harder_and_common_ones_down():
    target = F.one_hot(torch.arange(N_CLASSES), N_CLASSES).float()

    def pull(tau: float) -> Tensor:
        """Of one beat of each class, how hard its own logit is pulled up."""
        logits = torch.zeros(N_CLASSES, N_CLASSES, requires_grad=True)
        torch.autograd.backward(loss("cross_entropy", logits, target, logit_adjustment=tau))
        assert logits.grad is not None
        return -logits.grad.diagonal()

    plain, adjusted = pull(0.0), pull(1.0)
    assert torch.allclose(plain, plain[:1].expand(N_CLASSES))
    assert adjusted.argsort().tolist() == (-LOG_PRIOR).argsort().tolist()
    assert adjusted[0] < plain[0] < adjusted[3]


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.5])
def test_what_is_learned_is_the_share_to_the_power_1_minus_tau(tau):
    """Of beats that nothing tells apart, the plain loss learns the classes' shares, and τ = 1 equal ones."""
    shares = LOG_PRIOR.double().exp()
    logits = torch.zeros(1, N_CLASSES, dtype=torch.float64, requires_grad=True)
    optimizer: Any = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss("cross_entropy", logits, shares[None], ONES.double(), log_prior=shares.log(), logit_adjustment=tau)
        torch.autograd.backward(value)
        return value

    optimizer.step(closure)
    expected = shares ** (1 - tau)
    torch.testing.assert_close(logits.detach().softmax(1)[0], expected / expected.sum(), atol=1e-4, rtol=1e-3)


# --- focal loss


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weights", [ONES, WEIGHTS], ids=["equal", "weighted"])
def test_focal_loss_with_gamma_0_is_the_cross_entropy(soft, weights):
    logits, target, _ = case(soft=soft)
    torch.testing.assert_close(
        loss("focal", logits, target, weights, gamma=0.0), loss("cross_entropy", logits, target, weights)
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("n", [3, 5, 40])
def test_focal_loss_is_that_of_the_paper_beat_by_beat(gamma, n):
    logits, target, y = case(n)
    total = 0.0
    for row, index in zip(logits.tolist(), y.tolist(), strict=True):
        largest = max(row)
        exponentials = [math.exp(value - largest) for value in row]
        p = exponentials[index] / sum(exponentials)
        total += -float(WEIGHTS[index]) * (1 - p) ** gamma * math.log(p)
    assert float(loss("focal", logits, target, WEIGHTS, gamma=gamma)) == pytest.approx(total / n, rel=1e-5)


def test_a_larger_gamma_makes_well_classified_beats_count_less():
    target = torch.eye(N_CLASSES)[:1]
    easy, hard = (torch.tensor([[size, 0.0, 0.0, 0.0, 0.0]]) for size in (4.0, -1.0))
    ratios = [
        float(loss("focal", easy, target, gamma=gamma) / loss("focal", hard, target, gamma=gamma))
        for gamma in (0.0, 1.0, 2.0, 4.0)
    ]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[2] < 0.02 * ratios[0]


# --- one against the rest


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_one_vs_rest_is_a_sum_of_binary_cross_entropies(label_smoothing):
    logits, target, y = case()
    total = torch.zeros(())
    for index in range(N_CLASSES):
        wanted = (y == index).float() * (1 - label_smoothing) + label_smoothing / 2
        weighted = F.binary_cross_entropy_with_logits(logits[:, index], wanted, weight=WEIGHTS[y], reduction="mean")
        total = total + weighted
    torch.testing.assert_close(loss("one_vs_rest", logits, target, WEIGHTS, label_smoothing=label_smoothing), total)


class Fixed(nn.Module):
    """A network whose logits are its input."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, aux: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize("shift", [0.0, -50.0, -200.0, 200.0])
def test_probabilities_of_one_vs_rest_are_sigmoids_divided_by_their_sum(shift):
    logits = case(5000)[0] + shift
    found = predict_probabilities(Fixed(), logits, torch.zeros(len(logits), 0), loss="one_vs_rest")
    assert (found.shape, found.dtype.name) == ((5000, N_CLASSES), "float32")
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    log_sigmoid = -np.logaddexp(0, -logits.double().numpy())
    expected = np.exp(log_sigmoid - log_sigmoid.max(axis=1, keepdims=True))
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), atol=1e-6)
    if shift <= 0:  # where every sigmoid is 1, all classes are equal
        np.testing.assert_array_equal(found.argmax(axis=1), logits.argmax(dim=1))


@pytest.mark.parametrize("name", [name for name in LOSSES.names() if name != "one_vs_rest"])
def test_probabilities_of_every_other_loss_are_the_softmax(name):
    logits = case(300)[0]
    found = predict_probabilities(Fixed(), logits, torch.zeros(len(logits), 0), loss=name)
    np.testing.assert_allclose(found, logits.softmax(1), rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES.names())
def test_a_model_gives_the_probabilities_that_belong_to_its_loss(parts: Parts, name):
    model, _ = loop.fit_model(*parts, config(loss={"use": name}))
    val = parts[1]
    with torch.no_grad():
        logits = model.network(torch.from_numpy(val.x), torch.from_numpy(val.aux)).double()
    expected = logits.sigmoid() if name == "one_vs_rest" else logits.exp()
    found = model.probabilities(val)
    np.testing.assert_allclose(found, expected / expected.sum(dim=1, keepdim=True), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


# --- class weights


COUNTS = [(60, 12, 14, 10, 12), (5, 5, 5, 5, 5), (72471, 2223, 5788, 641, 6431), (100, 1, 2, 3, 4)]


def weigh(counts: tuple[float, ...], name: str, **options: Any) -> Any:
    given = torch.tensor(counts, dtype=torch.float64)
    return class_weights(given, name, CLASS_WEIGHTS.options(name, options)).double().numpy()


@pytest.mark.parametrize("counts", [*COUNTS, (0, 3, 0, 7, 1), (20.5, 3.25, 1.75, 8.0, 9.5)])
@pytest.mark.parametrize("name", CLASS_WEIGHTS.names())
def test_the_mean_weight_of_a_beat_is_1_and_a_class_without_beats_has_none(counts, name):
    weights = weigh(counts, name)
    assert (weights >= 0).all()
    assert np.average(weights, weights=counts) == pytest.approx(1, rel=1e-6)
    np.testing.assert_array_equal(weights == 0, np.array(counts) == 0)


@pytest.mark.parametrize("name", CLASS_WEIGHTS.names())
def test_weights_are_float32_of_whole_counts_too(name):
    weights = class_weights(torch.tensor([4, 3, 2, 0, 1]), name, CLASS_WEIGHTS.options(name, {}))
    assert weights.dtype == torch.float32
    np.testing.assert_allclose(weights, weigh((4, 3, 2, 0, 1), name), rtol=1e-6)


@pytest.mark.parametrize("counts", COUNTS)
def test_no_weights_are_all_1(counts):
    np.testing.assert_allclose(weigh(counts, "none"), 1)


@pytest.mark.parametrize("counts", COUNTS)
def test_balanced_weights_are_those_of_scikit_learn(counts):
    y = np.repeat(np.arange(5), counts)
    expected = compute_class_weight("balanced", classes=np.arange(5), y=y)
    np.testing.assert_allclose(weigh(counts, "balanced"), expected, rtol=1e-6)


@pytest.mark.parametrize("counts", COUNTS)
def test_importance_is_what_each_class_counts_in_all(counts):
    importance = (1.0, 2.0, 2.0, 2.0, 0.5)
    for given in ({}, {"importance": list(importance)}):
        together = weigh(counts, "importance", **given) * counts
        np.testing.assert_allclose(together / together.sum(), np.array(importance) / sum(importance), rtol=1e-6)


def test_equal_importance_is_balanced():
    np.testing.assert_allclose(
        weigh(COUNTS[0], "importance", importance=[3] * 5), weigh(COUNTS[0], "balanced"), rtol=1e-6
    )


@pytest.mark.parametrize("importance", [[1, 2, 3], [1] * 6, [], [0] * 5])
def test_an_importance_that_is_not_one_a_class_is_refused(importance):
    with pytest.raises(BeatwiseError, match=r"train\.class_weights\.importance\.importance.*each of the 5 classes"):
        weigh(COUNTS[0], "importance", importance=importance)


def test_an_importance_of_nothing_but_classes_without_beats_is_refused():
    with pytest.raises(BeatwiseError, match="every class that has training beats gets weight 0"):
        weigh((3, 0, 4, 5, 6), "importance", importance=[0, 1, 0, 0, 0])


@pytest.mark.parametrize("counts", COUNTS)
def test_the_effective_number_lies_between_equal_and_balanced(counts):
    np.testing.assert_allclose(weigh(counts, "effective_number", beta=0.0), weigh(counts, "none"), rtol=1e-6)
    # β^count is not yet 0 for the largest count: every beat is new.
    nearly = weigh(counts, "effective_number", beta=1 - 1e-10)
    np.testing.assert_allclose(nearly, weigh(counts, "balanced"), rtol=1e-4)
    rare, common = int(np.argmin(counts)), int(np.argmax(counts))
    ratios = [w[rare] / w[common] for w in (weigh(counts, "effective_number", beta=b) for b in (0.0, 0.9, 0.99, 0.999))]
    assert ratios == sorted(ratios)


def test_the_effective_number_is_that_of_the_paper():
    beta = 0.999
    expected = np.array([(1 - beta) / (1 - beta**n) for n in COUNTS[0]])
    found = weigh(COUNTS[0], "effective_number", beta=beta)
    np.testing.assert_allclose(found / found[0], expected / expected[0], rtol=1e-5)


# --- what they do to a training


@pytest.mark.parametrize("name", LOSSES.names())
@pytest.mark.parametrize("weights", CLASS_WEIGHTS.names())
def test_every_loss_learns_with_every_kind_of_weights(parts: Parts, name, weights):
    how = config(epochs=40, patience=40, options={"width": 64}, loss={"use": name}, class_weights={"use": weights})
    _, history = loop.fit_model(*parts, how)
    assert history["train_loss"].iloc[-1] < 0.6 * history["train_loss"].iloc[0]
    assert history["val_macro_recall"].max() > 0.75


def rare_class(make_beats: MakeBeats, n_rare: int = 6) -> Parts:
    """Two overlapping classes, one of them rare, so that the plain loss hardly pays for finding it."""
    parts = [make_beats((300, n_rare, 0, 0, 0), seed=1), make_beats((60, 60, 0, 0, 0), seed=2)]
    return tensors(parts[0], parts[0]), tensors(parts[1], parts[0])


@pytest.mark.parametrize(
    "how",
    [
        {"class_weights": choose("balanced")},
        {"class_weights": choose("effective_number")},
        {"class_weights": choose("importance", importance=[1, 2, 0, 0, 0])},
        {"sampler_power": 1.0},
        {"loss": choose("cross_entropy", logit_adjustment=1.0)},
        {"loss": choose("focal", gamma=2.0), "class_weights": choose("balanced")},
        {"loss": choose("one_vs_rest"), "class_weights": choose("balanced")},
    ],
    ids=str,
)
def test_weights_sampling_and_logit_adjustment_find_more_of_a_rare_class(make_beats, how):
    train, val = rare_class(make_beats)
    common: dict[str, Any] = {"epochs": 15, "patience": 15, "monitor": "log_loss", "batch_size": 64}

    def recall(model: TrainedModel) -> float:
        return float((model.probabilities(val).argmax(axis=1) == 1)[val.y == 1].mean())

    plain = loop.fit_model(train, val, config(**common))[0]
    helped = loop.fit_model(train, val, config(**common, **how))[0]
    assert recall(helped) > recall(plain) + 0.2
