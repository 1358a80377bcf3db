// What a template calls: functions, macros and methods.

extension TemplateInterpreter {
  /// The functions that every template has.
  static let functions: Set<String> = ["range", "dict", "namespace", "raise_exception", "strftime_now"]
  /// Python's methods that change what they belong to.
  static let changes: Set<String> = [
    "append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "update", "setdefault", "popitem",
  ]

  mutating func call(
    _ function: TemplateExpression, _ arguments: TemplateArguments, in scope: TemplateScope, _ line: Int
  ) throws -> TemplateValue {
    let called = try value(of: function, in: scope)
    let given = try self.arguments(arguments, in: scope)
    switch called {
    case .function(let name): return try call(name, given, line)
    case .macro(let macro): return .string(try nested(line) { try $0.call(macro, given, line) })
    case .method(let value, let name): return try method(name, of: value, given, line)
    case .loop(let loop):
      guard let values = given[0, "iterable"] else {
        throw error("'loop' without what it goes through", expected: "a list", line)
      }
      return .string(try recurse(loop, over: try elements(of: values, line), line))
    case .undefined(let name):
      throw error("\(name) is not defined, and is called", expected: "a macro or a function", line)
    default: throw error("\(called.typeName) can't be called", expected: "a macro or a function", line)
    }
  }

  private mutating func call(_ name: String, _ given: TemplateValues, _ line: Int) throws -> TemplateValue {
    switch name {
    case "raise_exception":
      throw ChatTemplateError(
        line: line, "it refuses the conversation: \(given[0, "message"]?.text ?? "")",
        expected: "one that it can write",
        advice: "Change the conversation as it says")
    case "strftime_now":
      guard let format = given[0, "format"]?.string, let text = clock.text(format) else {
        throw error("strftime_now without a format that it can write", expected: "a format such as '%d %b %Y'", line)
      }
      return .string(text)
    case "namespace", "dict":
      var dictionary = TemplateDictionary([])
      switch given.positional.first {
      case .dictionary(let members)?: dictionary = members
      case let pairs?:
        for pair in try elements(of: pairs, line) {
          let pair = try elements(of: pair, line)
          guard pair.count == 2 else {
            throw error("\(name) of what is no pair", expected: "pairs of a key and a value", line)
          }
          dictionary = dictionary.merging([(pair[0], pair[1])])
        }
      case nil: break
      }
      dictionary = dictionary.merging(given.named.map { (.string($0.name), $0.value) })
      guard name == "namespace" else { return try bounded(.dictionary(dictionary), line) }
      var members: [String: TemplateValue] = [:]
      for (key, value) in dictionary.members {
        guard case .string(let name) = key, !name.hasPrefix("_") else {
          throw error("a namespace has a member \(key.representation)", expected: "names as members", line)
        }
        members[name] = value
      }
      return .namespace(TemplateNamespace(members))
    default:
      let bounds = given.positional.compactMap(\.integer)
      guard bounds.count == given.positional.count, (1...3).contains(bounds.count) else {
        throw error("range without integers", expected: "one to three", line)
      }
      let (start, stop) = bounds.count == 1 ? (0, bounds[0]) : (bounds[0], bounds[1])
      let step = bounds.count == 3 ? bounds[2] : 1
      guard step != 0 else { throw error("a range in steps of 0", expected: "another step", line) }
      // Jinja's sandbox has the same bound.
      let count = (Double(stop) - Double(start)) / Double(step)
      guard count <= 100_000 else {
        throw error("a range of more than 100,000 numbers", expected: "at most so many", line)
      }
      guard count > 0 else { return .list([]) }
      try spend(line, bytes: 16 * Int(count))
      return .list(stride(from: start, to: stop, by: step).map { .integer($0) })
    }
  }

  // MARK: Methods

  private static let textMethods: Set<String> = [
    "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "replace", "upper", "lower",
    "title", "capitalize", "swapcase", "casefold", "join", "find", "rfind", "index", "count", "format", "zfill",
    "ljust",
    "rjust", "center", "removeprefix", "removesuffix", "partition", "rpartition", "isdigit", "isdecimal", "isnumeric",
    "isalpha", "isalnum", "isspace", "isupper", "islower",
  ]

  static func methods(of value: TemplateValue) -> Set<String> {
    switch value {
    case .string: textMethods
    case .dictionary: ["items", "keys", "values", "get", "copy"]
    case .list(let list): list.isTuple ? ["index", "count"] : ["index", "count", "copy"]
    default: []
    }
  }

  private mutating func method(
    _ name: String, of value: TemplateValue, _ given: TemplateValues, _ line: Int
  ) throws -> TemplateValue {
    switch value {
    case .string(let text): return try method(name, of: text, given, line)
    case .dictionary(let dictionary):
      try spend(line, bytes: 16 * dictionary.members.count)
      switch name {
      case "items": return .list(dictionary.members.map { .tuple([$0.key, $0.value]) })
      case "keys": return .list(dictionary.members.map(\.key))
      case "values": return .list(dictionary.members.map(\.value))
      case "copy": return value
      default:
        guard let key = given[0, "key"] else { throw error("'get' without a key", expected: "one to look up", line) }
        return dictionary[key] ?? given[1, "default"] ?? .none
      }
    case .list(let list):
      guard name != "copy" else { return value }
      guard let wanted = given[0, "value"] else {
        throw error("'\(name)' without a value", expected: "one to look for", line)
      }
      if name == "count" { return .integer(list.values.count { $0.equals(wanted) }) }
      guard let place = list.values.firstIndex(where: { $0.equals(wanted) }) else {
        throw error("\(wanted.representation) is not in the list", expected: "one of its values", line)
      }
      return .integer(place)
    case .loop(let loop) where name == "cycle":
      guard !given.positional.isEmpty else {
        throw error("'loop.cycle' without values", expected: "at least one", line)
      }
      return given.positional[loop.index % given.positional.count]
    case .loop(let loop):
      let now = TemplateValue.tuple(given.positional)
      defer { loop.last = now }
      return .bool(loop.last.map { !$0.equals(now) } ?? true)
    default:
      throw error(
        "\(value.typeName) has no method '\(name)'", expected: "a method of Jinja's that chat templates use", line)
    }
  }

  private mutating func method(
    _ name: String, of text: String, _ given: TemplateValues, _ line: Int
  ) throws -> TemplateValue {
    try spend(line, bytes: text.utf8.count)
    /// A text argument; nil where there is none, or None.
    func argument(_ place: Int, _ name: String) throws -> String? {
      switch given[place, name] {
      case nil, .none?: return nil
      case .string(let text)?: return text
      case let other?: throw error("'\(name)' is \(other.typeName)", expected: "a text", line)
      }
    }
    func needed(_ place: Int) throws -> String {
      guard let text = try argument(place, "text") else {
        throw error("'\(name)' without a text", expected: "one", line)
      }
      return text
    }
    func number(_ place: Int, _ name: String, _ standard: Int) throws -> Int {
      guard let value = given[place, name] else { return standard }
      guard let number = value.integer else {
        throw error("'\(name)' is \(value.typeName)", expected: "an integer", line)
      }
      return number
    }
    switch name {
    case "strip": return .string(text.stripped(try argument(0, "chars")))
    case "lstrip": return .string(text.stripped(try argument(0, "chars"), right: false))
    case "rstrip": return .string(text.stripped(try argument(0, "chars"), left: false))
    case "split", "rsplit":
      let separator = try argument(0, "sep")
      if separator?.isEmpty == true { throw error("an empty separator", expected: "at least one character", line) }
      let parts = text.pythonSplit(separator, most: try number(1, "maxsplit", -1), fromRight: name == "rsplit")
      return try bounded(.list(parts.map { .string($0) }), line)
    case "splitlines":
      let keeps = given[0, "keepends"]?.isTrue ?? false
      return try bounded(.list(text.pythonLines(keepingEnds: keeps).map { .string($0) }), line)
    case "startswith", "endswith":
      var wanted: [TemplateValue] = []
      switch given[0, "prefix"] {
      case .list(let list)? where list.isTuple: wanted = list.values
      case .string(let text)?: wanted = [.string(text)]
      default: throw error("'\(name)' of neither a text nor a tuple of them", expected: "one of the two", line)
      }
      return .bool(
        wanted.contains { value in
          guard let part = value.string else { return false }
          return name == "startswith"
            ? text.utf8.starts(with: part.utf8) : text.utf8.reversed().starts(with: part.utf8.reversed())
        })
    case "replace":
      let (old, new) = (try needed(0), try needed(1))
      let count = try number(2, "count", -1)
      let most = text.utf8.count / max(1, old.utf8.count) + 1
      let (bytes, overflow) = most.multipliedReportingOverflow(by: new.utf8.count)
      // What it can become at most, before it is made.
      if overflow || bytes > 1 << 16 { try spend(line, bytes: overflow ? .max : bytes) }
      return .string(text.pythonReplacing(old, with: new, most: count))
    case "upper": return .string(text.uppercased())
    case "lower", "casefold": return .string(text.lowercased())
    case "title": return .string(text.pythonTitle)
    case "capitalize": return .string(text.pythonCapitalized)
    case "swapcase":
      return .string(
        text.unicodeScalars.reduce(into: "") {
          $0 += $1.properties.isUppercase ? $1.properties.lowercaseMapping : $1.properties.uppercaseMapping
        })
    case "join":
      guard let values = given[0, "iterable"] else {
        throw error("'join' without a list", expected: "the texts that are joined", line)
      }
      let parts = try elements(of: values, line).map { value in
        guard let part = value.string else { throw error("'join' meets \(value.typeName)", expected: "texts", line) }
        return part
      }
      let joined = parts.joined(separator: text)
      try spend(line, bytes: joined.utf8.count)
      return .string(joined)
    case "find", "rfind", "index", "count":
      let wanted = try needed(0)
      let places = text.places(of: wanted)
      if name == "count" { return .integer(wanted.isEmpty ? text.unicodeScalars.count + 1 : places.count) }
      let found = wanted.isEmpty ? 0 : name == "rfind" ? places.last?.lowerBound : places.first?.lowerBound
      if name == "index", found == nil {
        throw error("the text has no \(wanted.debugDescription)", expected: "a part of it", line)
      }
      return .integer(found ?? -1)
    case "format": return .string(try fields(of: text, given, line))
    case "zfill", "ljust", "rjust", "center":
      let width = try number(0, "width", 0)
      try spend(line, bytes: max(0, width))
      let fill = name == "zfill" ? "0" : try argument(1, "fillchar") ?? " "
      let missing = max(0, width - text.unicodeScalars.count)
      func pad(_ count: Int) -> String { String(repeating: fill, count: count) }
      switch name {
      case "ljust": return .string(text + pad(missing))
      case "center":
        // The odd one goes to the left where the width is odd.
        let left = missing / 2 + (missing & width & 1)
        return .string(pad(left) + text + pad(missing - left))
      case "zfill" where text.hasPrefix("-") || text.hasPrefix("+"):
        return .string(text.prefix(1) + pad(missing) + text.dropFirst())
      default: return .string(pad(missing) + text)
      }
    case "removeprefix":
      let part = try needed(0)
      return .string(
        text.utf8.starts(with: part.utf8) ? String(text.unicodeScalars.dropFirst(part.unicodeScalars.count)) : text)
    case "removesuffix":
      let part = try needed(0)
      let ends = !part.isEmpty && text.utf8.reversed().starts(with: part.utf8.reversed())
      return .string(ends ? String(text.unicodeScalars.dropLast(part.unicodeScalars.count)) : text)
    case "partition", "rpartition":
      let separator = try needed(0)
      let places = text.places(of: separator)
      guard let place = name == "partition" ? places.first : places.last else {
        let empty = TemplateValue.string("")
        return .tuple(name == "partition" ? [.string(text), empty, empty] : [empty, empty, .string(text)])
      }
      let scalars = Array(text.unicodeScalars)
      return .tuple([
        .string(String(scalars[..<place.lowerBound])), .string(separator),
        .string(String(scalars[place.upperBound...])),
      ])
    case "isdigit":
      return .bool(text.all { $0.properties.numericType == .decimal || $0.properties.numericType == .digit })
    case "isdecimal": return .bool(text.all { $0.properties.numericType == .decimal })
    case "isnumeric": return .bool(text.all { $0.properties.numericType != nil })
    case "isalpha": return .bool(text.all { CharacterClass.of($0.value).contains(.letter) })
    case "isalnum":
      return .bool(text.all { CharacterClass.of($0.value).contains(.letter) || $0.properties.numericType != nil })
    case "isspace": return .bool(text.all(\.isPythonSpace))
    case "isupper", "islower":
      let cased = text.unicodeScalars.filter(\.properties.isCased)
      return .bool(
        !cased.isEmpty && cased.allSatisfy { name == "isupper" ? $0.properties.isUppercase : $0.properties.isLowercase }
      )
    default:
      throw error(
        "the method '\(name)' of texts is not supported", expected: "one of Python's that chat templates use", line)
    }
  }
}
