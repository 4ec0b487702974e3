"""Counts the attention calls of a model by their numbers of queries and keys, and adds up what each query sees."""

from .gauges import COUNTS

KEY = "optimized_attention_override"


class CountAttention:
    """The model with an attention override like another pack's: it calls the one before, or the backend."""

    CATEGORY, FUNCTION, RETURN_TYPES = "gvr_test", "run", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL", {}), "key": ("STRING", {})}}

    def run(self, model, key):
        model = model.clone()
        options = model.model_options["transformer_options"]
        before = options.get(KEY)

        def counted(func, q, k, v, heads, *args, **kwargs):
            axis = 2 if kwargs.get("skip_reshape") else 1
            count = COUNTS.setdefault(key, {})
            name = f"{q.shape[axis]}x{k.shape[axis]}"
            count[name] = count.get(name, 0) + len(q)
            if before is not None:
                return before(func, q, k, v, heads, *args, **kwargs)
            return func(q, k, v, heads, *args, **kwargs)

        options[KEY] = counted
        return (model,)


ATTENTION_GAUGES = {"GVRTestCountAttention": CountAttention}
