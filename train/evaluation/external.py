"""Metrics of programs that cannot live in our environment (DOVER, VBench, any other): run on a folder of videos."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import SUFFIXES
from .metric import Column, Figure, Figures, Missing
from .table import Table

log = logging.getLogger("gvr")

VIDEOS, OUTPUT = "{videos}", "{output}"


@dataclass(frozen=True, kw_only=True)
class External:
    """A program that judges all videos of a folder at once.

    Attributes:
        name: before the dot in the names of its columns.
        title: the same for people.
        figures: what is taken of its answer -> what that is; the columns are `name.figure`.
        variable: environment variable that may hold the command.
        command: split like a shell's; {videos} is the folder, {output} an empty folder for its answer. "" = not there.

    Raises:
        ValueError: a command with an open quotation.
    """

    name: str
    title: str
    figures: dict[str, str]
    variable: str
    command: str = ""

    def __post_init__(self) -> None:
        try:
            shlex.split(self.command)
        except ValueError as error:
            raise ValueError(f"the command of {self.title} is {self.command!r}: {error}, correct it") from error

    def columns(self) -> list[Column]:
        """Its columns; in all of them more is better."""
        return [
            Column(
                name=f"{self.name}.{figure}",
                title=f"{self.title} {figure.replace('_', ' ')}",
                better="higher",
                digits=3,
                about=about,
            )
            for figure, about in self.figures.items()
        ]

    def run(self, videos: Path, names: Sequence[str]) -> dict[str, Figures]:
        """Video name without suffix -> its columns, for every name asked for; `Missing` where the answer has none.

        The answer is read from the output folder or, if nothing is there, from the standard output: VBench's
        `*_eval_results.json`, DOVER's CSV, or JSON `{"video name": {"figure": number}}`.
        """
        answer = self._answer(videos)
        if isinstance(answer, Missing):
            return {name: {column.name: answer for column in self.columns()} for name in names}
        return {
            name: {f"{self.name}.{figure}": self._figure(answer, name, figure) for figure in self.figures}
            for name in names
        }

    def _figure(self, answer: dict[str, dict[str, float]], name: str, figure: str) -> Figure:
        found = answer.get(name, {}).get(figure)
        if found is None or not math.isfinite(found):
            return Missing(f"{self.name} gave no {figure} for {name}")
        return float(found)

    def _answer(self, videos: Path) -> dict[str, dict[str, float]] | Missing:
        if not self.command:
            return Missing(
                f"not installed: install {self.title} on its own and give its command in {self.variable} or --external "
                "(train/evaluation/README.md has one)"
            )
        with tempfile.TemporaryDirectory() as output:
            places = {VIDEOS: str(videos.resolve()), OUTPUT: output}
            arguments = [_filled(word, places) for word in shlex.split(self.command)]
            log.info("%s: %s", self.name, shlex.join(arguments))
            try:
                result = subprocess.run(arguments, capture_output=True, text=True, errors="replace", check=False)
            except OSError as error:
                return Missing(
                    f"{arguments[0]} cannot be started ({error.strerror}): correct the command of {self.name}"
                )
            if result.returncode:
                said = (result.stderr.strip() or result.stdout.strip() or "nothing").splitlines()[-1]
                return Missing(f"{self.name} ended with code {result.returncode} and said: {said}")
            files = sorted(p for p in Path(output).rglob("*") if p.suffix in (".json", ".csv"))
            # VBench leaves a list of its videos beside its results.
            files = [p for p in files if p.name.endswith("_eval_results.json")] or files
            try:
                texts = [p.read_text(encoding="utf-8") for p in files] or [result.stdout]
                return parse_answer(texts)
            except (ValueError, OSError) as error:
                return Missing(f"the answer of {self.name} cannot be read: {error}")


def add_external(table: Table, externals: Sequence[External], folders: Mapping[str, Path]) -> None:
    """Add the columns of external programs to a table.

    Args:
        table: is changed.
        externals: are run on each folder.
        folders: row -> its videos; rows without get `Missing`.
    """
    for external in externals:
        table.columns.extend(external.columns())
        for row, clips in table.rows.items():
            if row in folders or not external.command:
                figures = external.run(folders.get(row, Path()), list(clips))
            else:
                reason = Missing("this row has no folder of videos to judge")
                figures = {clip: {column.name: reason for column in external.columns()} for clip in clips}
            for clip, found in figures.items():
                clips[clip].update(found)


def parse_answer(texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Answers of a program -> video name without suffix -> figure -> number.

    Raises:
        ValueError: none of the known formats, or nothing at all.
    """
    answer: dict[str, dict[str, float]] = {}
    for text in texts:
        for video, figures in _parse(text).items():
            path = Path(video)
            name = path.stem if path.suffix.lower() in SUFFIXES else path.name
            answer.setdefault(name, {}).update(figures)
    if not answer:
        raise ValueError("it is empty, expected JSON or CSV with a line for each video")
    return answer


def _parse(text: str) -> dict[str, dict[str, float]]:
    if not text.lstrip().startswith("{"):
        return _parse_csv(text)
    document = json.loads(text)
    if all(isinstance(value, list) and len(value) == 2 for value in document.values()):
        return _parse_vbench(document)
    if not all(isinstance(figures, dict) for figures in document.values()):
        raise ValueError('expected {"video name": {"figure": number}}')
    return {
        video: {name: value for name, value in figures.items() if isinstance(value, (int, float))}
        for video, figures in document.items()
    }


def _parse_vbench(document: dict[str, Any]) -> dict[str, dict[str, float]]:
    """`{dimension: [mean, [{"video_path": ..., "video_results": ...}]]}`; the keys are paths."""
    answer: dict[str, dict[str, float]] = {}
    for dimension, (_, videos) in document.items():
        for video in videos:
            if not isinstance(video, dict) or not {"video_path", "video_results"} <= video.keys():
                raise ValueError(f"{dimension} has no results of single videos")
            result = video["video_results"]
            if isinstance(result, (int, float)):
                answer.setdefault(video["video_path"], {})[dimension] = float(result)
    return answer


def _parse_csv(text: str) -> dict[str, dict[str, float]]:
    """DOVER's: the heading "path, aesthetic score, technical score, overall/final score", then a line per video."""
    rows = list(csv.reader(io.StringIO(text), skipinitialspace=True))
    if not rows or rows[0][0].strip() != "path":
        raise ValueError("expected JSON, or CSV with a heading that begins with path")
    names = [title.split()[0].split("/")[0] for title in rows[0][1:]]
    return {row[0]: dict(zip(names, map(float, row[1:]), strict=False)) for row in rows[1:] if row}


def _filled(word: str, places: dict[str, str]) -> str:
    for mark, place in places.items():
        word = word.replace(mark, place)
    return word
