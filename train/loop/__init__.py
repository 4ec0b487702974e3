"""The trainer's engine: accelerate around a task, with exact resume, an average of the weights and guards."""

from .run import Run
from .training import fit

__all__ = ["Run", "fit"]
