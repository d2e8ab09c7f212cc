from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from beatwise.core.errors import BeatwiseError
from beatwise.data.augmentations import (
    AUGMENTATIONS,
    LEAST,
    OF_ANY_SERIES,
    OF_FEATURES,
    OF_LEADS,
    OF_PICTURES,
    OF_THE_SIGNAL,
    Batch,
    augment,
    refuse_unsuitable,
)
from beatwise.data.representations import REPRESENTATIONS, beat_mask

T = 48
REPRESENTATION_OPTIONS: dict[str, dict[str, Any]] = {"image": {"height": 8, "width": 7}}
# What can end a beat in zeros or beyond 1, if nothing holds it.
ROUGH: dict[str, dict[str, Any]] = {
    "shift": {"max_samples": 60},
    "amplitude": {"max_offset": 0.9, "max_gain": 0.9},
    "noise": {"sd": 2.0},
    "stretch": {"max_stretch": 3.0},
    "baseline_wander": {"max_amplitude": 0.9, "cycles": (0.0, 9.0)},
    "masking": {"max_samples": 60},
    "mixup": {"alpha": 1e-3},
}
KEEPS_LENGTH = ["amplitude", "noise", "baseline_wander", "masking"]

OF_BEATS = [name for name in AUGMENTATIONS.names() if name not in (*OF_PICTURES, *OF_LEADS, *OF_FEATURES)]
EVERY_AUGMENTATION = pytest.mark.parametrize("name", OF_BEATS)


def suited(name: str) -> list[str]:
    """The representations that an augmentation can change."""
    return [use for use in REPRESENTATIONS.names() if use in OF_THE_SIGNAL or name in OF_ANY_SERIES]


@pytest.fixture(autouse=True)
def _own_generator():
    with torch.random.fork_rng():
        yield


def beats(lengths: Any, t: int = T) -> Tensor:
    """Random beats in [0.05, 1], zeros behind them, ``[n, t]``."""
    values = np.random.default_rng(0).uniform(0.05, 1, size=(len(lengths), t)).astype(np.float32)
    return torch.from_numpy(values * (np.arange(t) < np.asarray(lengths)[:, None]))


def flat(lengths: Any, height: float = 0.5) -> Tensor:
    """Beats that have the same value everywhere, zeros behind them, ``[n, T]``."""
    return height * (torch.arange(T) < torch.as_tensor(lengths)[:, None])


def batch_of(values: Tensor, representation: str = "signal", n_classes: int = 5) -> Batch:
    """A batch whose only auxiliary feature is the index of the beat, and whose classes take turns."""
    options = REPRESENTATION_OPTIONS.get(representation, {})
    x = torch.from_numpy(np.ascontiguousarray(REPRESENTATIONS[representation](**options).transform(values.numpy())))
    n = torch.arange(len(values))
    return Batch(x, n[:, None].float(), torch.eye(n_classes)[n % n_classes])


def some_lengths(n: int = 64) -> list[int]:
    return [20 + i % 25 for i in range(n)]


def length_of(values: Any) -> list[int]:
    """Samples up to the last that is not zero, of each row."""
    return [max((i + 1 for i, value in enumerate(row) if value != 0), default=0) for row in np.asarray(values)]


def apply(name: str, batch: Batch, seed: int = 0, **options: Any) -> Batch:
    torch.manual_seed(seed)
    return AUGMENTATIONS[name](batch, **options)


def on_signal(name: str, values: Tensor, **options: Any) -> np.ndarray:
    """Signals ``[n, t]`` after an augmentation of every beat, with the same random numbers at every call."""
    return apply(name, batch_of(values), share=1.0, **options).x[:, 0].numpy()


def padded(beat: Any, t: int = T) -> np.ndarray:
    return np.pad(np.asarray(beat)[:t], (0, max(t - len(beat), 0)))


def equal(first: Batch, second: Batch) -> bool:
    return all(torch.equal(getattr(first, f.name), getattr(second, f.name)) for f in fields(Batch))


def clone(batch: Batch) -> Batch:
    return Batch(batch.x.clone(), batch.aux.clone(), batch.target.clone())


# What holds for every augmentation


@EVERY_AUGMENTATION
def test_an_augmentation_keeps_the_contract(name):
    check_shapes_and_seed(name)
    check_share(name)
    check_whole_when_clipped(name)
    check_every_representation(name)
    check_smallest(name)


def check_shapes_and_seed(name: str) -> None:
    """Shapes, targets and the given batch stay, and the seed decides."""
    for representation in suited(name):
        whole = batch_of(beats(some_lengths()), representation)
        assert equal(apply(name, whole), apply(name, whole))
        assert not equal(apply(name, whole), apply(name, whole, seed=1))
        for given in (whole, Batch(whole.x, whole.aux[:, :0], whole.target)):
            before = clone(given)
            made = apply(name, given, share=1.0)
            assert equal(given, before)
            assert [(p.shape, p.dtype) for p in (made.x, made.aux, made.target)] == [
                (p.shape, p.dtype) for p in (given.x, given.aux, given.target)
            ]
            assert made.target.sum(dim=1).numpy() == pytest.approx(1, abs=1e-6)
            assert made.target.min() >= 0


def check_share(name: str) -> None:
    """About the asked share of beats is changed, and the others stay bit-identical."""
    given = batch_of(beats(some_lengths(2000)))
    for share in (0.1, 0.5, 1.0):
        made = apply(name, given, share=share)
        changed = (made.x != given.x).flatten(1).any(dim=1)
        # A shift by no sample, or a weight near 1, changes nothing that float32 can tell.
        assert 0.8 * share < changed.float().mean() < 1.2 * share + 0.01
        assert torch.equal(made.aux[~changed], given.aux[~changed])
        assert torch.equal(made.target[~changed].argmax(dim=1), given.target[~changed].argmax(dim=1))


def check_whole(x: Tensor) -> None:
    """Values stay in the unit interval, and the mask fits the beat."""
    values, mask = x.unbind(dim=1)
    assert values.min() == 0
    assert values.max() <= 1
    assert np.array_equal(mask, beat_mask(values.numpy()))
    assert (mask[:, 0] == 1).all()


def check_whole_when_clipped(name: str) -> None:
    """Beats stay whole even where they are clipped."""
    lengths = [1, 2, 3, T, T - 1, *some_lengths()]
    rough = ROUGH.get(name, {})
    for seed in range(5):
        check_whole(apply(name, batch_of(beats(lengths), "signal_with_mask"), seed, share=1.0, **rough).x)
    for representation in OF_THE_SIGNAL if name in KEEPS_LENGTH else ():
        made = apply(name, batch_of(beats(lengths), representation), share=1.0, **rough)
        assert length_of(made.x.flatten(2)[:, 0]) == lengths


def check_every_representation(name: str) -> None:
    """A signal is changed the same with a mask or folded into an image."""
    values = beats([1, 2, 3, T, *some_lengths()])
    alone, masked = (apply(name, batch_of(values, use)) for use in ("signal", "signal_with_mask"))
    assert torch.equal(masked.x[:, :1], alone.x)
    for part in ("aux", "target"):
        assert torch.equal(getattr(masked, part), getattr(alone, part))
    image = batch_of(values, "image")
    series = Batch(image.x.reshape(len(image.x), 1, -1), image.aux, image.target)
    folded, straight = apply(name, image), apply(name, series)
    assert torch.equal(folded.x.flatten(1), straight.x.flatten(1))
    assert torch.equal(folded.aux, straight.aux)


def check_smallest(name: str) -> None:
    """The smallest batches and beats give finite numbers."""
    for lengths in ([30], [T], [1], [0], [0, 0, 0], [1, 1, 1], [T, T, T], [0, 1, 2, T]):
        for representation in suited(name):
            given = batch_of(beats(lengths), representation, n_classes=2)
            made = apply(name, given, share=1.0, **ROUGH.get(name, {}))
            assert all(torch.isfinite(part).all() for part in (made.x, made.aux, made.target))
            if name != "mixup":
                empty = [i for i, length in enumerate(lengths) if length == 0]
                assert torch.equal(made.x[empty], given.x[empty])


def test_all_augmentations_in_a_row_keep_beats_whole():
    made = batch_of(beats([1, 2, 3, T, *some_lengths()]), "signal_with_mask")
    torch.manual_seed(0)
    for _ in range(5):
        made = augment(made, [(name, {**ROUGH.get(name, {}), "share": 1.0}) for name in OF_BEATS])
        check_whole(made.x)


def test_augmentations_are_applied_in_the_order_given():
    given = batch_of(beats(some_lengths()))
    chosen = [("stretch", {"max_stretch": 0.5}), ("noise", {}), ("shift", {"share": 1.0})]
    torch.manual_seed(3)
    made = augment(given, chosen)
    torch.manual_seed(3)
    step = AUGMENTATIONS["stretch"](given, max_stretch=0.5)
    assert equal(made, AUGMENTATIONS["shift"](AUGMENTATIONS["noise"](step), share=1.0))
    assert augment(given, []) is given


# What each augmentation does, beat by beat


def test_shift_repeats_the_first_sample_or_drops_the_first_ones():
    lengths = [1, 2, 3, T - 2, T, *some_lengths(95)]
    values = beats(lengths)
    drawn = []
    for beat, length, made in zip(values.numpy(), lengths, on_signal("shift", values, max_samples=5), strict=True):
        expected = {
            by: padded(np.concatenate([np.repeat(beat[0], by), beat[:length]]) if by >= 0 else beat[-by:length])
            for by in range(max(-5, 1 - length), 6)
        }
        drawn.append([by for by in expected if np.array_equal(made, expected[by])])
    assert all(drawn)
    assert {by[0] for by in drawn[5:]} == set(range(-5, 6))


def test_amplitude_adds_one_offset_and_multiplies_by_one_gain():
    options = {"max_offset": 0.2, "max_gain": 0.3}
    lengths = some_lengths(200)
    low, high = (on_signal("amplitude", flat(lengths, height), **options)[:, 0] for height in (0.4, 0.6))
    gain = (high - low) / 0.2
    offset = low - 0.4 * gain
    values = beats(lengths)
    for i, made in enumerate(on_signal("amplitude", values, **options)):
        expected = np.clip(values[i, : lengths[i]].numpy() * gain[i] + offset[i], 0, 1)
        expected[-1] = max(expected[-1], LEAST)
        assert made == pytest.approx(padded(expected), abs=1e-5)
    assert np.abs(offset).max() == pytest.approx(0.2, abs=0.02)
    assert np.abs(gain - 1).max() == pytest.approx(0.3, abs=0.03)
    assert np.mean([offset / 0.2, (gain - 1) / 0.3]) == pytest.approx(0, abs=0.15)


def test_amplitude_can_do_without_a_gain():
    made = on_signal("amplitude", flat([T] * 50, 0.6), max_gain=0.0) - on_signal(
        "amplitude", flat([T] * 50, 0.4), max_gain=0.0
    )
    assert made == pytest.approx(0.2, abs=1e-6)


def test_noise_multiplies_every_sample_by_its_own_normal_number():
    lengths = some_lengths(500)
    factor = on_signal("noise", flat(lengths)) / 0.5
    drawn = factor[factor != 0]
    assert drawn.mean() == pytest.approx(1, abs=0.002)
    assert drawn.std() == pytest.approx(0.02, rel=0.05)
    neighbours = np.corrcoef(factor[:, :19].ravel(), factor[:, 1:20].ravel())[0, 1]
    assert neighbours == pytest.approx(0, abs=0.05)
    values = beats(lengths)
    expected = np.clip(values.numpy() * factor, 0, 1)
    assert on_signal("noise", values) == pytest.approx(expected, abs=1e-5)


def test_graft_joins_two_beats_of_one_class_at_one_sample():
    lengths = [1, 2, T, 0, *some_lengths(96)]
    given = batch_of(beats(lengths))
    made = apply("graft", given, share=1.0)
    values, grafted = given.x[:, 0].numpy(), made.x[:, 0].numpy()
    joins = []
    for i, length in enumerate(lengths):
        if length == 0:
            continue
        partner = round(2 * made.aux[i, 0].item() - i)
        assert partner != i
        assert partner % 5 == i % 5
        tail = values[partner][: lengths[partner]]
        found = [
            join
            for join in range(1, max(length, 2))
            if np.array_equal(grafted[i], padded(np.concatenate([values[i][:join], tail[join:]])))
        ]
        assert found
        joins.append(found[0] / length)
    assert np.mean(joins) == pytest.approx(0.5, abs=0.1)
    assert torch.equal(made.target, given.target)


def test_graft_goes_by_the_largest_target_and_leaves_a_beat_alone_in_its_class():
    given = batch_of(beats([30] * 4))
    target = torch.tensor([[0.6, 0.4, 0.0], [0.9, 0.0, 0.1], [0.4, 0.6, 0.0], [0.0, 0.0, 1.0]])
    made = apply("graft", Batch(given.x, given.aux, target), share=1.0)
    assert made.aux[:, 0].tolist() == [0.5, 0.5, 2, 3]
    assert torch.equal(made.x[2:], given.x[2:])


def test_graft_never_crosses_classes_however_many_there_are():
    given = batch_of(flat([30] * 600), n_classes=200)
    height = (given.target.argmax(dim=1) + 1) / 256
    made = apply("graft", Batch(given.x * 2 * height[:, None, None], given.aux, given.target), share=1.0)
    assert torch.equal(made.x[:, 0, :30], height[:, None].expand(-1, 30))


@pytest.mark.parametrize("name", ["graft", "mixup"])
def test_every_other_beat_is_as_likely_a_partner(name):
    given = batch_of(beats([30] * 4), n_classes=1)
    options = {"alpha": 1e4} if name == "mixup" else {}
    # The feature is the index of the beat, and becomes the mean of both: for beat 0, half of the partner's.
    drawn = [round(2 * apply(name, given, seed, share=1.0, **options).aux[0, 0].item()) for seed in range(600)]
    assert np.bincount(drawn, minlength=4) / 600 == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=0.08)


def test_stretch_interpolates_between_samples_and_changes_the_length():
    lengths = [T, T - 1, *some_lengths(98)]
    ramp = 0.02 * (torch.arange(T) + 1) * (flat(lengths) > 0)
    stretched = on_signal("stretch", ramp, max_stretch=0.3)
    factors = 0.2 / (stretched[:, 10] - stretched[:, 0])
    values = beats(lengths)
    for i, made in enumerate(on_signal("stretch", values, max_stretch=0.3)):
        last = lengths[i] - 1
        times = np.arange(min(T, int(last * factors[i]) + 1)) / factors[i]
        expected = np.interp(times, np.arange(last + 1), values[i, : last + 1].numpy())
        assert length_of([made]) == [len(times)]
        assert made == pytest.approx(padded(expected), abs=1e-4)
    drawn = np.log(factors) / np.log(1.3)
    assert np.abs(drawn).max() == pytest.approx(0.97, abs=0.031)
    assert drawn.mean() == pytest.approx(0, abs=0.15)


def test_baseline_wander_adds_one_sine():
    options = {"max_amplitude": 0.2, "cycles": (2.0, 3.0)}
    lengths = [T] * 200
    wave = on_signal("baseline_wander", flat(lengths), **options) - 0.5
    assert np.abs(wave).max() == pytest.approx(0.2, abs=0.01)
    # A uniform amplitude up to 0.2 has the mean square 0.2² / 3, a sine of random phase half of that.
    assert wave[:, 0].mean() == pytest.approx(0, abs=0.03)
    assert wave[:, 0].std() == pytest.approx(0.2 / np.sqrt(6), rel=0.15)
    for sine in wave[np.abs(wave).max(axis=1) > 0.02]:
        # sin(a - b) + sin(a + b) = 2 cos(b) sin(a) holds for sines alone.
        around, middle = sine[:-2] + sine[2:], sine[1:-1]
        twice_cosine = (around @ middle) / (middle @ middle)
        assert around == pytest.approx(twice_cosine * middle, abs=1e-6)
        assert 2 - 0.01 < np.arccos(twice_cosine / 2) * T / (2 * np.pi) < 3 + 0.01
    values = beats(lengths)
    expected = np.clip(values.numpy() + wave, 0, 1)
    expected[:, -1] = np.maximum(expected[:, -1], LEAST)
    assert on_signal("baseline_wander", values, **options) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("representation", REPRESENTATIONS.names())
def test_mixup_is_a_convex_mixture_of_two_beats(representation):
    n = 300
    given = batch_of(beats(some_lengths(n)), representation, n_classes=n)
    made = apply("mixup", given, share=1.0)
    weights = []
    for i in range(n):
        weight = made.target[i, i].item()
        others = made.target[i].clone()
        others[i] = 0
        partner = int(others.argmax())
        assert partner != i
        assert others.sum().item() == pytest.approx(1 - weight, abs=1e-6)
        mixture = weight * given.x[i] + (1 - weight) * given.x[partner]
        if representation == "signal_with_mask":
            mixture[1] = torch.maximum(given.x[i, 1], given.x[partner, 1])
            assert torch.equal(made.x[i, 1], mixture[1])
        torch.testing.assert_close(made.x[i], mixture, rtol=1e-5, atol=1e-6)
        assert made.aux[i, 0].item() == pytest.approx(weight * i + (1 - weight) * partner, abs=1e-3)
        weights.append(weight)
    assert np.mean(weights) == pytest.approx(0.5, abs=0.08)
    # The variance of Beta(a, a) is 1 / (4 (2 a + 1)).
    assert np.var(weights) == pytest.approx(1 / (4 * 1.4), rel=0.15)
    kept = apply("mixup", given, share=1.0, mostly_itself=True).target.diagonal()
    assert kept.min() >= 0.5
    assert kept.max() < 1


def test_mixup_with_an_extreme_weight_leaves_both_beats_in_the_mixture():
    given = batch_of(beats([20, 40] * 200), "signal_with_mask", n_classes=400)
    made = apply("mixup", given, share=1.0, alpha=1e-3)  # draws weights of next to 0 and 1
    values, mask = made.x.unbind(dim=1)
    assert length_of(values) == length_of(mask)
    # A beat of 20 samples with one of 40 has 40, and only two of 20 have 20.
    with_long = (made.target > 0)[:, 1::2].any(dim=1)
    assert length_of(values) == [40 if long else 20 for long in with_long]


def test_masking_hides_one_stretch_before_the_last_sample():
    lengths = [1, 2, T, *some_lengths(297)]
    values = beats(lengths).numpy()
    widths, starts = [], []
    for beat, made, length in zip(values, on_signal("masking", beats(lengths), max_samples=5), lengths, strict=True):
        hidden = np.flatnonzero(made[:length] == 0)
        if length > 1:
            assert np.array_equal(hidden, np.arange(hidden[0], hidden[0] + len(hidden)))
            widths.append(len(hidden))
            starts.append(hidden[0] / (length - len(hidden)))
        expected = beat.copy()
        expected[hidden] = 0
        assert np.array_equal(made, expected)
    assert set(widths) == {1, 2, 3, 4, 5}
    assert np.mean(starts) == pytest.approx(0.5, abs=0.07)


def test_masking_hides_the_same_samples_of_all_wavelet_scales():
    given = batch_of(beats(some_lengths()), "scalogram")
    made = apply("masking", given, share=1.0)
    hidden = (made.x != given.x).any(dim=1, keepdim=True)
    assert hidden.any(dim=2).all()
    assert torch.equal(made.x, given.x.masked_fill(hidden, 0))


# What is refused


@EVERY_AUGMENTATION
def test_options_that_are_not_allowed_are_refused(name):
    known = ", ".join(sorted(AUGMENTATIONS.options(name, {})))
    with pytest.raises(BeatwiseError) as caught:
        AUGMENTATIONS.options(name, {"depth_of_sea": 3}, f"train.{name}")
    assert str(caught.value) == f"train.{name}.depth_of_sea: Unknown parameter 'depth_of_sea'. Known: {known}."
    for share in (0, 1.1):
        with pytest.raises(BeatwiseError, match=rf"^{name}\.share: "):
            AUGMENTATIONS.options(name, {"share": share})


def test_a_range_of_frequencies_upside_down_is_refused():
    with pytest.raises(BeatwiseError, match=r"cycles: the lower end stands first; got \[2\.0, 1\.0\], use \[1\.0, 2"):
        AUGMENTATIONS.options("baseline_wander", {"cycles": [2, 1]})


def test_only_what_suits_any_series_is_allowed_for_wavelets():
    for name in OF_BEATS:
        for representation in OF_THE_SIGNAL:
            refuse_unsuitable([name], representation)
        if name in OF_ANY_SERIES:
            refuse_unsuitable([name], "scalogram")
            continue
        with pytest.raises(BeatwiseError) as caught:
            refuse_unsuitable(["mixup", name], "scalogram")
        assert str(caught.value) == (
            f"The augmentation '{name}' changes a signal, which the representation 'scalogram' does not hold. Allowed "
            f"with 'scalogram': mixup, masking. Leave '{name}' out (train.augment.use=mixup, or nothing behind the "
            "sign for none), or use tensors.use=signal, signal_with_mask or image."
        )


def test_channels_that_are_not_the_signal_are_refused():
    for name in set(OF_BEATS) - set(OF_ANY_SERIES):
        with pytest.raises(
            BeatwiseError, match=r"not \[8, 4, 48\]\. Use tensors\.use=signal, signal_with_mask or image"
        ):
            apply(name, batch_of(beats(some_lengths(8)), "scalogram"))


def test_every_representation_that_holds_the_signal_is_a_known_one():
    assert set(OF_THE_SIGNAL) == set(REPRESENTATIONS.names()) - {"scalogram", "identity"}


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(BeatwiseError, match=r"Unknown augmentation 'mixupp'\. Did you mean 'mixup'\?"):
        refuse_unsuitable(["mixupp"], "signal")


# --- pictures

PICTURES = torch.rand(64, 2, 5, 5) * torch.tensor([1.0, 0.01])[:, None, None]


def orientations(picture: Tensor) -> list[Tensor]:
    """The eight orientations of a square picture."""
    return [turned for one in (picture, picture.flip(1)) for turned in (one.rot90(k, (1, 2)) for k in range(4))]


def is_moved(changed: Tensor, picture: Tensor) -> bool:
    """Whether a picture is another one, moved by up to two pixels, with edges repeated."""
    padded = torch.nn.functional.pad(picture, (2, 2, 2, 2), mode="replicate")
    return any(bool((padded[:, i : i + 5, j : j + 5] == changed).all()) for i in range(5) for j in range(5))


def check_turned(changed: Tensor, picture: Tensor) -> None:
    assert any(torch.equal(changed, turned) for turned in orientations(picture))


def check_moved(changed: Tensor, picture: Tensor) -> None:
    assert is_moved(changed, picture)


def check_zoomed(changed: Tensor, picture: Tensor) -> None:
    # The centre stays, and no value leaves the range of the picture.
    torch.testing.assert_close(changed[:, 2, 2], picture[:, 2, 2])
    assert picture.min() - 1e-6 <= changed.min() <= changed.max() <= picture.max() + 1e-6


def check_intensity(changed: Tensor, picture: Tensor) -> None:
    # Whatever a channel's unit, it changes by shares of its own deviation.
    change = (changed - picture).abs().amax(dim=(1, 2)) / PICTURES.std(dim=(0, 2, 3))
    assert (change < 0.8).all()
    assert change[1] <= 20 * change[0] + 1e-6


OPTIONS_OF_PICTURES: dict[str, tuple[dict[str, Any], Any]] = {
    "flip": ({}, check_turned),
    "quarter_turns": ({}, check_turned),
    "translate": ({"max_pixels": 2}, check_moved),
    "zoom": ({"max_zoom": 0.5}, check_zoomed),
    "brightness": ({"max_offset": 0.2, "max_gain": 0.2}, check_intensity),
    "pixel_noise": ({"sd": 0.1}, check_intensity),
}


@pytest.mark.parametrize("name", OF_PICTURES)
def test_pictures_are_changed_as_the_name_says_and_nothing_else_is(name):
    options, check = OPTIONS_OF_PICTURES[name]
    batch = Batch(x=PICTURES.clone(), aux=torch.rand(64, 1), target=torch.eye(4)[torch.arange(64) % 4])
    torch.manual_seed(0)
    made = AUGMENTATIONS[name](batch, **options)
    torch.manual_seed(0)
    assert torch.equal(AUGMENTATIONS[name](batch, **options).x, made.x)
    assert torch.equal(batch.x, PICTURES)
    assert torch.equal(made.aux, batch.aux)
    assert torch.equal(made.target, batch.target)
    changed = (made.x != PICTURES).flatten(1).any(dim=1)
    assert 0.3 < changed.float().mean() < 0.95
    for one, before in zip(made.x, PICTURES, strict=True):
        check(one, before)
    with pytest.raises(BeatwiseError, match=r"changes pictures \[n, c, h, w\], not \[8, 2, 48\]"):
        AUGMENTATIONS[name](Batch(torch.rand(8, 2, 48), batch.aux[:8], batch.target[:8]), **options)
    AUGMENTATIONS["mixup"](batch)


def test_quarter_turns_of_oblong_pictures_are_refused():
    batch = Batch(x=torch.rand(4, 1, 4, 6), aux=torch.rand(4, 0), target=torch.eye(4))
    with pytest.raises(BeatwiseError, match=r"'quarter_turns' turns square pictures, and these have 4 × 6 pixels"):
        AUGMENTATIONS["quarter_turns"](batch)


# --- windows of leads, and features


@pytest.mark.parametrize("name", [*OF_LEADS, *OF_FEATURES])
def test_windows_are_changed_lead_by_lead_as_the_name_says(name):
    batch = Batch(x=torch.rand(2000, 2, 50) + 1, aux=torch.rand(2000, 3), target=torch.eye(4)[torch.arange(2000) % 4])
    given = clone(batch)
    options: dict[str, Any] = {"share": 0.5} if name == "lead_dropout" else {}
    made = apply(name, batch, **options)
    assert equal(batch, given)
    assert equal(apply(name, batch, **options), made)
    changed, kept = ("aux", "x") if name == "feature_noise" else ("x", "aux")
    assert torch.equal(getattr(made, kept), getattr(batch, kept))
    difference = getattr(made, changed) - getattr(batch, changed)
    share = (difference.flatten(1) != 0).any(dim=1).float().mean().item()
    # A shift by 0 is no change, and of two leads that would both go none does.
    assert share == pytest.approx({"lead_shift": 6 / 7, "lead_dropout": 0.5}.get(name, 1), abs=0.04)
    if name == "lead_shift":
        padded = torch.nn.functional.pad(batch.x, (3, 3), mode="replicate")
        shifts = torch.stack([padded[:, :, i : i + 50] for i in range(7)])
        assert (made.x == shifts).flatten(2).all(dim=2).any(dim=0).all()
    if name == "lead_amplitude":
        # A line through the samples of each lead: its slope is the gain, and leads differ.
        gain = made.x.std(dim=2) / batch.x.std(dim=2)
        assert gain.std().item() == pytest.approx(0.1, abs=0.01)
        assert torch.corrcoef(gain.T)[0, 1].abs() < 0.1
        assert (made.x - gain[:, :, None] * batch.x).std(dim=2).max() < 1e-5
    if name in ("lead_noise", "feature_noise"):
        assert difference.std().item() == pytest.approx(0.02 if name == "lead_noise" else 0.05, rel=0.05)
    if name == "lead_dropout":
        gone = (made.x == 0).all(dim=2)
        assert gone.sum(dim=1).max() == 1
        assert torch.equal(made.x[~gone], batch.x[~gone])
    if name in OF_LEADS:
        refuse_unsuitable([name], "identity")
        with pytest.raises(
            BeatwiseError, match=f"'{name}' changes windows of leads, which the representation 'signal'"
        ):
            refuse_unsuitable([name], "signal")
        with pytest.raises(BeatwiseError, match=r"changes windows of leads \[n, c, t\], not \[8, 2, 5, 5\]"):
            apply(name, Batch(PICTURES[:8], batch.aux[:8], batch.target[:8]))
