#!/usr/bin/env python3
"""Small tokenizers of every kind that Godwit reads, and the ids that Hugging Face's `tokenizers` gives: `tokenizer_kinds.json`.

Needs the package tokenizers, and what `tests/fetch.sh --tests` puts into models/. Each tokenizer is one of a few vocabularies with other parts around it: what a file may say,
one thing at a time.
"""

import json
import pathlib

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import texts_of_tokenizers

HERE = pathlib.Path(__file__).parent
LOW_LINE = "\u2581"

TEXTS = texts_of_tokenizers.TEXTS | {
    "added": "a<mid>b <mid> c  <mid>\n\td<mid><mid> e<end>f x<word>y <word> z_<word>, (<word>)",
    "marks": "<|begin|>Hello<|stop|> there <s> you</s><|begin|> and   <s>  there",
    "case": "SHOUT Shout shout \u00c9T\u00c9 \u0130stanbul <MID> <Mid> <mid>",
    "low_lines": f"{LOW_LINE}a {LOW_LINE}{LOW_LINE} b{LOW_LINE}c  {LOW_LINE}",
    "double": "  two  spaces   three    four",
    "word": "the",
    "space": " ",
}

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def merges_of_scores(tokens: list[str]) -> list[list[str]]:
    """Every way to make a token of two others, as converters of SentencePiece models list them."""
    rank = {token: at for at, token in enumerate(tokens)}
    merges = []
    for token in tokens:
        pairs = [(token[:at], token[at:]) for at in range(1, len(token))]
        pairs = [pair for pair in pairs if all(part in rank for part in pair)]
        merges += sorted(pairs, key=lambda pair: len(pair[0]), reverse=True)
    return [list(pair) for pair in merges]


def bytes_vocabulary() -> dict:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(
        texts_of_tokenizers.TEXTS.values(), trainers.BpeTrainer(vocab_size=520, initial_alphabet=alphabet, show_progress=False)
    )
    model = json.loads(tokenizer.to_str())["model"]
    # Reached where merges are ignored, and not by merges.
    model["vocab"] |= {token: len(model["vocab"]) + at for at, token in enumerate(["\u0120planet", "Don"])}
    return {"vocab": model["vocab"], "merges": model["merges"]}


def pieces_vocabulary() -> dict:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(
        texts_of_tokenizers.TEXTS.values(), trainers.BpeTrainer(vocab_size=420, limit_alphabet=90, show_progress=False)
    )
    trained = json.loads(tokenizer.to_str())["model"]
    by_id = sorted(trained["vocab"], key=trained["vocab"].get)
    letters = [token for token in by_id if len(token) == 1]
    made = [token for token in by_id if len(token) > 1]
    # More spaces in one token, as Llama has them.
    made += [LOW_LINE * n for n in (2, 4, 8)]
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + made + letters
    return {
        "vocab": {token: at for at, token in enumerate(tokens)},
        "merges": merges_of_scores(made + letters),
        "trained": trained["merges"],
    }


def without(vocab: dict, leaves: object) -> dict:
    """The tokens that stay, numbered anew."""
    return {token: at for at, token in enumerate(token for token in vocab if not leaves(token))}


BYTES, PIECES = bytes_vocabulary(), pieces_vocabulary()
VOCABULARIES = {
    "bytes": BYTES,
    # Without letters for some bytes.
    "few_bytes": {
        "vocab": without({"<unk>": 0} | BYTES["vocab"], lambda token: set(token) & set("\u00d0\u00e4\u00e6")),
        "merges": [pair for pair in BYTES["merges"] if not set("".join(pair)) & set("\u00d0\u00e4\u00e6")],
    },
    "pieces": {"vocab": PIECES["vocab"], "merges": PIECES["merges"]},
    "trained_pieces": {"vocab": PIECES["vocab"], "merges": PIECES["trained"]},
    # Without tokens for most bytes.
    "few_pieces": {
        "vocab": without(PIECES["vocab"], lambda token: token.startswith("<0x") and token < "<0xC0>"),
        "merges": PIECES["merges"],
    },
}


def added(content: str, special: bool = False, **flags: bool) -> dict:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"content": content, "special": special} | plain | flags


def numbered(parts: dict) -> dict:
    """The same with ids for the added tokens: the vocabulary's own, or the next ones."""
    vocab = VOCABULARIES[parts["vocabulary"]]["vocab"]
    following = iter(range(len(vocab), len(vocab) + 100))
    tokens = [{"id": vocab.get(token["content"], None)} | token for token in parts["added_tokens"]]
    tokens = [token | {"id": next(following) if token["id"] is None else token["id"]} for token in tokens]
    return parts | {"added_tokens": tokens}


def byte_level(**options: bool) -> dict:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True} | options


def split(pattern: dict, behavior: str = "Isolated", invert: bool = False) -> dict:
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(kind: str, *steps: dict) -> dict:
    return {"type": "Sequence", kind: list(steps)}


def cuts(*steps: dict) -> dict:
    return {"pre_tokenizer": sequence("pretokenizers", *steps, byte_level(use_regex=False))}


BYTES_MARKS = [added("<|begin|>", True), added("<|stop|>", True)]
BYTES_BASE = {
    "vocabulary": "bytes",
    "pre_tokenizer": byte_level(),
    "decoder": byte_level(),
    "added_tokens": BYTES_MARKS,
    "model": {},
}
PIECES_MARKS = [added("<unk>", True), added("<s>", True), added("</s>", True)]
LOW_LINES = {"type": "Replace", "pattern": {"String": " "}, "content": LOW_LINE}
SPACES = {"type": "Replace", "pattern": {"String": LOW_LINE}, "content": " "}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
PIECES_DECODER = sequence("decoders", SPACES, {"type": "ByteFallback"}, {"type": "Fuse"}, STRIP)
LLAMA2 = sequence("normalizers", {"type": "Prepend", "prepend": LOW_LINE}, LOW_LINES)
PIECES_BASE = {
    "vocabulary": "pieces",
    "normalizer": LLAMA2,
    "decoder": PIECES_DECODER,
    "added_tokens": PIECES_MARKS,
    "model": {"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"},
}


def metaspace(scheme: str, splits: bool) -> dict:
    cut = {"type": "Metaspace", "replacement": LOW_LINE, "prepend_scheme": scheme, "split": splits}
    decoder = PIECES_DECODER if scheme != "never" else sequence("decoders", *PIECES_DECODER["decoders"][:3])
    return {"normalizer": None, "pre_tokenizer": cut, "decoder": decoder}


def normalizer(*steps: dict) -> dict:
    return {"normalizer": sequence("normalizers", *steps) if len(steps) > 1 else steps[0]}


BYTE_LEVEL = {
    "gpt2": {},
    "smollm": {"pre_tokenizer": sequence("pretokenizers", {"type": "Digits", "individual_digits": True}, byte_level())},
    "llama3": cuts(split({"Regex": LLAMA3})) | {"model": {"ignore_merges": True}},
    "llama3_with_merges": cuts(split({"Regex": LLAMA3})),
    "qwen2": normalizer({"type": "NFC"}) | cuts(split({"Regex": QWEN2})),
    "inverted": cuts(split({"Regex": LLAMA3}, "Removed", True)) | {"model": {"ignore_merges": True}},
    "words_alone": cuts(split({"Regex": r"\p{L}+"}, "Removed", True)),
    "words_removed": cuts(split({"Regex": r"\p{L}+"}, "Removed")),
    "with_previous": cuts(split({"String": " "}, "MergedWithPrevious")),
    "with_next": cuts(split({"String": " "}, "MergedWithNext")),
    "contiguous": cuts(split({"Regex": r"[\s.]"}, "Contiguous")),
    "digits": cuts({"type": "Digits", "individual_digits": False}),
    "falcon": {
        "pre_tokenizer": sequence(
            "pretokenizers",
            {"type": "Punctuation", "behavior": "Contiguous"},
            byte_level(),
            {"type": "Digits", "individual_digits": False},
            split({"Regex": "[0-9][0-9][0-9]"}),
        )
    },
    "deepseek": cuts(
        split({"Regex": r"\p{N}{1,3}"}),
        split({"Regex": "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"}),
        split({"Regex": r"[!-/:-~][A-Za-z]+|[^" + "\r\n" + r"\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}),
    ),
    "prefix_space": {"pre_tokenizer": byte_level(add_prefix_space=True)},
    "nfd": normalizer({"type": "NFD"}),
    "nfkc": normalizer({"type": "NFKC"}),
    "nfkd_without_accents": normalizer({"type": "NFKD"}, {"type": "StripAccents"}),
    "lowercase": normalizer({"type": "Lowercase"}),
    "strip": normalizer({"type": "Strip", "strip_left": True, "strip_right": True}),
    "strip_left": normalizer({"type": "Strip", "strip_left": True, "strip_right": False}),
    "replace": normalizer({"type": "Replace", "pattern": {"String": "''"}, "content": '"'}),
    "added_lstrip": {"added_tokens": [*BYTES_MARKS, added("<mid>", lstrip=True)]},
    "added_rstrip": {"added_tokens": [*BYTES_MARKS, added("<mid>", True, rstrip=True)]},
    "added_both": {"added_tokens": [*BYTES_MARKS, added("<mid>", lstrip=True, rstrip=True)]},
    "added_word": {"added_tokens": [*BYTES_MARKS, added("<word>"), added("the", single_word=True)]},
    "added_normalized": normalizer({"type": "Lowercase"})
    | {"added_tokens": [*BYTES_MARKS, added("<Mid>", normalized=True), added("<end>", normalized=False)]},
    "added_normalized_alone": {"added_tokens": [*BYTES_MARKS, added("<mid>", normalized=True)]},
    "added_overlapping": {
        "added_tokens": [*BYTES_MARKS, added("<mid>", normalized=True), added("mid>b"), added("d><")]
    },
    "unknown": {"vocabulary": "few_bytes", "model": {"unk_token": "<unk>"}},
    "unknown_fused": {"vocabulary": "few_bytes", "model": {"unk_token": "<unk>", "fuse_unk": True}},
}
PIECE_LEVEL = {
    "llama2": {},
    "llama2_trained": {"vocabulary": "trained_pieces"},
    "without_prefix": {
        "normalizer": LOW_LINES, "decoder": sequence("decoders", *PIECES_DECODER["decoders"][:3]),
    },
    "gemma": {
        "normalizer": LOW_LINES,
        "pre_tokenizer": split({"String": " "}, "MergedWithPrevious"),
        "decoder": sequence("decoders", *PIECES_DECODER["decoders"][:3]),
    },
    "metaspace_first": metaspace("first", False),
    "metaspace_always": metaspace("always", False),
    "metaspace_never": metaspace("never", False),
    "metaspace_words": metaspace("always", True),
    "without_fallback": {"model": {"byte_fallback": False, "fuse_unk": True, "unk_token": "<unk>"}},
    "without_fusing": {"model": {"byte_fallback": False, "fuse_unk": False, "unk_token": "<unk>"}},
    "some_bytes": {"vocabulary": "few_pieces"},
    "some_bytes_without_fusing": {
        "vocabulary": "few_pieces",
        "model": {"byte_fallback": True, "fuse_unk": False, "unk_token": "<unk>"},
    },
    "pieces_added": {"added_tokens": [*PIECES_MARKS, added("<mid>"), added("<end>", True, rstrip=True)]},
}
KINDS = {name: BYTES_BASE | parts for name, parts in BYTE_LEVEL.items()} | {
    name: PIECES_BASE | parts for name, parts in PIECE_LEVEL.items()
}
KINDS = {name: numbered(parts) for name, parts in KINDS.items()}


def whole(parts: dict) -> dict:
    parts = dict(parts)
    vocabulary = VOCABULARIES[parts.pop("vocabulary")]
    options = {"dropout": None, "unk_token": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    model = {"type": "BPE"} | options | parts.pop("model") | vocabulary
    return {"version": "1.0", "normalizer": None, "pre_tokenizer": None} | parts | {"model": model}


def ids(tokenizer: Tokenizer) -> dict[str, list[int]]:
    return {name: tokenizer.encode(text, add_special_tokens=False).ids for name, text in TEXTS.items()}


def golden(parts: dict) -> dict:
    return parts | {"ids": ids(Tokenizer.from_str(json.dumps(whole(parts))))}


def main() -> None:
    everything = {
        "texts": TEXTS,
        "vocabularies": VOCABULARIES,
        "kinds": {name: golden(parts) for name, parts in KINDS.items()},
        "files": {"llama2": ids(Tokenizer.from_file(str(HERE / "../../models/llama2/tokenizer.json")))},
    }
    lines = []
    for key, values in everything.items():
        inner = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items())
        lines.append(f"{json.dumps(key)}: {{\n{inner}\n}}")
    (HERE / "tokenizer_kinds.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
