"""The dashboard of searches: `make dashboard`, or `streamlit run src/beatwise/dashboard.py`.

It reads the folders of trials under ``data/06_models/<source>/searches`` and nothing else, while a search runs too.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import plotly.express as px
import streamlit as st

from beatwise.core.errors import BeatwiseError
from beatwise.figures import interactive
from beatwise.figures.search import eligible_trials
from beatwise.search.plan import SearchPlan
from beatwise.search.results import histories_table, trials_table
from beatwise.search.trials import Searches, TrialRecord
from beatwise.tasks.registry import METRICS

HOW = "Run one: `kedro run --pipeline=tune`. It appears here as soon as its first trial has begun."


def find_searches(project: Path) -> dict[str, tuple[SearchPlan, list[TrialRecord]]]:
    """Every search of every source that has a trial, by its name on the page, in the order in which they ran.

    The page names files that cannot be read.
    """
    found = []
    for folder in project.glob("data/06_models/*/searches"):
        try:
            searches = Searches(folder).all()
        except BeatwiseError as error:
            st.error(str(error))
            continue
        for search in searches:
            try:
                trials = search.trials
            except BeatwiseError as error:
                st.error(f"{search.folder}: {error}")
                continue
            if trials:
                found.append((f"{folder.parent.name} · {search.plan.name} · {search.key[:6]}", search.plan, trials))
    in_order = sorted(found, key=lambda search: max(trial.started or "" for trial in search[2]))
    return {name: (plan, trials) for name, plan, trials in in_order}


def show(project: Path) -> None:
    """Draw the page."""
    st.set_page_config(page_title="Beatwise searches", layout="wide")
    st.title("Searches")
    searches = find_searches(project)
    if not searches:
        st.info(f"No search yet. {HOW}")
        return
    chosen = st.sidebar.multiselect("Searches", list(searches), default=list(searches)[-1:])
    if not chosen:
        st.info("Choose a search on the left.")
        return
    tables, histories, ranges = [], [], {}
    for name in chosen:
        plan, records = searches[name]
        tables.append(trials_table(records, plan).assign(search=name))
        histories.append(histories_table(records).assign(search=name))
        ranges.update({key: range.kind for key, range in plan.space.ranges.items()})
    trials, epochs = pd.concat(tables, ignore_index=True), pd.concat(histories, ignore_index=True)
    if eligible_trials(trials).empty:
        st.info("No trial has ended an epoch yet.")
        return
    metrics = [name for name in METRICS if f"val_{name}" in trials]
    searched_for = searches[chosen[0]][0].metric
    metric = st.sidebar.selectbox(
        "Metric", metrics, index=metrics.index(searched_for), format_func=lambda name: METRICS[name].label
    )
    scored = eligible_trials(trials.assign(score=trials[f"val_{metric}"]))
    scored = scored.sort_values("score", ascending=not METRICS[metric].higher_is_better, kind="stable")
    if len(scored) > 1:
        n = st.sidebar.slider("Best trials shown", 1, len(scored), len(scored))
        scored = scored.head(n)
    _tiles(trials, scored, metric)
    _plots(scored, ranges, metric)
    _table(scored, metric)
    _curve(scored, epochs, metric)


def _tiles(trials: pd.DataFrame, scored: pd.DataFrame, metric: str) -> None:
    columns = st.columns(4)
    columns[0].metric(f"best {METRICS[metric].label}, validation", f"{scored['score'].iloc[0]:.3f}")
    columns[1].metric("trials", len(trials))
    columns[2].metric("epochs", f"{trials['epochs'].sum():,}")
    columns[3].metric("hours of training", f"{trials['seconds'].sum() / 3600:.2f}")


def _plots(scored: pd.DataFrame, ranges: dict[str, str], metric: str) -> None:
    known = [name for name in ranges if scored[name].notna().any()]
    space = pd.DataFrame({"name": known, "prior": [ranges[name] for name in known]})
    st.subheader("Parallel coordinates")
    st.plotly_chart(interactive.parallel_coordinates(scored, space, metric))
    numbers = [name for name in known if ranges[name] != "choice"]
    labels = {"score": f"{METRICS[metric].label}, validation"}
    left, right = st.columns(2)
    with left:
        st.subheader("Scatter")
        over = st.selectbox("over", [*numbers, "seconds", "n_parameters", "epochs"])
        color = st.selectbox("colour", ["status", "search", *known])
        is_log = ranges.get(over, "").startswith("log")
        st.plotly_chart(
            px.scatter(scored, x=over, y="score", color=color, log_x=is_log, hover_data=["trial"], labels=labels)
        )
        st.subheader("Histogram")
        of = st.selectbox("of", ["score", *known])
        st.plotly_chart(px.histogram(scored, x=of, color="search", nbins=20, labels=labels))
    with right:
        st.subheader("Box plot")
        choices = [name for name in known if ranges[name] == "choice"]
        by = st.selectbox("by", [*choices, "status", "search"])
        called_for = scored[scored[by].notna()]
        st.plotly_chart(px.box(called_for, x=by, y="score", points="all", hover_data=["trial"], labels=labels))
        st.subheader("Best so far")
        in_order = scored.sort_values(["search", "trial"])
        st.plotly_chart(interactive.history(in_order, metric))


def _table(scored: pd.DataFrame, metric: str) -> None:
    st.subheader("Trials")
    shown = scored.drop(columns="config")
    st.dataframe(shown, hide_index=True)
    st.download_button(
        "Download as CSV", shown.to_csv(index=False), file_name=f"trials_by_{metric}.csv", mime="text/csv"
    )


def _curve(scored: pd.DataFrame, epochs: pd.DataFrame, metric: str) -> None:
    st.subheader("Learning curve")
    names = [f"{row['search']}, trial {row['trial']}" for row in scored.to_dict("records")]
    picked = st.selectbox("of", names, key="curve")
    row = scored.iloc[names.index(picked)]
    own = epochs[(epochs["search"] == row["search"]) & (epochs["trial"] == row["trial"])]
    long = own.melt("epoch", ["train_loss", "val_log_loss", f"val_{metric}"], var_name="curve", value_name="value")
    st.plotly_chart(px.line(long.drop_duplicates(), x="epoch", y="value", color="curve", markers=True))
    st.caption(str(row["config"]))


if __name__ == "__main__":
    show(Path.cwd())
