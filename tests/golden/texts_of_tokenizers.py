"""The texts that tokenizers are compared on."""

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
