"""What is run: one operation at one size, and the smaller sizes to fall back on where the whole does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ..attention import TokenGrid
from ..models.blocks import FFN_TOKENS
from ..models.dit_config import DiTConfig
from .counts import Cost, attention_cost, block_cost, count_block_parameters, count_parameters, model_cost, rest_cost
from .estimate import REST, form_of

Operation = Literal["attention", "rest", "block", "model"]
COSTS = {"attention": attention_cost, "rest": rest_cost, "block": block_cost, "model": model_cost}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One operation to run.

    Attributes:
        operation: "attention" is the operation alone, "rest" a block without it, "block" block 0, "model" all of it.
        config: of the model in the form to run; a case with fewer heads has their channels alone.
        grid: tokens.
    """

    operation: Operation
    config: DiTConfig
    grid: TokenGrid

    @property
    def form(self) -> str:
        """Name of the row it belongs to."""
        return REST if self.operation == "rest" else form_of(self.config.attention)

    def cost(self, itemsize: int) -> Cost:
        """Counted work; `itemsize` is bytes per number."""
        return COSTS[self.operation](self.config, self.grid, itemsize)

    def needed_bytes(self, itemsize: int) -> int:
        """Roughly what inputs, weights and intermediate values need, rather too much than too little."""
        numbers = self.grid.length * self.config.dim
        if self.operation == "attention":
            return 15 * numbers * itemsize
        weights = count_parameters(self.config) if self.operation == "model" else count_block_parameters(self.config)
        hidden = 2 * min(self.grid.length, FFN_TOKENS) * self.config.ffn_dim
        # Norms, modulation and RoPE run in float32.
        return (weights + hidden) * itemsize + 14 * numbers * max(itemsize, 4)

    @property
    def size(self) -> str:
        """For people: `frames x rows x columns, heads`, with `+r` reference frames."""
        grid = self.grid
        references = f"+{grid.references}" if grid.references else ""
        return f"{grid.frames}{references}x{grid.height}x{grid.width}, {self.config.num_heads} heads"


def smaller_grids(grid: TokenGrid, window: tuple[int, int]) -> Iterator[TokenGrid]:
    """`grid` with ever fewer frames, then with fewer rows too, down to one window; not `grid` itself."""
    while grid.frames > 1:
        grid = replace(grid, frames=grid.frames // 2, references=min(grid.references, grid.frames // 2))
        yield grid
    while grid.height > 2 * window[0]:
        grid = replace(grid, height=grid.height // 2)
        yield grid


def ladder(case: Case) -> list[Case]:
    """The case and smaller ones of the same operation, descending.

    The attention alone loses heads first, because its time is exactly linear in them; everything else keeps them.
    """
    cases = [case]
    if case.operation == "attention":
        heads, dim = case.config.num_heads, case.config.head_dim
        while heads > 1:
            heads //= 2
            cases.append(replace(case, config=replace(case.config, num_heads=heads, dim=heads * dim)))
    last = cases[-1]
    cases += [replace(last, grid=grid) for grid in smaller_grids(case.grid, case.config.attention.window)]
    return cases


def largest(cases: Iterable[Case], fits: Callable[[Case], bool]) -> Case:
    """The first of `cases`, which descend, that `fits`; the last one if none does."""
    chosen = None
    for chosen in cases:
        if fits(chosen):
            break
    if chosen is None:
        raise ValueError("there are no cases to choose from, expected at least one: give a size")
    return chosen
