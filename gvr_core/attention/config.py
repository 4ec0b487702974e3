"""Which self-attention a model uses; saved with the model, because weights are trained for one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

Kind = Literal["full", "sparse_local"]


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Form of the 3-D self-attention (S 4.4).

    Attributes:
        kind: "full", or "sparse_local": each window attends to itself and to the `top_k` best other windows.
        window: Height and width of a window in tokens. S gives "12 x 9"; read as 12 wide, 9 high ("ours").
        top_k: Other windows per window and head; 0 is the own window only. S uses 1.
        unit: Latent frames in a temporal unit, at least 2; 0 attends over the whole video. S uses 5.
        unit_shift: Frames in the first unit of odd layers, between 1 and `unit` - 1. Not used while `unit` is 0.
        window_shift: Odd layers lay the windows half a window further, so that no two layers in a row have their seams
            in the same place ("ours", after Swin). Not used by "full".
        dense_layers: Layers that keep full attention over the whole video ("ours").

    Raises:
        ValueError: A field is out of its range.
    """

    kind: Kind = "full"
    window: tuple[int, int] = (9, 12)
    top_k: int = 1
    unit: int = 0
    unit_shift: int = 2
    window_shift: bool = False
    dense_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"attention kind is {self.kind!r}, expected one of {', '.join(get_args(Kind))}")
        if not (isinstance(self.window, tuple) and len(self.window) == 2 and all(_is_int(n, 1) for n in self.window)):
            raise ValueError(
                f"attention window is {self.window!r}, expected (height, width) in tokens, each at least 1"
            )
        if not _is_int(self.top_k, 0):
            raise ValueError(f"attention top_k is {self.top_k!r}, expected a whole number of windows, 0 or more")
        if not _is_int(self.unit, 0) or self.unit == 1:
            raise ValueError(f"attention unit is {self.unit!r}, expected 2 or more latent frames, or 0 for no units")
        if self.unit and not (_is_int(self.unit_shift, 1) and self.unit_shift < self.unit):
            raise ValueError(
                f"attention unit_shift is {self.unit_shift!r}, expected 1 to {self.unit - 1} with units of {self.unit} "
                "frames: any other shift never lets the units exchange information"
            )
        if not isinstance(self.window_shift, bool):
            raise ValueError(f"attention window_shift is {self.window_shift!r}, expected true or false")
        if not (isinstance(self.dense_layers, tuple) and all(_is_int(n, 0) for n in self.dense_layers)):
            raise ValueError(f"attention dense_layers is {self.dense_layers!r}, expected layers counted from 0")

    @property
    def period(self) -> int:
        """After how many layers the cuts repeat, where no layer is dense."""
        return 2 if self.unit or (self.window_shift and self.kind != "full") else 1

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return {**asdict(self), "window": list(self.window), "dense_layers": list(self.dense_layers)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AttentionConfig:
        """The config that `to_dict` wrote; absent fields take their defaults.

        Raises:
            ValueError: A key is unknown or a value out of range.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(
                f"attention config has unknown keys {', '.join(unknown)}: "
                "remove them, or use the version of this project that wrote them"
            )
        # JSON has no tuples.
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _is_int(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
