from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from beatwise import figures
from beatwise.ecg.average_beats import average_beats
from beatwise.figures.style import class_colors
from tests.conftest import CLASSES
from tests.layout import check_layout


@pytest.mark.parametrize("counts", [(60, 12, 14, 10, 12), (60, 12, 0, 10, 12)])
def test_nothing_is_cut_off_and_each_class_has_its_mean_in_its_colour(make_beats, counts) -> None:
    averages = average_beats(make_beats(counts), CLASSES, 120.0)
    drawn = figures.plot_average_beats(averages, CLASSES)
    check_layout(drawn)
    for ax, (label, color) in zip(drawn.axes, class_colors(CLASSES).items(), strict=True):
        (line,) = ax.lines
        np.testing.assert_allclose(np.asarray(line.get_ydata(), float), averages[averages["class"] == label]["mean"])
        assert to_hex(line.get_color()).upper() == color
