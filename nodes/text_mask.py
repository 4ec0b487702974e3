"""Masks of the text beside a video, read once and turned into what can be left out instead."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

CLOSED = -1e4
"""Added to a score, this or less closes a token: the smallest number of float16 is not far below."""


class OpenText(NamedTuple):
    """The text tokens that count. Not ranges of them: compiled code would be made anew for each length of a prompt.

    Attributes:
        samples: their numbers for each sample, or for all of them together; None stands for all tokens.
        length: all tokens of the text.
    """

    samples: list[Tensor | None]
    length: int

    @property
    def is_everything(self) -> bool:
        """Whether all tokens of all samples count."""
        return len(self.samples) == 1 and self.samples[0] is None


def all_text(length: int) -> OpenText:
    """What there is without a mask."""
    return OpenText([None], length)


def read_text_mask(mask: Tensor) -> OpenText | None:
    """The open tokens of each sample of a mask of the text alone, of all samples together where they agree.

    Waits for the device once.

    Args:
        mask: `b n`, 1 for open and 0 for closed, or a floating number that is added to the scores.

    Returns:
        None for a mask that does anything else than to close some of the text.
    """
    if mask.ndim != 2 or not mask.numel():
        return None
    opens = (mask == 0, mask <= CLOSED) if mask.is_floating_point() else (mask == 1, mask == 0)
    return _read(*opens, mask.new_ones((), dtype=torch.bool))


# Its values decide what is computed, which no compiled graph can do: the graph breaks here, and only where the mask is
# not that of the model's inputs, which is read before.
@torch.compiler.disable
def read_joint_mask(mask: Tensor, length: int, text: int, *, text_first: bool) -> OpenText | None:
    """As `read_text_mask` for the mask of a joint sequence, `b 1 n` or the like: one for all queries.

    Args:
        mask: bool, or added to the scores.
        length: tokens in the sequence.
        text: how many of them are text.
        text_first: whether they come first.
    """
    if mask.ndim < 2 or mask.shape[-1] != length or mask[0].numel() != length:
        return None
    rows = mask.reshape(len(mask), length)
    is_open, is_closed = (rows, ~rows) if rows.dtype == torch.bool else (rows == 0, rows <= CLOSED)
    start = 0 if text_first else length - text
    of_text = slice(start, start + text)
    sees_video = is_open[:, :start].all() & is_open[:, start + text :].all()
    return _read(is_open[:, of_text], is_closed[:, of_text], sees_video)


def _read(is_open: Tensor, is_closed: Tensor, serves: Tensor) -> OpenText | None:
    """From which tokens are open and which are closed, `b n`, and whether the rest of the mask is in order."""
    serves = serves & (is_open | is_closed).all()
    answers = torch.cat([serves.reshape(1), is_open.flatten()]).cpu()
    if not answers[0]:
        return None
    samples = answers[1:].reshape(is_open.shape)
    if (samples == samples[0]).all():
        samples = samples[:1]
    numbers = [None if sample.all() else sample.nonzero().flatten().to(is_open.device) for sample in samples]
    return OpenText(numbers, is_open.shape[1])
