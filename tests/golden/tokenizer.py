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

HERE, ROOT = reference.HERE, reference.ROOT

TEXTS = {
    "empty": "",
    "spaces": " a  b   c    d \t e\t\tf \n g\n\nh\n\n\n  i  \r\n\r\n j \u00a0k\u2003l\u3000m ",
    "only_white": "   \n\n\t  ",
    "contractions": "I'm you're he's it'd we'll they've CAN'T DON'T I'LL 'tis o'clock l'\u00e9t\u00e9 \u2019s it\u2019s",
    "numbers": "1 12 123 1234 12345 3.14159 1,000,000 0x1F 1e-5 2026-11-24 \u0663\u0664 \u2167 \u00bd x\u00b2",
    "punctuation": "...!!! ??? -- --- ___ ### @@ $100 50% a/b\\c (d)[e]{f}<g> \u00ab h \u00bb \u201ci\u201d\u2026",
    "python": "def f(x: int) -> str:\n    \"\"\"Doc.\"\"\"\n\n    return f\"{x!r:>10}\"  # done\n\n\nclass A(B):\n\tpass\n",
    "rust": "fn main() {\n    let v: Vec<&'static str> = vec![\"a\", \"b\"];\n    println!(\"{v:?}\");\n}\n",
    "json": '{"key": [1, 2.5, null, true], "nested": {"a\\u00e9": "\\n"}}',
    "html": "<div class='x'>&amp;<!-- c --></div>\n<script>if (a<b && c>d) {}</script>",
    "european": "Fran\u00e7ais na\u00efve \u0153uvre, Stra\u00dfe \u00dcber, \u00a1ma\u00f1ana!, \u0142\u00f3d\u017a, \u010de\u0161tina, \u0130stanbul \u0131",
    "scripts": "\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u05e2\u05d1\u05e8\u05d9\u05ea \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22 \u4e2d\u6587\u5b57 \u65e5\u672c\u8a9e\u30ab\u30bf\u30ab\u30ca \ud55c\uad6d\uc5b4 \u10e5\u10d0\u10e0\u10d7\u10e3\u10da\u10d8 \u1200\u121b\u122d\u129b",
    "emoji": "\U0001f426 \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea \u2764\ufe0f \U0001f44d\U0001f3fd a\U0001f600b",
    "combining": "e\u0301 \u00e9 n\u0303 \u00f1 a\u030a\u0323 \u1ea1\u030a \u0915\u094d\u0937",
    "odd": "\u200b\u200c\ufeff\u202e \u0000 \u0007 \ufffd \u2028\u2029 \U000e0041",
    "runs": "a" * 300 + " " * 200 + "\n" * 50 + "=" * 120 + "ha" * 100,
    "long_word": "Donaudampfschifffahrtselektrizit\u00e4tenhauptbetriebswerkbauunterbeamtengesellschaft",
    "control": "<|im_start|>user\nhi<|im_end|> <|eot_id|><|begin_of_text|> <|end_of_text <||>",
}

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
