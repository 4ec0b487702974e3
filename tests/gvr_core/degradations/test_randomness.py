"""Random numbers depend on their key alone."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from gvr_core.degradations.randomness import clip_number, clip_seed, keyed_generator

KEYS = list(product((0, 1, 2**32, 2**63), ("", "a", "b"), (0, 1), (0, 1, 2**33)))


def test_every_key_has_numbers_of_its_own():
    assert len({keyed_generator(*key).integers(2**62) for key in KEYS}) == len(KEYS)
    assert len({clip_seed(*key[:3]) for key in KEYS}) == len(KEYS) // 3


def test_the_same_key_gives_the_same_numbers():
    for key in KEYS:
        assert (keyed_generator(*key).random(4) == keyed_generator(*key).random(4)).all()


def test_words_of_32_bits_are_not_mixed_up():
    # A sequence of Python numbers would be the same for both.
    assert keyed_generator(1 + (5 << 32), "", 0).random() != keyed_generator(1, "", 5).random()


def test_another_process_draws_the_same():
    root = Path(__file__).resolve().parents[3]
    code = (
        "from gvr_core.degradations.randomness import *;"
        "print(keyed_generator(7, 'clip', 1, 3).integers(2**62), clip_seed(7, 'clip', 1), clip_number('clip'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "5"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True, check=True
    )
    expected = (keyed_generator(7, "clip", 1, 3).integers(2**62), clip_seed(7, "clip", 1), clip_number("clip"))
    assert tuple(map(int, done.stdout.split())) == expected


def test_keys_out_of_range_are_told():
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seed is"):
            keyed_generator(seed, "", 0)
        with pytest.raises(ValueError, match="seed is"):
            clip_seed(seed, "", 0)
    with pytest.raises(ValueError, match="frame is -1"):
        keyed_generator(0, "", 0, -1)
