"""Asks Python's re what patterns match: writes answers.json beside this file.

    python make.py

answers.json holds
- "strings": the strings that patterns are tried on,
- "patterns": [pattern, fullmatch, match, groups] each, where `fullmatch` and `match` are hexadecimal digits whose bits are
  the strings, the first one lowest, and `groups` has the group "g" of each fullmatch where the pattern names a group g,
- "errors": [pattern, what re.error says],
- "keys": [keys, paths, first] each, `first` being the index of the first key that peft's rule finds for each path, or -1.

Patterns are written by hand (below) or drawn from a grammar. Python must be 3.11 or 3.12.
"""

import json
import random
import re
import signal
import sys
import warnings
from pathlib import Path

assert sys.version_info[:2] in ((3, 11), (3, 12)), sys.version
warnings.simplefilter("ignore")
draw = random.Random(7)

BY_HAND = r"""
.*\.[[qv]_proj|[]a]|[^]]|[]|[^]|[a-]|[-a]|[a\-z]|[\w-]|[\w-a]|[a-\d]|[z-a]|[a|[\]]|[\d\s]+|[^\W_]|[\D]|[\b]|[\A]|[\8]
a{2}|a{2,}|a{,2}|a{,}|a{1,2}?|a{1,2}+|a{}|a{|a{x}|a{1|a{1,|a{1,x}|a{2,1}|x{,y}|{|{1}|{1}a|a{99999999999}|a{ 1}|a{1}{2}
a**|a*+|a*?|a+?|a??|a?+|a++b|a+++|*|+a|?|(*)|(|)*|(|+)|^*|$*|\b+|(?:^)*|(?:a*)*|(?:a*)+?|(a|b*)*|(a*)*b|(?=a)*a|(?:)*|()*
(a)(b)\2|(a)\1|(a)\2|\1|(a\1)|(?P<g>a)(?P=g)|(?P<g>a|b)*(?P=g)|(?P=g)|(?P<g>a(?P=g))|(?P<g>a)(?P<g>b)|(?P<1>a)|(?P<>a)
(?P<g|(?P<|(?P|(?Px|(?P>a)|(?P<a b>c)|(?<g>a)|(?<|(?<=a)b|(?<!a)b|a(?<=a)b|ab(?<=ab)|ab(?<=a.)|a(?<=a*)b|(?<=a|bc)d
(?<=(a))\1|(a)(?<=\1)|(a|bc)(?<=\1)|(?<=(a)\1)|(?<=(?P<g>a)(?P=g))|a(?=b)b|a(?!b).|a(?!b)|(?=(a))\1|(?!(a))b|(?=|(?!
(?>a*)a|(?>a|ab)c|(?>a|ab)b|(?>|(?i)A|(?i)a|a(?i)|(?i:A)b|(?i:a)B|(?-i:a)|(?i)(?-i:a)b|(?i-i:a)|(?s).|(?s:.)|.|(?m)^a$
(?m:^)a|a$|a\Z|a$\n|a\n$|^a|\Aa|(?x) a b # c|(?x)a\ b|(?x:a b)c d|(?x)[a b]|(?x)a {2}|(?a)\w+|\w+|(?a:\w)\w|(?u)\w|(?L)a
(?au)a|(?a)(?u)a|(?i)(?m)a|(?z)a|(?iz)a|(?i|(?i-|(?i-)a|(?i-:a)|(?-a:b)|(?i-a:b)|(?#c)a|(?#c|(?#c)(?i)A|(?x) (?i)A|(?a-i:b)
(a)?(?(1)b|a)|(?(1)a|b)(a)|(?(1)a|b)|(?(0)a)|(?(x)a)|(?P<g>a)?(?(g)b|.)|(?(1)a|b|c)|(a)(?(1)b|a|b)|(a)(?(1)|(?(|(?(-1)a)
\d|\D|\s|\S|\w|\W|\b|\B|\ba\b|a\Bb|\Z|\A|\q|\z|\c|\8|\0|\01|\012|\0123|\101|\400|\x41|\x4|\xg|\u0061|\u00|\U00000061|\U0000006
\U00110000|\u|\N|[\x41-\x43]|[\x43-\x41]|[\101]|[\400]|[\u0061-c]|[\q]|[\N]|\.|\-|\_|\é|\|a\||[\n]|\n|\a|\f|\v|\\|[\\]|a\
a|a|b|ab|a||b||a|b||(?:|a)+|(?:a|b)(?:|c)|(?:ab|a)(?:bc|c)?|((a)|b)*|(?:(a)|b)*\1|(a(b)?)+\2|(?P<g>a+?)b*|(?P<g>a+)a|(?P<g>(?:a|ab))(?:c|bcd)*
(?:a?){3}|(?:a?){2,}b|(?:a?){0}b|(?:a|){2,3}?b|(?:ab?){2}+b|(?:a|ab){2}+|(?:a|ab)++c|(a*?)*?b|(?:a??)*|(?:(?:a*)?b?)*c|(.)(?=\1)
(?i)[a-c]+|(?i)[^a]|(?i)é|(?i)[à-é]|(?i)ſ|(?i)s|(?i)k|(?i)i|(?i)[i-k]+|(?ai)s|(?ai)[k]|(?i)µ|(?i)[α-ω]|(?i)(a)\1|(?i)[\x41-\x5a]|(?i)ß
"""

# Bars separate patterns above; a pattern with a bar is cut in two, and stands whole below.
HAND = [pattern for line in BY_HAND.strip().split("\n") for pattern in line.split("|")] + [
    "(?P<g>a|b)*(?P=g)", "(a|b*)*", "(?<=a|bc)d", "(?>a|ab)c", "(?>a|ab)b", "(a)?(?(1)b|a)", "(a|bc)(?<=\\1)", "a|b|ab", "a||b",
    "|a", "|", "(?:|a)+", "(?:a|b)(?:|c)", "(?:ab|a)(?:bc|c)?", "((a)|b)*", "(?:(a)|b)*\\1", "(?P<g>(?:a|ab))(?:c|bcd)*",
    "(?:a|){2,3}?b", "(?:a|ab){2}+", "(?:a|ab)++c", "(?(1)a|b)(a)", "(?(1)a|b)", "(?P<g>a)?(?(g)b|.)", "(?(1)a|b|c)",
    "(a)(?(1)b|a|b)", "[a|[\\]]", "\\|a\\|", "()", "(|)*", "(a|)*b", "(?P<g>a|)*b", "(?P<g>a*)*b", "(?:(?P<g>a)|b)*", "a.b\n",
    "(?x)a # b\n c", "(?x)a # \\", "(?s)a.b", "[^a]", "[^\\n]", "a\\\nb", "*\\", "(a)\\", "[\\", "[a-\\", "(?P<é>a)", "(?P<g\\>a)",
    "(?(1", "(?(1)a", "(a)(?(1)b", "(?(²)a)", "(?<x", "(?<=a", "(?<!a", "(?:a", "(a))", "a)", "((a)", "(?P<g>", "(?P=", "(?P=)",
    "(?P=g", "(?", "(?x:", "(?-", "(?i:a", "(?-i)a", "(?é)a", "(?ié)a", "(?i-é:a)", "(?\\i)a", "(?i\\m)a", "\\é", "\\²", "é{2}",
    r"layers\.(?P<g>\d+)\.(self_attn|mlp)\.[qkv]_proj", r".*?\.[^.]*\.(?P<g>\d+)\..*", r"(?:|.*?\.)layers\.(?P<g>\d+)\..*",
    r"(^|.*\.)head($|\..*)", r".*(self_attn|mlp).*(q|v|up)_proj", r"^(?!.*lm_head).*proj$", r".*\.(?:q|k)(?=_proj).*",
    # Long enough for failed states to be remembered.
    r"\d*|(?P<g>[|^à-ü.]{,2}^.|[^[\s])+A{,2}", r"(?:a*(?m:K\Aé*?|(?>)*?)|(?x: (?P<g>.*?)|\Da)_{0}){,}||{(?=[é]\Z)\B",
    r"(?i:.*?|\.){2}(?!B]a|a{0,3}?|ſ{,}b)]|(?:Aa*b|b{0}){0,3}?\A|}A-Z-]",
    r"ab(?a:(?-i:(?:aB{2,}|.+?a?+b{0,3}?)?(?:b*)(?i:|.))+?\B{|\Sé-)|a{2,}(a(?:(?>)|b{1})?\S{,2})1*|(?<=\w{2}){0}",
    r"(.*\.)?(q_proj)", r"model\..*layers\.([0-9]|1[0-5])\..*_proj", r".*\.layers\.(?:[02468]|\d*[13579])\.mlp\.\w+",
]

PATHS = [
    "q_proj", "layers.0.q_proj", "model.layers.0.self_attn.q_proj", "model.layers.13.self_attn.v_proj", "lm_head", "model.head.a",
    "model.layers.1.mlp.up_proj", "model.layers.24.mlp.experts.3.up_proj", "head", "layers.0.[_proj", "model.layers.0.self_attnxq_proj",
]
SHORT = [
    "", "a", "b", "c", "d", "A", "B", "ab", "ba", "aa", "bb", "abc", "aab", "abb", "aba", "aaa", "abab", "abcd", "aabb", "bcd", "bc", "bcbc",
    "a\n", "\n", "a\nb", "\na", "a\n\n", "ab\n", " ", "a b", "a.b", ".", "-", "a-b", "_", "a_b", "1", "12", "a1", "]", "[", "{", "}", "|",
    "a|", "a{", "a{}", "a{x}", "a{1", "a{1,", "x{,y}", "\\", "^", "$", "é", "É", "e", "٣", "²", "Ⅷ", "ſ", "S", "s", "K", "k", "K", "i", "I",
    "İ", "ı", "µ", "μ", "Ω", "ω", "ß", "ẞ", "ss", "\x1c", "\xa0", "\u2003", "\t", "\b", "\x07", "\0", "\x01", "@", "!", "中", "😀", "a😀", "e\u0301", "AB",
    "Ab", "aB", "aA", "abba", "cab", "aaaa", "aaab", "bab", "ac", "abbcd", "#", "a#b", "q", "'", "ca.b-c_1",
]
STRINGS = PATHS + SHORT


class TooSlow(Exception):
    pass


def alarm(*_):
    raise TooSlow


signal.signal(signal.SIGALRM, alarm)


def bits(matches):
    return f"{sum(1 << i for i, match in enumerate(matches) if match):x}"


def answers(pattern):
    """The row of a pattern, or the words of the error; None where Python takes long or has no answer of its own."""
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            where = "" if error.pos is None else f" at position {error.pos}"
            return error.msg + where
        except (ValueError, OverflowError) as error:
            return str(error)
        full = [compiled.fullmatch(string) for string in STRINGS]
        groups = []
        if "g" in compiled.groupindex:
            groups = [m.group("g") for m in full if m]
        start = [compiled.match(string) for string in STRINGS]
        return [pattern, bits(full), bits(start), groups]
    except (TooSlow, RecursionError, MemoryError, SystemError):
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


# The grammar.

CHARACTERS = list("aaaabbbccd.") + ["\\.", "_", "1", "A", "B", "-", "é", "\n", "[", "]", "{", "ſ", "K"]
CLASS_ITEMS = ["a", "b", "c", "a-c", "b-", "-", "]", "[", "^", "\\d", "\\w", "\\s", "\\W", "\\D", "\\S", "\\n", "\\x61", "\\]", ".", "A-Z", "é", "à-ü", "|", "&&"]
ANCHORS = ["^", "$", "\\b", "\\B", "\\A", "\\Z"]
QUANTIFIERS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{,2}", "{2,}", "{1,2}?", "{0,3}?", "{,}", "{1}", "{0}"]
POSSESSIVE = ["*+", "++", "?+", "{1,2}+", "{2}+"]


class Grammar:
    def __init__(self):
        self.groups = 0
        self.open = []
        self.named = False

    def character_class(self):
        return "[" + draw.choice(["", "", "^"]) + "".join(draw.choice(CLASS_ITEMS) for _ in range(draw.randint(1, 4))) + "]"

    def atom(self, depth):
        kind = draw.random()
        if depth == 0 or kind < 0.5:
            return draw.choice(CHARACTERS)
        if kind < 0.6:
            return self.character_class()
        if kind < 0.65:
            return draw.choice(["\\d", "\\w", "\\s", "\\D", "\\W", "\\S", "."])
        if kind < 0.68:
            return draw.choice(["(?=", "(?!"]) + self.alternation(depth - 1) + ")"
        if kind < 0.70:
            return draw.choice(["(?<=", "(?<!"]) + draw.choice(["a", "b", "ab", "a|b", "[ab]", ".", "(?:a|b)c", "\\w{2}", "^", "a?"]) + ")"
        if kind < 0.73:
            return "(?>" + self.alternation(depth - 1) + ")"
        if kind < 0.77 and self.groups:
            return f"\\{draw.randint(1, self.groups + (draw.random() < 0.1))}"
        if kind < 0.78 and self.groups:
            return f"(?({draw.randint(1, self.groups)}){self.sequence(depth - 1)}|{self.sequence(depth - 1)})"
        if kind < 0.81:
            return draw.choice(["(?i:", "(?s:", "(?m:", "(?a:", "(?-i:", "(?x: "]) + self.alternation(depth - 1) + ")"
        if kind < 0.9:
            self.groups += 1
            name = ""
            if not self.named and draw.random() < 0.7:
                self.named, name = True, "?P<g>"
            return f"({name}" + self.alternation(depth - 1) + ")"
        return "(?:" + self.alternation(depth - 1) + ")"

    def sequence(self, depth):
        parts = []
        for _ in range(draw.randint(0 if draw.random() < 0.2 else 1, 3)):
            if draw.random() < 0.07:
                parts.append(draw.choice(ANCHORS))
                continue
            part = self.atom(depth)
            if draw.random() < 0.35:
                part += draw.choice(QUANTIFIERS if draw.random() < 0.95 else POSSESSIVE)
            parts.append(part)
        return "".join(parts)

    def alternation(self, depth):
        return "|".join(self.sequence(depth) for _ in range(draw.choice([1, 1, 1, 2, 2, 3])))


def random_pattern():
    pattern = Grammar().alternation(draw.randint(1, 4))
    if draw.random() < 0.15:
        pattern = draw.choice(["(?i)", "(?s)", "(?m)", "(?x)", "(?a)", "(?im)", "(?ai)"]) + pattern
    if draw.random() < 0.1 and pattern:
        # Something gone wrong: a character more or less.
        place = draw.randrange(len(pattern))
        pattern = pattern[:place] + draw.choice(["", *"()[]{}*+?|\\-,^<=:"]) + pattern[place + 1 :]
    return pattern


def first_key(keys, path):
    return next((i for i, key in enumerate(keys) if re.match(rf"(.*\.)?({key})$", path)), -1)


PARTS = ["a", "b", "q", "0", "1", "10", "ab", "q_proj", "x", "a-b"]


def random_keys():
    """Keys and paths that often meet."""
    def name(separators):
        return "".join(draw.choice(PARTS) + draw.choice(separators) for _ in range(draw.randint(0, 3))) + draw.choice(PARTS)

    def key():
        kind = draw.random()
        if kind < 0.6:
            return draw.choice(["", "", "^"]) + name([".", ".", "\\."])
        if kind < 0.7:
            return name(["."]).replace("a", draw.choice([".", "[ab]", "\\w", "a?"]))
        if kind < 0.8:
            return name([".", ".*\\.", r"\.\d+\."])
        return draw.choice(["", ".", "\\.", "..", "a)|(b", "a|b", "(a)\\3", "(q).*\\3", "\\1x", "a$", "a\\b", "x.", "^", "0.?", "(?:a|b).q", "[^.]+", "(?i:Q)", ".*"])

    keys = list(dict.fromkeys(key() for _ in range(draw.randint(1, 12))))
    paths = [name([".", ".", ".", "x", "..", "."]) + draw.choice([""] * 9 + [".", "\n", "\nb"]) for _ in range(draw.randint(4, 16))]
    return [keys, paths, [first_key(keys, path) for path in paths]]


def main():
    rows, errors, seen = [], [], set()

    def add(pattern):
        if pattern in seen:
            return
        seen.add(pattern)
        answer = answers(pattern)
        if isinstance(answer, str):
            errors.append([pattern, answer])
        elif answer:
            rows.append(answer)

    for pattern in HAND:
        add(pattern)
    while len(rows) < 2000:
        add(random_pattern())
    document = {"strings": STRINGS, "patterns": rows, "errors": errors, "keys": [random_keys() for _ in range(300)]}
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    text = text.replace("],[\"", "],\n[\"").replace("],[[", "],\n[[")
    Path(__file__).with_name("answers.json").write_text(text + "\n")
    print(len(rows), "patterns,", len(errors), "errors,", len(text), "bytes")


main()
