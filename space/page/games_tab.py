"""The tabs *More transits?* and *Guess*: layout and events. Answers come with those of the other views."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr

from engine.guess import MOST_SERIES, ROUNDS
from hf_dataset.simulation.opacities import SPECIES
from page.answers import errors_shown
from page.games import NOTHING, Games, Votes
from page.links import LIMITS, VIEWS, Settings, from_query
from page.verdicts import FORMULAS, NAMES

MORE_TRANSITS, GUESS = VIEWS[4:6]
MOLECULES = [(f"{FORMULAS[name]} {NAMES[name]}", name) for name in SPECIES]


def layout(page: SimpleNamespace) -> None:
    """Both tabs' components."""
    with gr.Tab("More transits?", id=MORE_TRANSITS), gr.Row(elem_classes="beside"):
        with gr.Column(scale=3, min_width=300):
            page.molecule = gr.Radio(
                MOLECULES, value=Settings.molecule, label="Would they find its …", elem_id="molecule"
            )
            page.more = gr.Slider(*LIMITS["more"], value=Settings.more, step=1, label="More transits", elem_id="more")
            page.more_words = gr.Markdown(elem_classes="words", elem_id="more-words")
        with gr.Column(scale=6, min_width=300):
            page.more_plot = gr.Plot(show_label=False, elem_id="more-plot", elem_classes="plot")
    with gr.Tab("Guess", id=GUESS, elem_id="guess-tab"), gr.Row(elem_classes="beside"):
        with gr.Column(scale=6, min_width=300):
            page.guess_plot = gr.Plot(show_label=False, elem_id="guess-plot", elem_classes="plot")
        with gr.Column(scale=3, min_width=300):
            page.guess_words = gr.Markdown(elem_classes="words", elem_id="guess-words")
            page.picks = gr.CheckboxGroup(
                [*MOLECULES, ("none of them", NOTHING)], label="What stands out?", elem_id="picks"
            )
            page.guess = gr.Button("That is my guess", variant="primary", size="sm", elem_id="guess")
            page.score = gr.Markdown(elem_id="score")
            with gr.Row():
                # without limits of its own: Gradio lays an error over a field that is beyond them
                page.series = gr.Number(Settings.series, label="Series", precision=0, min_width=90, elem_id="series")
                page.number = gr.Dropdown(
                    list(range(1, ROUNDS + 1)), value=Settings.round, label=f"Round of {ROUNDS}", min_width=90,
                    filterable=False, elem_id="round",
                )  # fmt: skip
            with gr.Row():
                page.next = gr.Button("Next round", size="sm", min_width=110, elem_id="next-round")
                page.new_series = gr.Button("New series", size="sm", min_width=110, elem_id="new-series")


def wire(page: SimpleNamespace, games: Games, refresh: Callable[[], int]) -> None:
    """Events of a guess: each ends in a new number that makes the page compute the visible view.

    A guess is of the round that is shown, which ``page.query`` names, whatever was typed meanwhile.
    """
    private: dict[str, Any] = {"api_visibility": "private"}
    moved = [page.series, page.number, page.picks, page.refresh]

    def shown(query: str) -> tuple[int, int]:
        found = from_query(dict(parse_qsl(query)))
        return found.series, found.round

    def vote(picks: list[str], query: str, votes: Votes | None) -> tuple[Any, ...]:
        return games.vote(picks, *shown(query), votes), refresh()

    def moved_to(series: float, number: float) -> tuple[Any, ...]:
        low, high = LIMITS["series"]
        return int(min(max(series or low, low), high)), number, [], refresh()

    def typed(series: float, number: float, query: str) -> tuple[Any, ...]:
        found = moved_to(series, number)
        return (gr.skip(),) * 4 if (series, number) == shown(query) else found

    def next_round(series: float, number: float) -> tuple[Any, ...]:
        last = number >= ROUNDS
        return moved_to((series or 1) % MOST_SERIES + 1 if last else series, 1 if last else number + 1)

    page.guess.click(
        errors_shown(vote), [page.picks, page.query, page.votes], [page.votes, page.refresh],
        concurrency_limit=2, **private,
    )  # fmt: skip
    gr.on(
        [page.series.submit, page.series.blur, page.number.input], errors_shown(typed),
        [page.series, page.number, page.query], moved, trigger_mode="always_last",
        show_progress="hidden", **private,
    )  # fmt: skip
    page.next.click(errors_shown(next_round), [page.series, page.number], moved, **private)
    page.new_series.click(lambda: moved_to(random.randint(2, MOST_SERIES), 1), None, moved, **private)  # noqa: S311
