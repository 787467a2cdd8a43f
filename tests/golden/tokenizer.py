#!/usr/bin/env python3
"""Token ids and rendered chats as `transformers` makes them, for Llama 3 and SmolLM2: `tokenizer.json` in this folder.

Needs the packages transformers, jinja2, numpy and gguf, and what `tests/fetch.sh --tests` puts into models/.
"""

import hashlib
import json
import os
import struct

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

from gguf import GGUFReader
from transformers import PreTrainedTokenizerFast

import reference
from texts_of_tokenizers import TEXTS

HERE, ROOT = reference.HERE, reference.ROOT

CHATS = {
    "question": [{"role": "user", "content": "What is the capital of France?"}],
    "system": [
        {"role": "system", "content": "You are a pirate.\nAnswer as one. "},
        {"role": "user", "content": "  How do I boil an egg?  "},
    ],
    "turns": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Name a planet."},
        {"role": "assistant", "content": "Mars"},
        {"role": "user", "content": "Tell me more: \U0001f534 d'accord?\n\n1. size\n2. moons"},
        {"role": "assistant", "content": "It is small.\nIt has two."},
        {"role": "user", "content": "Thanks"},
    ],
}


def llama3() -> PreTrainedTokenizerFast:
    folder = ROOT / "models" / "llama3"
    config = json.loads((folder / "tokenizer_config.json").read_text())
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        bos_token=config["bos_token"],
        eos_token=config["eos_token"],
        chat_template=config["chat_template"],
        clean_up_tokenization_spaces=False,
    )


class Metadata:
    """As much of a model as `reference.tokenizer` looks at."""

    def __init__(self) -> None:
        reader = GGUFReader(reference.DEFAULT_MODEL)
        self.metadata = {name: field.contents() for name, field in reader.fields.items()}


def smollm2() -> PreTrainedTokenizerFast:
    model = Metadata()
    tokens = model.metadata["tokenizer.ggml.tokens"]
    return PreTrainedTokenizerFast(
        tokenizer_object=reference.tokenizer(model),
        bos_token=tokens[model.metadata["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[model.metadata["tokenizer.ggml.eos_token_id"]],
        chat_template=model.metadata["tokenizer.chat_template"],
        clean_up_tokenization_spaces=False,
    )


def golden(tokenizer: PreTrainedTokenizerFast, prose: str) -> dict:
    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    ids = encode(prose)
    chats = {}
    for name, messages in CHATS.items():
        for generate in (False, True):
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate)
            chats[f"{name}{' +' if generate else ''}"] = {"text": text, "ids": encode(text)}
    return {
        "texts": {name: encode(text) for name, text in TEXTS.items()},
        "prose": {"count": len(ids), "sha256": hashlib.sha256(struct.pack(f"<{len(ids)}I", *ids)).hexdigest()},
        "chats": chats,
    }


def main() -> None:
    prose = (ROOT / "models" / "kjv.txt").read_text()[: 1 << 20]
    everything = {
        "prose_sha256": hashlib.sha256(prose.encode()).hexdigest(),
        "texts": TEXTS,
        "chats": CHATS,
        "llama3": golden(llama3(), prose),
        "smollm2": golden(smollm2(), prose),
    }
    reference.write_json("tokenizer.json", everything)


if __name__ == "__main__":
    main()
