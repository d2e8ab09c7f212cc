from __future__ import annotations

import numpy as np
import pytest

from beatwise.tasks.classification.forgetting import MOVES, ClassHistory, count_moves, summarise_beats

CLASSES = ["N", "S"]
# One line a beat, one letter an epoch: r for right, w for wrong. The first four are N, the others S.
STORIES = ("rrrr", "wrwr", "rwrw", "wwww", "wwrr", "rwww", "rwrr")


def told(stories: tuple[str, ...], n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    target = np.array([0] * n + [1] * (len(stories) - n))
    right = np.array([[letter == "r" for letter in story] for story in stories]).T
    return target, np.where(right, target, 1 - target)


def test_a_worked_example() -> None:
    counted = count_moves(*told(STORIES), CLASSES)
    assert counted["moves"]["N"] == {
        "wrong": [2, 1, 1, 1],
        "forgotten": [0, 1, 1, 1],
        "learnt": [0, 1, 1, 1],
        "right": [2, 1, 1, 1],
    }
    assert counted["moves"]["S"] == {
        "wrong": [1, 1, 1, 1],
        "forgotten": [0, 2, 0, 0],
        "learnt": [0, 0, 2, 0],
        "right": [2, 0, 0, 2],
    }
    assert counted["never_learnt"] == {"N": 1, "S": 0}
    # N: never, once, twice; S: never, once twice.
    assert counted["forgotten"] == {"N": [1, 1, 1], "S": [1, 2]}


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_the_stories_read_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stories = tuple("".join(rng.choice(["r", "w"], size=9, p=[0.7, 0.3])) for _ in range(200))
    counted = count_moves(*told(stories, 150), CLASSES)
    for label, own in (("N", stories[:150]), ("S", stories[150:])):
        times = [story.count("rw") for story in own if "r" in story]
        assert counted["forgotten"][label] == [times.count(n) for n in range(max(times) + 1)]
        assert counted["never_learnt"][label] == sum("r" not in story for story in own)
        for epoch in range(1, 9):
            learnt = sum(story[epoch - 1 : epoch + 1] == "wr" for story in own)
            assert counted["moves"][label]["learnt"][epoch] == learnt


def test_moves_add_up_to_the_beats_of_the_class_in_every_epoch() -> None:
    moves = count_moves(*told(STORIES), CLASSES)["moves"]
    for label, beats in (("N", 4), ("S", 3)):
        assert np.sum([moves[label][name] for name in MOVES], axis=0).tolist() == [beats] * 4


def test_in_the_first_epoch_nothing_moves() -> None:
    moves = count_moves(*told(STORIES), CLASSES)["moves"]
    assert [moves[label][name][0] for label in CLASSES for name in ("forgotten", "learnt")] == [0, 0, 0, 0]


def test_a_class_without_beats_has_counts_of_zero() -> None:
    counted = count_moves(*told(STORIES), [*CLASSES, "Q"])
    assert counted["never_learnt"]["Q"] == 0
    assert counted["forgotten"]["Q"] == [0]
    assert counted["moves"]["Q"]["right"] == [0, 0, 0, 0]


def test_each_beat_has_its_story() -> None:
    target, predicted = told(STORIES)
    kept = ClassHistory(target, CLASSES)
    sure = [0.9, 0.6, 0.8, 0.7]
    for prediction, share in zip(predicted, sure, strict=True):
        kept.add(np.where(prediction[:, None] == np.arange(2), share, 1 - share).astype(np.float32))
    beats = summarise_beats(kept.table())
    assert beats.index.tolist() == list(range(7))
    assert beats["target"].tolist() == target.tolist()
    assert beats["prediction"].tolist() == predicted[-1].tolist()
    assert beats["epochs_right"].tolist() == [story.count("r") for story in STORIES]
    assert beats["forgotten"].tolist() == [story.count("rw") for story in STORIES]
    of_truth = [
        [share if letter == "r" else 1 - share for letter, share in zip(story, sure, strict=True)] for story in STORIES
    ]
    np.testing.assert_allclose(beats["confidence"], np.mean(of_truth, axis=1), atol=1e-3)
    np.testing.assert_allclose(beats["variability"], np.std(of_truth, axis=1), atol=1e-3)
