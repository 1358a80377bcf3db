import Foundation
import LoRAAdapters
import TestSupport
import Testing

/// What Python's re said; see Tests/Fixtures/patterns/make.py.
private struct Answers: Decodable, Sendable {
  let strings: [String]
  let patterns: [Row]
  let errors: [[String]]
  let keys: [Keys]

  struct Row: Decodable, Sendable {
    let pattern: String
    let whole: [Bool]
    let prefix: [Bool]
    let groups: [String?]

    init(from decoder: any Decoder) throws {
      var row = try decoder.unkeyedContainer()
      pattern = try row.decode(String.self)
      whole = Self.bits(try row.decode(String.self))
      prefix = Self.bits(try row.decode(String.self))
      groups = try row.decode([String?].self)
    }

    private static func bits(_ digits: String) -> [Bool] {
      digits.reversed().flatMap { digit in (0..<4).map { digit.hexDigitValue! >> $0 & 1 == 1 } }
    }
  }

  struct Keys: Decodable, Sendable {
    let keys: [String]
    let paths: [String]
    let first: [Int]

    init(from decoder: any Decoder) throws {
      var row = try decoder.unkeyedContainer()
      keys = try row.decode([String].self)
      paths = try row.decode([String].self)
      first = try row.decode([Int].self)
    }
  }

  static let python: Answers = {
    let file = fixtures.appendingPathComponent("patterns/answers.json")
    do {
      return try JSONDecoder().decode(Answers.self, from: Data(contentsOf: file))
    } catch {
      fatalError("\(file.path): \(error)")
    }
  }()
}

@Suite struct PythonPatternTests {
  @Test("A pattern matches what Python's re matches, as a whole and from the start, with the same groups")
  func answers() throws {
    let answers = Answers.python
    #expect(answers.patterns.count >= 2000)
    var wrong: [String] = []
    for row in answers.patterns {
      do {
        let pattern = try PythonPattern(row.pattern)
        var groups = row.groups[...]
        for (index, string) in answers.strings.enumerated() {
          let whole = index < row.whole.count && row.whole[index]
          let prefix = index < row.prefix.count && row.prefix[index]
          if try pattern.matches(string) != whole { wrong.append("\(row.pattern) on \(string): fullmatch is \(whole)") }
          if try pattern.matchesPrefix(string) != prefix {
            wrong.append("\(row.pattern) on \(string): match is \(prefix)")
          }
          if whole, let group = groups.popFirst(), try pattern.group("g", in: string) != group {
            wrong.append("\(row.pattern) on \(string): group is \(group ?? "None")")
          }
        }
      } catch {
        wrong.append("\(row.pattern): \(error)")
      }
    }
    #expect(wrong.isEmpty, "\(wrong.count): \(wrong.prefix(20).joined(separator: "\n"))")
  }

  @Test("What Python refuses is refused, for the same reason and at the same position")
  func errors() {
    let answers = Answers.python
    #expect(answers.errors.count > 500)
    var wrong: [String] = []
    for row in answers.errors {
      do {
        _ = try PythonPattern(row[0])
        wrong.append("\(row[0]): no error, but \(row[1])")
      } catch {
        if error.kind != .unsupported, error.description != row[1] || error.pattern != row[0] {
          wrong.append("\(row[0]): \(error), but \(row[1])")
        }
      }
    }
    #expect(wrong.isEmpty, "\(wrong.count): \(wrong.prefix(20).joined(separator: "\n"))")
  }

  @Test("What is not supported is refused by name")
  func unsupported() {
    let named = #expect(throws: PythonPatternError.self) { try PythonPattern(#"a\N{DIGIT ONE}"#) }
    #expect(named?.kind == .unsupported)
    #expect(named?.position == 1)
    let deep = String(repeating: "(", count: 100_000) + String(repeating: ")", count: 100_000)
    #expect(throws: PythonPatternError.self) { try PythonPattern(deep) }
    #expect(throws: Never.self) {
      try PythonPattern(String(repeating: "(?:", count: 31) + "a" + String(repeating: ")*", count: 31))
    }
  }

  @Test(
    "Patterns that backtrack for ever elsewhere are answered at once",
    arguments: [
      ("(a+)+b", false), ("(a*)*b", false), ("(a|a)*b", false), ("(a|aa)+b", false), ("((a*)*)*b", false),
      ("(.*)*(.*)*(.*)*b", false), ("(?:a?){50}a{50}b", false), ("(?:a{1,1000}){1,1000}b", false),
      ("(?:(?:a{1,9}){1,9}){1,9}b", false), ("(a+?)+?b", false), ("(?:a+)+c?", true), ("(?:(?=(?:a+)+b)a|a)*c", false),
      ("(?>(?:a+)+)b", false), ("(.*,){11}P", false), ("(?:.*a){20}b", false), ("(?:|a|(?:|a)*)*b", false),
    ])
  func hostile(text: String, answer: Bool) throws {
    let pattern = try PythonPattern(text)
    let clock = ContinuousClock()
    for string in [String(repeating: "a", count: 40), String(repeating: "a", count: 40) + ","] {
      var found: Bool?
      let time = try clock.measure { found = try pattern.matches(string) }
      #expect(found == (answer && !string.hasSuffix(",")))
      #expect(time < .seconds(5))
    }
  }

  @Test(
    "A match that takes too many steps is an error, never no match",
    arguments: [#"(a+)+\1b"#, #"(a|aa)+(?(1)b|c)"#, #"(a?)(?:\1|a|aa)*b"#])
  func tooComplex(text: String) throws {
    let pattern = try PythonPattern(text)
    let string = String(repeating: "a", count: 60)
    let time = ContinuousClock().measure {
      let error = #expect(throws: PythonPatternError.self) { try pattern.matches(string) }
      #expect(error?.kind == .tooComplex)
      #expect(throws: PythonPatternError.self) { try pattern.matchesPrefix(string + "c") }
    }
    #expect(time < .seconds(5))
  }

  @Test("Patterns and strings are compared by scalars, not by characters")
  func scalars() throws {
    #expect(try !PythonPattern("\u{E9}").matches("e\u{301}"))
    #expect(try PythonPattern("e.").matches("e\u{301}"))
    #expect(try PythonPattern("\u{E9}") != PythonPattern("e\u{301}"))
    #expect(try PythonPattern("(?i)\u{3AC}").matches("\u{386}"))
    // Canonically the same as U+03AC, but another scalar, and not its other case.
    #expect(try !PythonPattern("(?i)\u{3AC}").matches("\u{1F71}"))
  }

  @Test("A long string overflows no stack")
  func long() throws {
    let string = String(repeating: "ab", count: 100_000)
    #expect(try PythonPattern("(?:ab)*").matches(string))
    #expect(try PythonPattern("(?:a|b)*").matches(string))
    #expect(try !PythonPattern(".*c").matches(string))
  }
}

@Suite struct PatternListTests {
  @Test("The first key that peft finds is found")
  func answers() throws {
    for row in Answers.python.keys {
      let list = try PatternList(row.keys)
      for (path, first) in zip(row.paths, row.first) {
        #expect(try (list.firstIndex(matching: path) ?? -1) == first, "\(row.keys) on \(path)")
      }
    }
  }

  @Test("Found through the tree or tried one by one, the keys are the same")
  func law() throws {
    for row in Answers.python.keys {
      let list = try PatternList(row.keys)
      let patterns = try row.keys.map { try PythonPattern("(.*\\.)?(\($0))$") }
      for path in row.paths {
        let slow = try patterns.indices.filter { try patterns[$0].matchesPrefix(path) }
        #expect(try list.indices(matching: path) == slow, "\(row.keys) on \(path)")
      }
    }
  }

  @Test("A dot in a key stands for every character, and the first of several keys counts")
  func dots() throws {
    let list = try PatternList(["0.q", "layers.0.q", #"layers\.1\.q"#, "^v", "v", ""])
    #expect(try list.firstIndex(matching: "model.layers.0.q") == 0)
    #expect(try list.firstIndex(matching: "model.layersx0xq") == 1)
    #expect(try list.firstIndex(matching: "layers.1.q") == 2)
    #expect(try list.firstIndex(matching: "layers.1xq") == nil)
    #expect(try list.firstIndex(matching: "v") == 3)
    #expect(try list.firstIndex(matching: "a.v") == 4)
    #expect(try list.indices(matching: "v") == [3, 4])
    #expect(try list.firstIndex(matching: "a.") == 5)
    #expect(try list.firstIndex(matching: "v\n") == 3)
  }

  @Test("An error is about the key")
  func errors() throws {
    let error = #expect(throws: PythonPatternError.self) { try PatternList(["a", "q[", "b"]) }
    #expect(error?.pattern == "q[")
    #expect(error?.description == "unterminated character set at position 1")
    let complex = try PatternList([#"(?:a|aa)+(x?)(?:a|aa)+\3b?c?"#, "a"])
    let tooComplex = #expect(throws: PythonPatternError.self) {
      try complex.firstIndex(matching: String(repeating: "a", count: 200) + "d")
    }
    #expect(tooComplex?.kind == .tooComplex)
  }

  @Test("2,700 keys are looked up for 3,000 paths in well under a second")
  func speed() throws {
    let modules = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj"]
    let names = (0..<600).flatMap { layer in modules.map { "model.layers.\(layer).\($0)" } }
    let keys = Array(names.prefix(2700).reversed())
    let paths = names.map { "base_model.\($0)" }
    var found: [Int?] = []
    let time = try ContinuousClock().measure {
      let list = try PatternList(keys)
      found = try paths.map { try list.firstIndex(matching: $0) }
    }
    #expect(found == (0..<3000).map { $0 < 2700 ? 2699 - $0 : nil })
    #expect(time < .seconds(10), "\(time)")
  }
}
