"""The page of monitoring: whether scored beats are like the reference, measure by measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from markupsafe import Markup, escape

from beatwise.report.html import render

# Size of a picture (CSS pixels), and of the text below it.
WIDTH, HEIGHT, BELOW = 300, 86, 16
GAP: Final = 2
# There is room for the shares of so many classes.
CLASSES_WITH_SHARES: Final = 5


def render_monitoring(result: Mapping[str, Any]) -> str:
    """Render the page.

    Args:
        result: What ``beatwise.scoring.watch.watch`` returns, without its lines.
    """
    # What raised an alarm first, then by how near a limit it is.
    checks = sorted(result["checks"], key=lambda check: (not check["raised"], -_nearness(check)))
    return render(
        "monitoring.html",
        title="Alarm: " + ", ".join(result["alarms"]) if result["raised"] else "No alarm",
        source=result["scorer"]["source"],
        result=result,
        checks=[{**check, "picture": _picture(check)} for check in checks],
        n_raised=sum(check["raised"] for check in checks),
    )


def _nearness(check: Mapping[str, Any]) -> float:
    pairs = ((check[key], check[f"{key}_limit"]) for key in ("psi", "ks"))
    return max(found / limit for found, limit in pairs if found is not None)


def _picture(check: Mapping[str, Any]) -> Markup:
    """Bars of the scored beats, and the shares of the reference as a line across them, as SVG."""
    before, now = check["reference"], check["scored"]
    top, width = max(*before, *now), WIDTH / len(now)
    bars = "".join(
        f'<rect x="{i * width + GAP / 2:.1f}" y="{HEIGHT * (1 - share / top):.1f}" width="{width - GAP:.1f}" '
        f'height="{HEIGHT * share / top:.1f}"><title>{escape(name)}: {share:.1%}, reference {of:.1%}</title></rect>'
        for i, (name, share, of) in enumerate(zip(_names(check), now, before, strict=True))
    )
    line = "".join(f"M{i * width:.1f} {HEIGHT * (1 - share / top):.1f}h{width:.1f}" for i, share in enumerate(before))
    texts = "".join(
        f'<text x="{min(max(at * width, 0), WIDTH):.1f}" y="{HEIGHT + BELOW - 3}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
        for at, text, anchor in _ticks(check)
    )
    raised = " raised" if check["raised"] else ""
    return Markup(
        f'<svg class="shares{raised}" viewBox="0 -2 {WIDTH} {HEIGHT + BELOW + 2}" role="img" '
        f'aria-label="{escape(check["label"])}">{bars}<path d="{line}"/>{texts}</svg>'
    )


def _names(check: Mapping[str, Any]) -> Sequence[str]:
    if "classes" in check:
        names: list[str] = check["classes"]
        return names
    edges = [f"{edge:.3g}" for edge in check["edges"]]
    between = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"below {edges[0]}", *between, f"{edges[-1]} and more"]


def _ticks(check: Mapping[str, Any]) -> Iterator[tuple[float, str, str]]:
    """Place (in bars), text and anchor of what stands below the bars."""
    if "classes" in check:
        many = len(check["classes"]) > CLASSES_WITH_SHARES
        for i, (name, share) in enumerate(zip(check["classes"], check["scored"], strict=True)):
            yield i + 0.5, name if many else f"{name} {share:.1%}", "middle"
        return
    edges = check["edges"]
    last = len(edges) - 1
    for i in sorted({0, last // 3, 2 * last // 3, last}):
        yield i + 1, f"{edges[i]:.3g}", "middle"
