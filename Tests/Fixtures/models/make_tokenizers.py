"""Small tokenizers and what Python `tokenizers` makes of awkward strings with them.

    python make_tokenizers.py        # needs `pip install tokenizers`; writes beside itself

Byte-level tokenizers with the word patterns of GPT-2, Llama 3, Qwen2 and SmolLM; a byte-fallback BPE with Metaspace;
and every normalizer, pre-tokenizer and decoder by itself.
"""
import json
import os
import random

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import AddedToken

here = os.path.dirname(os.path.abspath(__file__))

GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog didn't care; it's 12345 o'clock.",
    "In the beginning there was the word, and the word was with the reader.",
    "They're here! We've seen them, I'll tell you, she'd say: don't you think so?",
    "def f(x):\n    return x + 1\n\n\nclass A:\n\tpass\r\n",
    "Größe, naïve café, señor, déjà vu, Ελληνικά, русский язык, 日本語の文章, 한국어, עברית, हिन्दी",
    "the the the and and and that that this this 2024 2025 1999 100,000.00",
] * 3

TEXTS = [
    "", " ", "  ", "a", "Hello, World!", "don't can't I'll WE'VE They'RE 'S 'x ''s", "x'ſ x'ſt 'll'm",
    "the  double   spaces and    trailing   ", "\ttabs\t\there\n", "line\nends\n\n\nthree \n \n x\r\n\r\nwindows",
    " leading", "1 12 123 1234 12345678", "abc123def 4five6", "3.14159, 1,000,000; $5.00 (50%)",
    "e-mail: a_b+c@d.org http://example.com/?q=1&r=2#x", "Größe naïve café e\u0301 n\u0303", "Ελληνικά Σίσυφος",
    "日本語の文章です。漢字", "한국어 텍스트", "עברית טקסט", "हिन्दी में लेख", "🙂 👩‍👩‍👧 🇩🇪 ❤️", "½ ² ³ Ⅷ ٣ १२",
    "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u0085g", "zero\u200bwidth\u200djoin\u00adsoft\ufeff", "nul\u0000bell\u0007",
    "\ufffd replacement", "ﬁne ﬂow Å Å ①②", "İstanbul ISTANBUL ẞ straße ǅ", "x" * 130, "word " * 40,
    "[CLS] a [SEP] b[MASK]c", "<|endoftext|>the end<|endoftext|>", "a <mask> b", "...!!!???", "-- — – ‐", "“quoted” ‘it’s’",
    "def f(x):\n    return x + 1\n\n\nclass A:\n\tpass\n", "\n", "\r", "\n\n", " \n", "\n ", "a \n", "a\n b", "!\n\n!", "'", "''",
    "the▁metaspace ▁ ▁▁x", "tail\u3000", "\u3000\u3000ideographic",
]


def write(name, value):
    with open(os.path.join(here, name), "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


def cases(tokenizer):
    rows = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        rows.append({
            "text": text, "ids": ids, "plain": tokenizer.encode(text, add_special_tokens=False).ids,
            "decoded": tokenizer.decode(ids), "whole": tokenizer.decode(ids, skip_special_tokens=False),
        })
    return rows


def finish(name, tokenizer):
    tokenizer.save(os.path.join(here, f"{name}.json"), pretty=False)
    write(f"{name}-cases.json", cases(tokenizer))


def byte_level(name, pre_tokenizer, post_processor=None, special=("<|endoftext|>",), ignore_merges=False, normalizer=None):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = post_processor or processors.ByteLevel(trim_offsets=False)
    finish(name, tokenizer)


byte_level("tokenizer-gpt2", pre_tokenizers.ByteLevel(add_prefix_space=False))
byte_level(
    "tokenizer-llama3",
    pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
    processors.Sequence([
        processors.ByteLevel(),
        processors.TemplateProcessing(
            single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
            special_tokens=[("<|begin_of_text|>", 0)])]),
    special=("<|begin_of_text|>", "<|endoftext|>"), ignore_merges=True)
byte_level(
    "tokenizer-qwen2",
    pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
    normalizer=normalizers.NFC())
byte_level(
    "tokenizer-smollm",
    pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]))

# Llama 2's kind, as newer conversions write it (Metaspace), with added tokens that strip the space beside them.
tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
tokenizer.decoder = decoders.Sequence([
    decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
tokenizer.train_from_iterator(
    [word for line in CORPUS for word in line.replace(" ", "\n▁").split("\n") if word.isascii()],
    trainers.BpeTrainer(vocab_size=460, special_tokens=["<unk>", "<s>", "</s>"] + byte_tokens, show_progress=False))
state = json.loads(tokenizer.to_str())
state["added_tokens"] = [token for token in state["added_tokens"] if not token["content"].startswith("<0x")]
tokenizer = Tokenizer.from_str(json.dumps(state))
tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True)])
tokenizer.add_tokens([AddedToken("quick", single_word=True), AddedToken("<|endoftext|>", normalized=True)])
tokenizer.post_processor = processors.TemplateProcessing(
    single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)])
finish("tokenizer-metaspace", tokenizer)

# WordPiece with accents kept and a post-processor of the older kind.
tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
tokenizer.decoder = decoders.WordPiece()
tokenizer.train_from_iterator(
    CORPUS, trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
state = json.loads(tokenizer.to_str())
state["model"]["max_input_chars_per_word"] = 20
tokenizer = Tokenizer.from_str(json.dumps(state))
tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
finish("tokenizer-wordpiece", tokenizer)

# Each part by itself.
part = lambda value: json.loads(value.__getstate__())
parts = {"normalizers": [], "pre_tokenizers": [], "decoders": [], "pairs": []}
for value in [
    normalizers.BertNormalizer(), normalizers.BertNormalizer(lowercase=False), normalizers.BertNormalizer(clean_text=False),
    normalizers.BertNormalizer(handle_chinese_chars=False, strip_accents=True, lowercase=False), normalizers.Lowercase(),
    normalizers.StripAccents(), normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD(),
    normalizers.Strip(), normalizers.Strip(left=False), normalizers.Prepend("▁"), normalizers.Replace(" ", "▁"),
    normalizers.Replace(Regex(r"\s{2,}"), "_"), normalizers.Replace("''", "\""),
    normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]),
]:
    parts["normalizers"].append({"part": part(value), "cases": [[text, value.normalize_str(text)] for text in TEXTS]})
for value in [
    pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Whitespace(), pre_tokenizers.WhitespaceSplit(),
    pre_tokenizers.Punctuation(), pre_tokenizers.Punctuation("removed"), pre_tokenizers.Punctuation("merged_with_next"),
    pre_tokenizers.Punctuation("merged_with_previous"), pre_tokenizers.Punctuation("contiguous"),
    pre_tokenizers.Digits(), pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.CharDelimiterSplit("e"),
    pre_tokenizers.Metaspace(), pre_tokenizers.Metaspace(prepend_scheme="never"),
    pre_tokenizers.Metaspace(prepend_scheme="first", split=False), pre_tokenizers.ByteLevel(),
    pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
    pre_tokenizers.Split(Regex(GPT2), "isolated"), pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
    pre_tokenizers.Split(Regex(QWEN2), "removed", invert=True), pre_tokenizers.Split(Regex(r"[a-z]+\d"), "merged_with_next"),
    pre_tokenizers.Split(" ", "merged_with_previous"), pre_tokenizers.Split(Regex(r"\p{L}+"), "contiguous", invert=True),
    pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]),
]:
    parts["pre_tokenizers"].append({
        "part": part(value), "cases": [[text, [piece for piece, _ in value.pre_tokenize_str(text)]] for text in TEXTS]})
TOKENS = [
    [], ["a"], ["▁the", "▁quick", "er", "▁"], ["the", "##re", "is", "##", "'", "s", "do", "not", "n't", ".", "!", "x", ","],
    ["<0xE6>", "<0x97>", "<0xA5>", "a", "<0xE6>", "<0x97>", "b", "<0x41>", "<0xg1>"], ["Ġthe", "Ġc", "af", "Ã", "©", "æĹ", "¥", "Ġ"],
    ["low</w>", "er</w>", "x"], ["  two", " one", "  "], ["日", "本", "Ġ語"],
]
for value in [
    decoders.WordPiece(), decoders.WordPiece(cleanup=False), decoders.ByteLevel(), decoders.ByteFallback(), decoders.Fuse(),
    decoders.Strip(" ", 1, 1), decoders.Replace("▁", " "), decoders.Metaspace(), decoders.Metaspace(prepend_scheme="never"),
    decoders.BPEDecoder(),
    decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]),
]:
    parts["decoders"].append({"part": part(value), "cases": [[tokens, value.decode(tokens)] for tokens in TOKENS]})
# Pairs and truncation, with every template above.
for name in ["llama3", "metaspace", "wordpiece", "gpt2"]:
    tokenizer = Tokenizer.from_file(os.path.join(here, f"tokenizer-{name}.json"))
    first, second = "the quick brown fox", "and the word was with the reader"
    for length in [None, 12, 7, 5]:
        if length:
            tokenizer.enable_truncation(length)
        pair, single = tokenizer.encode(first, second), tokenizer.encode(second)
        parts["pairs"].append({
            "tokenizer": name, "first": first, "second": second, "length": length, "ids": pair.ids, "segments": pair.type_ids,
            "single": single.ids})
write("tokenizer-parts.json", parts)
