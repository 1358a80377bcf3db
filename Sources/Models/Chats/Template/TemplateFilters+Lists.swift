// The filters that take or give lists.

extension TemplateInterpreter {
  mutating func lists(
    _ name: String, _ value: TemplateValue, _ given: TemplateValues, _ line: Int
  ) throws -> TemplateValue {
    switch name {
    case "items":
      switch value {
      case .undefined: return .list([])
      case .dictionary(let dictionary): return .list(dictionary.members.map { .tuple([$0.key, $0.value]) })
      default: throw error("'items' of \(value.typeName)", expected: "a dictionary", line)
      }
    case "reverse":
      if case .string(let text) = value { return .string(String(text.unicodeScalars.reversed())) }
      return .list(try elements(of: value, line).reversed())
    case "first": return try elements(of: value, line).first ?? .undefined("the first of nothing")
    case "last": return try elements(of: value, line).last ?? .undefined("the last of nothing")
    case "list": return try bounded(.list(try elements(of: value, line)), line)
    case "map": return try bounded(.list(try mapped(value, given, line)), line)
    case "select", "reject", "selectattr", "rejectattr":
      return try bounded(.list(try selected(name, value, given, line)), line)
    case "sort":
      let attribute = given[2, "attribute"]
      let names = attribute.map { $0.text.split(separator: ",").map { TemplateValue.string(String($0)) } } ?? []
      let isReversed = given[0, "reverse"]?.isTrue ?? false
      return .list(
        try sorted(try elements(of: value, line), reversed: isReversed, line) { interpreter, element in
          let keys = names.isEmpty ? [element] : try names.map { try interpreter.path($0, of: element, line) }
          return .tuple(keys.map { TemplateInterpreter.caseless($0, given[1, "case_sensitive"]) })
        })
    case "dictsort":
      guard case .dictionary(let dictionary) = value else {
        throw error("'dictsort' of \(value.typeName)", expected: "a dictionary", line)
      }
      let place = given[1, "by"]?.text == "value" ? 1 : 0
      let pairs = dictionary.members.map { TemplateValue.tuple([$0.key, $0.value]) }
      return .list(
        try sorted(pairs, reversed: given[2, "reverse"]?.isTrue ?? false, line) { _, pair in
          TemplateInterpreter.caseless(pair.elements![place], given[0, "case_sensitive"])
        })
    case "unique":
      var (kept, keys): ([TemplateValue], [TemplateValue]) = ([], [])
      for element in try elements(of: value, line) {
        let key = TemplateInterpreter.caseless(
          try given[1, "attribute"].map { try path($0, of: element, line) } ?? element, given[0, "case_sensitive"])
        try spend(line, bytes: 16 * keys.count)
        guard !keys.contains(where: { $0.equals(key) }) else { continue }
        keys.append(key)
        kept.append(element)
      }
      return .list(kept)
    case "groupby":
      guard let attribute = given[0, "attribute"] else {
        throw error("'groupby' without an attribute", expected: "one to group by", line)
      }
      var groups: [(key: TemplateValue, values: [TemplateValue])] = []
      let ordered = try sorted(try elements(of: value, line), reversed: false, line) { interpreter, element in
        TemplateInterpreter.caseless(try interpreter.path(attribute, of: element, line), given[2, "case_sensitive"])
      }
      for element in ordered {
        let key = try path(attribute, of: element, line)
        if let last = groups.indices.last, groups[last].key.equals(key) {
          groups[last].values.append(element)
        } else {
          groups.append((key, [element]))
        }
      }
      return .list(groups.map { .tuple([$0.key, .list($0.values)]) })
    case "batch", "slice":
      guard let count = given[0, name == "batch" ? "linecount" : "slices"]?.integer, count > 0 else {
        throw error("'\(name)' without a number above 0", expected: "how many go together", line)
      }
      return try bounded(
        .list(try parts(name, try elements(of: value, line), count, given[1, "fill_with"], line)), line)
    default:
      throw error("the filter '\(name)' is not supported", expected: "one of Jinja's that chat templates use", line)
    }
  }

  private mutating func parts(
    _ name: String, _ values: [TemplateValue], _ count: Int, _ fill: TemplateValue?, _ line: Int
  ) throws -> [TemplateValue] {
    try spend(line, bytes: 16 * (name == "slice" || fill != nil ? count : 0))
    if name == "batch" {
      return stride(from: 0, to: values.count, by: count).map { start in
        var part = Array(values[start..<min(values.count, start + min(count, values.count))])
        if let fill { part += Array(repeating: fill, count: count - part.count) }
        return .list(part)
      }
    }
    let (size, longer) = values.count.quotientAndRemainder(dividingBy: count)
    var start = 0
    return (0..<count).map { index in
      let end = start + size + (index < longer ? 1 : 0)
      defer { start = end }
      let part = Array(values[start..<end])
      return .list(part + (index >= longer && longer > 0 ? [fill].compactMap { $0 } : []))
    }
  }

  /// In the order of their keys, those that are equal as they come.
  private mutating func sorted(
    _ values: [TemplateValue], reversed: Bool, _ line: Int,
    by key: (inout TemplateInterpreter, TemplateValue) throws -> TemplateValue
  ) throws -> [TemplateValue] {
    var keyed: [(key: TemplateValue, value: TemplateValue)] = []
    for value in values { keyed.append((try key(&self, value), value)) }
    try spend(line, bytes: 64 * values.count)
    let problem = error("'sort' can't compare its values", expected: "values of one kind", line)
    try keyed.sort { a, b in
      guard let isLess = reversed ? b.key.isLess(than: a.key) : a.key.isLess(than: b.key) else { throw problem }
      return isLess
    }
    return keyed.map(\.value)
  }

  private mutating func mapped(_ value: TemplateValue, _ given: TemplateValues, _ line: Int) throws -> [TemplateValue] {
    // What is empty, or None, has nothing to map.
    let elements = value.isTrue ? try elements(of: value, line) : []
    var result: [TemplateValue] = []
    if let attribute = given.named.first(where: { $0.name == "attribute" })?.value {
      let standard = given.named.first { $0.name == "default" }?.value
      for element in elements {
        let found = try path(attribute, of: element, line)
        result.append(found.isUndefined ? standard ?? found : found)
      }
      return result
    }
    guard let name = given.positional.first?.string else {
      throw error("'map' without a filter or an attribute", expected: "the name of one", line)
    }
    let rest = TemplateValues(positional: Array(given.positional.dropFirst()), named: given.named)
    for element in elements { result.append(try filter(name, element, rest, line)) }
    return result
  }

  private mutating func selected(
    _ name: String, _ value: TemplateValue, _ given: TemplateValues, _ line: Int
  ) throws -> [TemplateValue] {
    var rest = given.positional
    var attribute: TemplateValue?
    if name.hasSuffix("attr") {
      guard !rest.isEmpty else { throw error("'\(name)' without an attribute", expected: "the name of one", line) }
      attribute = rest.removeFirst()
    }
    let test = rest.isEmpty ? nil : rest.removeFirst().text
    let arguments = TemplateValues(positional: rest, named: given.named)
    var result: [TemplateValue] = []
    for element in value.isTrue ? try elements(of: value, line) : [] {
      let tested = try attribute.map { try path($0, of: element, line) } ?? element
      let holds = try test.map { try self.test($0, tested, arguments, line) } ?? tested.isTrue
      if holds == name.hasPrefix("select") { result.append(element) }
    }
    return result
  }
}
