"""Degradations that make training pairs: clips as a text-to-video model would have drawn them.

All work on uint8 RGB frames, one after the other, and are functions of their inputs and a seed alone.
"""
