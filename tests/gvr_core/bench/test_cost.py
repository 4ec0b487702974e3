"""The cost of a run before it starts, against formulas written out here."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gvr_core.attention import AttentionConfig
from gvr_core.bench.advice import advise, duration
from gvr_core.bench.cost import (
    BLOCK_TENSORS,
    Clip,
    Job,
    Machine,
    Stretch,
    form_cost,
    form_costs,
    guided_evaluations,
    smaller_targets,
    weight_bytes,
    with_guesses,
)
from gvr_core.bench.estimate import Calibration, model_seconds
from gvr_core.bench.forecast import count_evaluations
from gvr_core.bench.limit import Rates
from gvr_core.bench.sizes import model_config
from gvr_core.guidance import MultiGuidance

GIB = 2**30
RATES = Rates(matmul_flops=1e12, copy_bytes_per_s=1e12)
ALL = Calibration(
    machine="m", dtype="bfloat16", rates=RATES, achieved={"full": 0.8, "units": 0.8, "sparse": 0.4, "rest": 0.5}
)


def job(**fields):
    return Job(
        **{
            "config": model_config("1.3b"),
            "source": Clip(frames=77, height=540, width=960),
            "target": "1080",
            "scale": 2.0,
            "compute_dtype": "bfloat16",
            **fields,
        }
    )


def once(steps):
    return [[step] for step in range(steps)]


def machine(gpu=80, main=64, is_cpu=False):
    return Machine(device_bytes=int(gpu * GIB), main_bytes=int(main * GIB), is_cpu=is_cpu)


def test_1080p_of_77_frames_is_20_latent_frames_of_68_by_120_tokens():
    grid = job().grid
    assert (grid.frames, grid.height, grid.width) == (20, 68, 120)
    assert grid.length == 20 * 68 * 120 == 163_200
    assert vars(job().output) == {"frames": 77, "height": 1080, "width": 1920}


@pytest.mark.parametrize(
    ("source", "target", "scale", "size"),
    [
        ((81, 480, 832), "1080", 2.0, (81, 1080, 1872)),
        ((81, 832, 480), "720", 2.0, (81, 1248, 720)),
        ((9, 224, 384), "scale", 2.0, (9, 448, 768)),
        ((9, 225, 385), "scale", 1.5, (9, 338, 578)),
    ],
)
def test_output_sizes(source, target, scale, size):
    frames, height, width = source
    found = job(source=Clip(frames=frames, height=height, width=width), target=target, scale=scale)
    assert (found.output.frames, found.output.height, found.output.width) == size
    # Tokens are 16 x 16 pixels, 4 frames after the first.
    cells = math.ceil(size[1] / 16) * math.ceil(size[2] / 16)
    assert found.grid.length == (math.ceil((frames - 1) / 4) + 1) * cells


def test_references_are_whole_frames_of_tokens():
    assert job(references=3).grid.length == 23 * 68 * 120


def test_the_papers_run_is_15_times_3_and_35_times_2():
    stretches = guided_evaluations(MultiGuidance(), once(50), has_text=True, has_references=True)
    assert [(stretch.steps, stretch.evaluations) for stretch in stretches] == [(15, 3), (35, 2)]
    assert sum(stretch.steps * stretch.evaluations for stretch in stretches) == 115


@pytest.mark.parametrize("has_text", [True, False])
@pytest.mark.parametrize("has_references", [True, False])
@pytest.mark.parametrize(("s_txt", "s_ref", "n_ref"), [(3.0, 1.0, 15), (0.0, 1.0, 4), (3.0, 0.0, 15), (2.0, 1.0, 20)])
def test_evaluations_are_those_of_the_forecast(has_text, has_references, s_txt, s_ref, n_ref):
    guidance = MultiGuidance(s_txt=s_txt, s_ref=s_ref, n_ref=n_ref)
    conditions = {"has_text": has_text, "has_references": has_references}
    stretches = guided_evaluations(guidance, once(20), **conditions)
    seeing = sum(stretch.steps * stretch.with_references for stretch in stretches)
    total = sum(stretch.steps * stretch.evaluations for stretch in stretches)
    assert (seeing, total - seeing) == count_evaluations(guidance, 20, **conditions)
    assert sum(stretch.steps for stretch in stretches) == 20


def test_solvers_of_second_order_ask_twice_but_in_the_last_step():
    guidance = MultiGuidance(s_ref=0.0)
    stretches = guided_evaluations(guidance, [[0, 0], [1, 1], [2, 2], [3]], has_text=True, has_references=False)
    assert [(stretch.steps, stretch.evaluations) for stretch in stretches] == [(3, 4), (1, 2)]
    # One that asks where the next step begins is past the window of references there.
    stretches = guided_evaluations(
        MultiGuidance(n_ref=2), [[0, 1], [1, 2], [2, 3], [3]], has_text=True, has_references=True
    )
    assert [(stretch.steps, stretch.evaluations) for stretch in stretches] == [(1, 6), (1, 5), (1, 4), (1, 2)]


def test_empty_references_cost_as_many_tokens():
    arguments = {"has_text": True, "has_references": True}
    dropped = guided_evaluations(MultiGuidance(n_ref=1), once(1), **arguments)
    empty = guided_evaluations(MultiGuidance(n_ref=1), once(1), **arguments, empty_references=True)
    assert dropped == [Stretch(steps=1, evaluations=3, with_references=2)]
    assert empty == [Stretch(steps=1, evaluations=3, with_references=3)]


def test_time_is_evaluations_times_that_of_the_estimate():
    run = job(references=2, with_references=65, without_references=50)
    expected = 65 * model_seconds(run.config, run.grid, ALL)
    expected += 50 * model_seconds(run.config, replace(run.grid, references=0), ALL)
    costs = {cost.form: cost for cost in form_costs(run, ALL)}
    assert costs["sparse"].seconds == pytest.approx(expected)
    assert [form for form, cost in costs.items() if cost.is_used] == ["sparse"]
    assert costs["full"].seconds > costs["units"].seconds > costs["sparse"].seconds
    assert not any(cost.is_rough for cost in costs.values())


def test_without_a_calibration_only_work_is_told():
    costs = form_costs(job(), None)
    assert [cost.seconds for cost in costs] == [None, None, None]
    assert costs[0].flops > 2 * costs[2].flops > 0
    assert not any(cost.is_rough for cost in costs)


def test_a_form_that_has_not_run_is_rough():
    known = replace(ALL, achieved={"sparse": 0.36, "rest": 0.5})
    costs = {cost.form: cost for cost in form_costs(job(), known)}
    assert (costs["sparse"].is_rough, costs["full"].is_rough) == (False, True)
    filled, _ = with_guesses(known, {"full"})
    assert filled.achieved["full"] == pytest.approx(0.36 / 0.45)
    assert all(cost.is_rough for cost in form_costs(job(), ALL, is_exact=False))


def test_part_of_a_run_with_sparse_attention():
    config = replace(model_config("1.3b"), attention=AttentionConfig(kind="sparse_local"))
    whole, none = job(config=config), job(config=replace(config, attention=AttentionConfig()))
    half = job(config=config, own=AttentionConfig(), sparse_share=0.5)
    seconds = [form_cost(each, ALL).seconds for each in (whole, none, half)]
    assert seconds[2] == pytest.approx((seconds[0] + seconds[1]) / 2)


def test_memory_is_weights_tokens_and_latents():
    run = job(weight_bytes=3 * GIB)
    tokens = 163_200 * 1536 * 2
    latents = 8 * 20 * 136 * 240 * 16 * 4
    assert form_cost(run, None).peak_bytes == pytest.approx(3 * GIB + (1 + BLOCK_TENSORS) * tokens + latents, abs=2)
    measured = replace(ALL, extra_memory={"sparse": 5.0})
    assert form_cost(run, measured).peak_bytes == pytest.approx(3 * GIB + 6 * tokens + latents, abs=2)
    # 1.3 billion numbers of two bytes, unless the file says otherwise.
    assert 2 * 1.2e9 < weight_bytes(job()) < 2 * 1.6e9


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="smaller than the input"):
        _ = job(target="720", source=Clip(frames=5, height=1080, width=1920)).grid


def test_what_fits_is_not_talked_about():
    advice = advise(job(), machine(), None)
    assert (advice.fits, advice.warnings, advice.suggestions) == (True, (), ())


def test_what_does_not_fit_is_told_with_a_way_out():
    advice = advise(job(target="2160"), machine(gpu=8))
    assert not advice.fits
    assert advice.warnings[0].startswith("Will not fit: sampling needs about 2")
    assert any(text.startswith("A smaller target: 1080 fits") for text in advice.suggestions)


def test_suggestions_come_in_order():
    full = replace(model_config("1.3b"), attention=AttentionConfig())
    advice = advise(job(config=full, target="2160", tile_decode=False), machine(gpu=24), ALL)
    starts = ["Sparse Local Attention on", "temporal_units", "Decode in tiles", "A smaller target"]
    assert [text[: len(start)] for text, start in zip(advice.suggestions, starts, strict=True)] == starts
    assert "changes the picture" in advice.suggestions[0]


def test_long_runs_are_told_how_to_be_faster():
    full = replace(model_config("1.3b"), attention=AttentionConfig())
    slow = replace(ALL, rates=Rates(matmul_flops=1e14, copy_bytes_per_s=1e14))
    advice = advise(job(config=full, without_references=100), machine(), slow)
    assert advice.fits
    assert advice.suggestions[0].startswith("Sparse Local Attention on: about ")
    own = advise(job(without_references=100), machine(), slow)
    assert not any(text.startswith("Sparse Local Attention on") for text in own.suggestions)


def test_weights_that_have_to_wait_outside_are_a_note():
    run = job(weight_bytes=20 * GIB)
    advice = advise(run, machine(gpu=24))
    assert advice.fits
    assert "keep part of them in main memory" in advice.warnings[0]


def test_on_a_cpu_weights_and_video_share_the_memory():
    run = job(weight_bytes=20 * GIB)
    assert not advise(run, machine(gpu=24, is_cpu=True)).fits
    assert advise(job(), machine(main=0.5)).warnings[0].startswith("The decoded video will not fit: 1.8 GiB")


def test_decoding_whole_frames_counts_where_the_decoder_works_on_whole_frames():
    # ComfyUI's estimate for Wan: 7000 numbers of two bytes for each of 1088 x 1920 pixels, 27.2 GiB.
    advice = advise(job(tile_decode=False), machine(gpu=24))
    assert advice.warnings == ("Decoding whole frames will not fit: it needs about 27.2 GiB of 24.0 GiB.",)
    assert advice.suggestions[0].startswith("Decode in tiles")
    assert advise(job(tile_decode=True), machine(gpu=24)).fits
    nano = job(config=model_config("nano"), source=Clip(frames=9, height=540, width=960), tile_decode=False)
    assert advise(nano, machine(gpu=24)).fits


def test_proposed_targets_lie_between_input_and_output():
    assert smaller_targets(job(target="2160")) == [1440, 1080, 720]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.24, "0.2 s"), (12.3, "12 s"), (200, "3 min"), (3900, "1 h 05 min"), (3599, "1 h 00 min"), (90000, "25 h")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
