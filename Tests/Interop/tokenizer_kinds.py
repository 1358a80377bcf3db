"""Tokenizers of some eighty kinds, trained small, with the ids and texts that Python's tokenizers and sentencepiece give:
python tokenizer_kinds.py [--small] OUTPUT_FOLDER CORPORA_FOLDER [NAME ...]

--small makes the committed ones: fewer tokens, every eleventh text, and a map of a few characters.

Writes NAME/tokenizer.json (or NAME/tokenizer.model), texts.json and NAME/cases.json. TokenizerKindsTests compares.
"""
import base64
import io
import json
import pathlib
import random
import sys
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers)

arguments = [argument for argument in sys.argv[1:] if argument != "--small"]
small = "--small" in sys.argv
output, corpora = pathlib.Path(arguments[0]), pathlib.Path(arguments[1])
wanted = set(arguments[2:])

MULTI = """Größe, Straße, naïve café — “Über”; l’été à Zürich. Ça va? Ñandú, São Paulo, Łódź, Đà Nẵng, İstanbul ığdır.
Привет, мир! Это проверка токенизатора. Ελληνικά: Καλημέρα κόσμε. שלום עולם. مرحبا بالعالم، كيف حالك؟
你好,世界!这是一个测试。日本語のテキストです。カタカナとひらがな。한국어 문장입니다. हिन्दी में एक वाक्य। ภาษาไทยไม่มีช่องว่าง
ଓଡ଼ିଆ தமிழ் తెలుగు ಕನ್ನಡ മലയാളം සිංහල ქართული Հայերեն አማርኛ ខ្មែរ ລາວ မြန်မာ བོད་ཡིག ᏣᎳᎩ ᓀᐦᐃᔭᐍᐏᐣ
🙂 👍🏽 👨‍👩‍👧‍👦 🇩🇪 ❤️ ☃️ ½ ² ³ ¼ ① Ⅷ ㎏ ﬁ ﬂ Å Å é é ñ ÿ ß ẞ ǆ ŉ
"""


def texts():
    rng = random.Random(7)
    result = ["", " ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\u200b", "\ufeff", "\u2028", "a", "A", ".", "0", "é", "e\u0301"]
    result += MULTI.strip().split("\n")
    result += MULTI.replace("\n", " ").split(" ")
    alice = (corpora / "alice.txt").read_text(encoding="utf-8").split("\n")
    shakespeare = (corpora / "shakespeare.txt").read_text(encoding="utf-8").split("\n")
    result += [line for line in alice if line.strip()][100:230] + [line for line in shakespeare if line.strip()][50:120]
    result += [" ".join(alice[300:312]), "\n".join(shakespeare[30:42]), "  ".join(alice[500:504])]
    result += [
        "Hello, World! It's  a   test.", " leading", "trailing ", "  two leading", "two trailing  ", "a\tb", "a\n\nb", "a \n b",
        "don't can't we'll I'M THEY'RE", "1234567890", "3.14159", "1,000,000", "12 345 6789", "x1y2z3", "2024-01-31T12:34:56Z",
        "foo_bar fooBar FOO_BAR __init__", "a+b=c; d->e", "http://example.com/a?b=c&d=e#f", "me@example.com", "C:\\path\\file.txt",
        "<s>hello</s>", "[CLS] a [SEP] b [MASK]", "<mask> <mask>", "hello<mask>world", "hello <mask> world", " <mask> ", "<pad>",
        "<unk>", "[UNK]", "<|endoftext|>", "a<|endoftext|>b", "<extra>x</extra>", "NEW new New newest anew", "<tok>  <tok>",
        "x <tok> y", "x  <tok>  y", "Wort wort WORT", "word-word", "wordy word", "▁", "▁▁a", "a▁b", "Ġ", "##", "##ing", "a##b", "</w>",
        "</w>x", "<0x41>", "<0x0A>", "\x00", "\x01\x02", "\x7f", "\x80\x9f", "a\x00b", "\u00ad", "a\u00adb", "\u200d", "a\u200db", "\u0301",
        "\u0301a", "a" + "\u0301" * 5, "a" * 120, "ab" * 200, "é" * 110, "漢" * 60, "🙂" * 20, "." * 70, " " * 40, "\n" * 9, "-" * 33,
        "a" * 99 + " b", "a" * 100, "a" * 101, "``quoted'' text", "\u2018x\u2019 \u201cy\u201d", "\u2026 \u2013 \u2014", "½ cup, 2² = 4, x³, H₂O, 10⁻³",
        "٣٤٥ ०१२ ５６", "Ⅳ ⅷ ①②", "ﷺ", "ﬁne ﬂow", "ＦＵＬＬ　ｗｉｄｔｈ", "㍿ ㌀", "İ ı ſ K Å Ω", "ΑΣ ΟΔΟΣ ς", "ẞ ß SS", "ǅ ǆ Ǆ", "हि न् क्ष",
        "กำ ำ", "가각 가각", "\ud55c\uae00", "a\u0323\u0302 ậ", "x\u0338=", "👩🏽‍🚀🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣ ☺︎ ☺️", "𝒜𝓁𝒾𝒸ℯ", "𐍈 𠀀 𪚥", "\U000e0001", "\ufffd", "\uffff", "\ue000",
        "日本語とEnglishのmix、123です。", "中文，标点。！？", "（括号）「引号」", "漢字kanji漢字", "한국어English한국어", "日本ーカタカナー", "a、b", "ｱｲｳ",
        "مَرْحَبًا", "שָׁלוֹם", "\u202eabc\u202c", "\u2066x\u2069", "tab\there", "vt\x0bff\x0c", "nel\x85x", "a\u2009b\u202fc", "if (x<=10){y++;}",
        "    indented code\n        more", "#!/bin/sh\necho \"$HOME\"\n", "{\"a\": [1, 2.5e-3, null]}", "<div class='x'>&nbsp;</div>", "\\n\\t\\u0041",
        "E=mc²", "5'10\"", "rock'n'roll", "O'Neill's", "'s 't 're", "it’s", "IT'S", "d'l'x", "…and", "?!?!", "!!!", "a.b.c.", "U.S.A.", "Mr. Smith",
    ]
    alphabet = "abcdeéßçñ ABC  .,!?'-_0123456789\n\tжшя中日한ไ🙂\u0301\u00a0½²"
    while len(result) < 742:
        result.append("".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 40))))
    return result[:742]


TEXTS = texts()[::11] if small else texts()
CORPUS = (
    (corpora / "alice.txt").read_text(encoding="utf-8").split("\n")
    + (corpora / "shakespeare.txt").read_text(encoding="utf-8").split("\n")[:4000] + MULTI.split("\n") * 20)
KINDS = {}


def kind(function):
    KINDS[function.__name__.replace("_", "-")] = function
    return function


def named(name, function):
    KINDS[name] = function


def train(tokenizer, trainer):
    if small:
        trainer.vocab_size = min(trainer.vocab_size, 330)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_level(pre, normalizer=None, size=900, specials=("<|endoftext|>",), added=(), post=None, decoder=None, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoder or decoders.ByteLevel()
    train(tokenizer, trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(specials), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        **({"end_of_word_suffix": model["end_of_word_suffix"]} if "end_of_word_suffix" in model else {})))
    if post:
        tokenizer.post_processor = post(tokenizer)
    tokenizer.add_tokens(list(added))
    return tokenizer


BL = pre_tokenizers.ByteLevel
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def seq(*parts):
    return pre_tokenizers.Sequence(list(parts))


named("gpt2", lambda: byte_level(BL(add_prefix_space=False)))
named("gpt2-prefix", lambda: byte_level(BL(add_prefix_space=True)))
named("bytelevel-noregex", lambda: byte_level(BL(add_prefix_space=False, use_regex=False)))
named("bytelevel-noregex-prefix", lambda: byte_level(BL(add_prefix_space=True, use_regex=False)))
named("llama3", lambda: byte_level(seq(split(LLAMA3), BL(add_prefix_space=False, use_regex=False)), ignore_merges=True))
named("qwen2", lambda: byte_level(seq(split(QWEN2), BL(add_prefix_space=False, use_regex=False)), normalizers.NFC()))
named("gpt4o", lambda: byte_level(seq(split(GPT4O), BL(add_prefix_space=False, use_regex=False))))
named("falcon", lambda: byte_level(seq(
    pre_tokenizers.Punctuation("contiguous"), BL(add_prefix_space=False), pre_tokenizers.Digits(False), split("[0-9][0-9][0-9]"))))
named("starcoder", lambda: byte_level(seq(pre_tokenizers.Digits(True), BL(add_prefix_space=False))))
named("deepseek", lambda: byte_level(seq(
    split(r"[\r\n]"), split(r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿΑ-ΡΣ-ϿЀ-ҁ]+"), split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"),
    split(r"\s+$"), split(r"[一-龥ࠀ-一가-퟿]+"), pre_tokenizers.Digits(True), BL(add_prefix_space=False, use_regex=False))))
named("deepseek3", lambda: byte_level(seq(
    split(r"\p{N}{1,3}"), split(r"[一-龥぀-ゟ゠-ヿ]+"),
    split(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
    BL(add_prefix_space=False, use_regex=False))))
named("olmo", lambda: byte_level(BL(add_prefix_space=False), normalizers.NFC(), added=[AddedToken("<tok>", normalized=True)]))
named("roberta", lambda: byte_level(
    BL(add_prefix_space=False), specials=["<s>", "<pad>", "</s>", "<unk>"], added=[AddedToken("<mask>", lstrip=True, special=True)],
    post=lambda t: processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)))
named("clip", lambda: byte_level(
    seq(split(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", "removed", True), BL(add_prefix_space=False)),
    normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]),
    end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
named("bloom", lambda: byte_level(seq(split(r" ?[^(\s|[.,!?…。，、।۔،])]+"), BL(add_prefix_space=False, use_regex=False))))
named("neox-added", lambda: byte_level(
    BL(add_prefix_space=False), normalizers.NFC(),
    added=[AddedToken(" " * n, normalized=False) for n in (2, 3, 4, 8)] + [AddedToken("\t\t"), AddedToken("<tok>", rstrip=True)]))
named("bytelevel-unk", lambda: byte_level(seq(pre_tokenizers.Whitespace(), BL(add_prefix_space=False, use_regex=False))))
named("bytelevel-w", lambda: byte_level(seq(split(r"\w+|[^\w\s]+|\s+"), BL(add_prefix_space=False, use_regex=False))))
named("bytelevel-nonw", lambda: byte_level(seq(split(r"\W+", "merged_with_next"), split(r"[\W\d]", "isolated"), BL(add_prefix_space=False, use_regex=False))))
named("bytelevel-scripts", lambda: byte_level(seq(BL(add_prefix_space=False), pre_tokenizers.UnicodeScripts())))
named("post-bytelevel", lambda: byte_level(BL(add_prefix_space=True), post=lambda t: processors.Sequence([
    processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single="<|endoftext|> $A", pair="<|endoftext|> $A <|endoftext|> $B:1", special_tokens=[("<|endoftext|>", 0)])])))


def characters(pre=None, normalizer=None, decoder=None, size=900, specials=("<unk>", "<s>", "</s>"), added=(), trainer=None, post=None, **model):
    tokenizer = Tokenizer(models.BPE(unk_token=model.pop("unk_token", "<unk>"), **model))
    if pre:
        tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    if decoder:
        tokenizer.decoder = decoder
    train(tokenizer, trainers.BpeTrainer(vocab_size=size, special_tokens=list(specials), show_progress=False, limit_alphabet=200, **(trainer or {})))
    tokenizer.add_tokens(list(added))
    if post:
        tokenizer.post_processor = post(tokenizer)
    return tokenizer


def with_bytes(tokenizer, **changes):
    """The bytes' tokens, as SentencePiece has them, before all others."""
    state = json.loads(tokenizer.to_str())
    model = state["model"]
    specials = sorted(state["added_tokens"], key=lambda t: t["id"])
    rest = [t for t, _ in sorted(model["vocab"].items(), key=lambda kv: kv[1]) if t not in {s["content"] for s in specials}]
    order = [s["content"] for s in specials] + [f"<0x{b:02X}>" for b in range(256)] + rest
    model["vocab"] = {token: i for i, token in enumerate(order)}
    for s in specials:
        s["id"] = model["vocab"][s["content"]]
    model.update({"byte_fallback": True, "fuse_unk": True, **changes})
    return Tokenizer.from_str(json.dumps(state))


META = pre_tokenizers.Metaspace
SPM_DECODER = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
LEGACY = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
named("bpe-whitespace", lambda: characters(pre_tokenizers.Whitespace()))
named("bpe-fuse-unk", lambda: characters(pre_tokenizers.WhitespaceSplit(), fuse_unk=True))
named("bpe-no-unk", lambda: characters(pre_tokenizers.WhitespaceSplit(), unk_token=None))
named("bpe-none", lambda: characters(None, size=600))
named("bpe-w", lambda: characters(
    pre_tokenizers.WhitespaceSplit(), trainer={"end_of_word_suffix": "</w>"}, decoder=decoders.BPEDecoder(), end_of_word_suffix="</w>"))
named("openai-gpt", lambda: characters(
    pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer(lowercase=True), decoders.BPEDecoder("</w>"),
    trainer={"end_of_word_suffix": "</w>"}, end_of_word_suffix="</w>"))
named("bpe-hashes", lambda: characters(
    pre_tokenizers.Whitespace(), trainer={"continuing_subword_prefix": "##"}, decoder=decoders.WordPiece("##"), continuing_subword_prefix="##"))
named("bpe-both-affixes", lambda: characters(
    pre_tokenizers.Whitespace(), trainer={"continuing_subword_prefix": "@@", "end_of_word_suffix": "_"}, continuing_subword_prefix="@@", end_of_word_suffix="_"))
named("bpe-w-fuse", lambda: characters(
    pre_tokenizers.BertPreTokenizer(), trainer={"end_of_word_suffix": "</w>"}, decoder=decoders.BPEDecoder(), end_of_word_suffix="</w>", fuse_unk=True))
named("llama2", lambda: with_bytes(characters(
    META(prepend_scheme="always"), decoder=SPM_DECODER, post=lambda t: processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]))))


def legacy(normalizer, pre=None, decoder=SPM_DECODER, **changes):
    tokenizer = with_bytes(characters(META(prepend_scheme="always")), **changes)
    tokenizer.normalizer = normalizer
    if pre:
        tokenizer.pre_tokenizer = pre
    else:
        state = json.loads(tokenizer.to_str())
        state["pre_tokenizer"] = None
        tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoder
    return tokenizer


named("llama-legacy", lambda: legacy(LEGACY))
named("gemma", lambda: legacy(normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"), decoders.Sequence(
    [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])))
named("spm-ignore-merges", lambda: legacy(LEGACY, ignore_merges=True))
for scheme in ("always", "never", "first"):
    for cuts in (True, False):
        named(f"metaspace-{scheme}-{'split' if cuts else 'whole'}", lambda scheme=scheme, cuts=cuts: characters(
            META(prepend_scheme=scheme, split=cuts), decoder=decoders.Metaspace(prepend_scheme=scheme, split=cuts),
            added=[AddedToken("<tok>"), AddedToken("<mask>", lstrip=True, rstrip=True)]))


@kind
def metaspace_old():
    tokenizer = characters(META(prepend_scheme="always"), decoder=decoders.Metaspace())
    state = json.loads(tokenizer.to_str())
    for part in ("pre_tokenizer", "decoder"):
        state[part] = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
    return Tokenizer.from_str(json.dumps(state))


@kind
def metaspace_underscore():
    return characters(META(replacement="_", prepend_scheme="always"), decoder=decoders.Metaspace(replacement="_"))


def spm(model_type="unigram", **options):
    buffer = io.BytesIO()
    if small:
        # A full map takes 240 kB. Scalars in base 16: what is replaced, and by what.
        rules = pathlib.Path(tempfile.mkdtemp()) / "rules.tsv"
        rules.write_text("FB01\t66 69\nBD\t31 2F 32\nB2\t32\n3000\t20\n9\t20\nA\t20\n65 301\tE9\nFF21\t41\nAD\t\n")
        options["normalization_rule_tsv"] = str(rules)
        options.pop("normalization_rule_name", None)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for line in CORPUS if line.strip()]), model_writer=buffer, vocab_size=(420 if options.get("byte_fallback") else 300) if small else 800, model_type=model_type,
        character_coverage=options.pop("character_coverage", 0.98 if small else 0.999), minloglevel=2, hard_vocab_limit=False, **options)
    return buffer.getvalue()


_models = {}


def spm_of(name, **options):
    if name not in _models:
        _models[name] = spm(**options)
    return _models[name]


def proto(data):
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(data)
    return model


def unigram(data, normalizer="precompiled", pre=META(prepend_scheme="always"), decoder=decoders.Metaspace(prepend_scheme="always"), byte_fallback=False, post=None, added=()):
    model = proto(data)
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=model.trainer_spec.unk_id, byte_fallback=byte_fallback))
    charsmap = normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)
    if normalizer == "precompiled":
        tokenizer.normalizer = charsmap
    elif normalizer == "albert":
        tokenizer.normalizer = normalizers.Sequence([
            normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(),
            normalizers.Lowercase(), charsmap, normalizers.Replace(Regex(" {2,}"), " ")])
    elif normalizer == "t5":
        tokenizer.normalizer = normalizers.Sequence([charsmap, normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")])
    elif normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre:
        tokenizer.pre_tokenizer = pre
    if decoder:
        tokenizer.decoder = decoder
    tokenizer.add_special_tokens([AddedToken(piece.piece, special=True) for piece in model.pieces if piece.type == 3] + [AddedToken("<unk>", special=True)])
    tokenizer.add_tokens(list(added))
    if post:
        tokenizer.post_processor = post
    return tokenizer


U = lambda: spm_of("unigram")
named("unigram", lambda: unigram(U()))
named("t5", lambda: unigram(U(), "t5", post=processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)])))
named("albert", lambda: unigram(U(), "albert"))
named("xlm-r", lambda: unigram(
    U(), pre=seq(pre_tokenizers.WhitespaceSplit(), META(prepend_scheme="always")), added=[AddedToken("<mask>", lstrip=True, special=True)],
    post=processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)])))
named("unigram-plain", lambda: unigram(U(), None))
named("unigram-nfkc", lambda: unigram(U(), normalizers.NFKC()))
named("unigram-casefold", lambda: unigram(spm_of("casefold", normalization_rule_name="nmt_nfkc_cf")))
named("unigram-nmt", lambda: unigram(spm_of("nmt", normalization_rule_name="nmt_nfkc")))
named("unigram-whole", lambda: unigram(U(), None, pre=None, decoder=None))
named("unigram-bytes", lambda: unigram(spm_of("bytes", byte_fallback=True), byte_fallback=True, decoder=SPM_DECODER))
named("unigram-scripts", lambda: unigram(U(), pre=seq(pre_tokenizers.UnicodeScripts(), META(prepend_scheme="always"))))
named("deberta", lambda: unigram(U(), normalizers.Sequence([normalizers.Strip(), normalizers.Precompiled(proto(U()).normalizer_spec.precompiled_charsmap), normalizers.Replace(Regex(" {2,}"), " ")]),
                                pre=seq(META(prepend_scheme="always")), added=[AddedToken("[MASK]", special=True), AddedToken("NEW", normalized=True)]))
named("unigram-nmt-normalizer", lambda: unigram(U(), normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])))


def word_piece(normalizer, pre=None, size=900, decoder=None, added=(), specials=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), post=None, **model):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", **model))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre or pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoder or decoders.WordPiece()
    train(tokenizer, trainers.WordPieceTrainer(vocab_size=size, special_tokens=list(specials), show_progress=False, limit_alphabet=250))
    tokenizer.add_tokens(list(added))
    tokenizer.post_processor = post or processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


B = normalizers.BertNormalizer
named("bert-uncased", lambda: word_piece(B(lowercase=True)))
named("bert-cased", lambda: word_piece(B(lowercase=False)))
named("bert-accents", lambda: word_piece(B(lowercase=True, strip_accents=False)))
named("bert-stripped", lambda: word_piece(B(lowercase=False, strip_accents=True)))
named("bert-unclean", lambda: word_piece(B(clean_text=False, handle_chinese_chars=False, lowercase=True)))
named("bert-no-cleanup", lambda: word_piece(B(), decoder=decoders.WordPiece(cleanup=False)))
named("bert-added", lambda: word_piece(B(), added=[
    AddedToken("NEW", normalized=True), AddedToken("Wort", normalized=True, single_word=True), AddedToken("word", single_word=True, normalized=False), AddedToken("<tok>", lstrip=True, rstrip=True)]))
named("mpnet", lambda: word_piece(B(), post=processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2))))
named("wordpiece-nfd", lambda: word_piece(normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]), pre_tokenizers.Whitespace()))
named("wordpiece-short-words", lambda: word_piece(B(), max_input_chars_per_word=5))


def word_level(pre, normalizer=None, added=(), size=900):
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    train(tokenizer, trainers.WordLevelTrainer(vocab_size=size, special_tokens=["[UNK]", "[PAD]"], show_progress=False))
    tokenizer.add_tokens(list(added))
    return tokenizer


named("wordlevel", lambda: word_level(pre_tokenizers.Whitespace()))
named("wordlevel-split", lambda: word_level(pre_tokenizers.WhitespaceSplit(), normalizers.Lowercase()))
named("wordlevel-delimiter", lambda: word_level(pre_tokenizers.CharDelimiterSplit("e")))
named("wordlevel-scripts", lambda: word_level(seq(pre_tokenizers.WhitespaceSplit(), pre_tokenizers.UnicodeScripts()), normalizers.NFKC()))
named("wordlevel-digits", lambda: word_level(seq(pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True)), normalizers.NFC()))
named("wordlevel-fixed", lambda: word_level(pre_tokenizers.FixedLength(3)))
for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
    named(f"punctuation-{behavior}", lambda behavior=behavior: word_level(seq(pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(behavior)), size=1500))
    named(f"split-{behavior}", lambda behavior=behavior: characters(pre_tokenizers.Split(Regex(r"[aeiou\s]+"), behavior), size=400))
    named(f"split-inverted-{behavior}", lambda behavior=behavior: characters(pre_tokenizers.Split(Regex(r"\w\w?"), behavior, True), size=400))


# ------------------------------------------------------------------------------------------------ SentencePiece alone

SENTENCEPIECE = {
    "model-unigram": lambda: spm_of("unigram"),
    "model-bpe": lambda: spm_of("bpe", model_type="bpe"),
    "model-llama": lambda: spm_of("llama", model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True),
    "model-casefold": lambda: spm_of("casefold", normalization_rule_name="nmt_nfkc_cf"),
    "model-symbols": lambda: spm_of("symbols", user_defined_symbols=["<tok>", "NEW"], control_symbols=["<mask>"], pad_id=3),
    "model-no-prefix": lambda: spm_of("no-prefix", model_type="bpe", add_dummy_prefix=False, byte_fallback=True),
}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=True) + "\n", encoding="utf-8")


write(output / "texts.json", TEXTS)
count = 0
for name, make in KINDS.items():
    if wanted and name not in wanted:
        continue
    try:
        tokenizer = make()
    except Exception as error:
        raise SystemExit(f"{name}: {error}") from error
    state = tokenizer.to_str()
    folder = output / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(state, encoding="utf-8")
    encodings = [tokenizer.encode(text).ids for text in TEXTS]
    bare = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS[:300]]
    decoded = [tokenizer.decode(ids) for ids in encodings]
    kept = [tokenizer.decode(ids, skip_special_tokens=False) for ids in encodings]
    write(folder / "cases.json", {"ids": encodings, "bare": bare, "text": decoded, "whole": kept})
    count += 1
for name, make in SENTENCEPIECE.items():
    if wanted and name not in wanted:
        continue
    data = make()
    folder = output / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(data)
    processor = sentencepiece.SentencePieceProcessor(model_proto=data)
    # Special tokens in a text are such for transformers and for us, and text for SentencePiece.
    special = [piece.piece for piece in proto(data).pieces if piece.type in (2, 3)]
    plain = [None if any(s in text for s in special) else processor.encode(text) for text in TEXTS]
    unknown = processor.unk_id()
    decoded = [None if ids is None or unknown in ids else processor.decode(ids) for ids in plain]
    write(folder / "cases.json", {"bare": plain, "decoded": decoded})
    count += 1
print(f"{count} kinds, {len(TEXTS)} texts")
