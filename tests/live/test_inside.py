"""The pack inside ComfyUI's own process, for states of a machine that a server on a CPU does not get into."""

import pytest

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def little_memory(run_inside):
    return run_inside("little_memory")


@pytest.mark.parametrize("state", ["novram", "partial", "enough"])
@pytest.mark.parametrize("module", ["upsampler", "vae"])
def test_small_modules_are_loaded_whole(little_memory, module, state):
    found = little_memory["loaded"][f"{module} {state}"]

    assert found["devices"] == ["meta"]
    assert found["whole"] == found["size"]
    assert (found["unloads"], found["left"]) == (True, 0)


def test_a_decoding_asks_for_what_a_piece_takes(little_memory):
    asked = little_memory["decoding"]

    assert asked["1080 rows, 20 frames"] == asked["1080 rows, 80 frames"] < 0.6 * 2**30
    assert asked["2160 rows, 20 frames"] == asked["2160 rows, 80 frames"] < 2.2 * 2**30


@pytest.fixture(scope="module")
def guidance(run_inside, tiny_models):
    return run_inside("guidance", str(tiny_models.wan_cascade()))


def test_guider_is_the_formula_written_out(guidance):
    wrong = {name: found for name, found in guidance["formula"].items() if found["result"] > 1e-5}

    assert guidance["apart"] > 1e-2
    assert wrong == {}


def test_hooks_are_given_the_predictions_they_expect(guidance):
    """With text, without text; and the main one, never zeros, for what was not evaluated."""
    assert {name: found for name, found in guidance["formula"].items() if found["hooks"] > 1e-5} == {}


def test_samplers_that_ask_for_no_text_work_on_a_class_free_cascade(guidance):
    found = guidance["cfg_pp"]

    assert {"euler", "euler_cfg_pp", "dpmpp_2m_cfg_pp"} <= set(found)
    assert all(std > 0.01 for _, std in found.values())
    assert {name: difference for name, (difference, _) in found.items() if difference > 1e-5} == {}


def test_a_split_run_counts_the_steps_of_the_whole_schedule(guidance):
    assert guidance["split"]["whole"] == [[2, 2], [1, 1]]
    # Without the schedule the second sampler cannot know of the first.
    assert guidance["split"]["alone"] == [[2, 2], [2, 2]]


def test_compiled_models_are_few_graphs_and_stay_them(run_inside):
    found = run_inside("compiled")

    assert {name: case["graphs"] for name, case in found.items()} == {
        "whole": [1, 1, 1],
        "whole, own windows": [1, 1, 1],
        "blocks": [1, 1, 1],
        "whole, a block replaced": [1, 1, 1],
        "blocks, one replaced": [1, 1, 1],
    }
    assert all(case["std"] > 0.01 and case["difference"] < 1e-4 for case in found.values())


@pytest.fixture(scope="module")
def model_patches(run_inside, tiny_models):
    return run_inside("model_patches", str(tiny_models.wan_cascade()))


def test_replaced_blocks_are_honoured(model_patches):
    found = model_patches["blocks"]

    assert min(found["skip moves"], found["twice moves"]) > 1e-2
    assert max(found[name] for name in ("plain", "skip", "twice", "afterwards")) < 1e-5


def test_patches_without_a_place_are_told_once(model_patches):
    found = model_patches["told"]

    assert found["quiet"] == 0
    (message,) = found["messages"]
    assert "(attn1, attn1_output_patch, block 7, rope_options)" in message


def test_context_windows_see_their_part_of_the_condition(model_patches):
    assert model_patches["windows"] < 1e-4


def test_shift_behind_noise_levels_without_a_multiplier(model_patches):
    ours, flux = model_patches["noise_levels"]["timesteps"]

    assert ours == flux == 500.0


def test_more_steps_than_noise_levels(model_patches):
    found = model_patches["noise_levels"]

    assert (found["steps"], found["descends"], found["ends"]) == (1500, True, [1.0, 0.0])
