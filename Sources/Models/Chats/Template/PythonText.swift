// The methods of Python's strings that templates call, by Unicode scalars as Python counts.

extension String {
  init(_ scalars: some Sequence<Unicode.Scalar>) {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    self.init(view)
  }

  /// `strip(characters)`, `lstrip`, `rstrip`; white space where none are given.
  func stripped(_ characters: String? = nil, left: Bool = true, right: Bool = true) -> String {
    let set = characters.map { Set($0.unicodeScalars) }
    func goes(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
    var rest = unicodeScalars[...]
    if left { rest = rest.drop(while: goes) }
    if right { while let last = rest.last, goes(last) { rest.removeLast() } }
    return String(rest)
  }

  /// Where a text occurs, as places among the scalars, none overlapping, from the left.
  func places(of text: String, most: Int = .max) -> [Range<Int>] {
    let (own, wanted) = (Array(unicodeScalars), Array(text.unicodeScalars))
    guard !wanted.isEmpty, own.count >= wanted.count else { return [] }
    var places: [Range<Int>] = []
    var place = 0
    while place + wanted.count <= own.count, places.count < most {
      if own[place] == wanted[0], own[place..<place + wanted.count].elementsEqual(wanted) {
        places.append(place..<place + wanted.count)
        place += wanted.count
      } else {
        place += 1
      }
    }
    return places
  }

  func containsExactly(_ text: String) -> Bool { text.isEmpty || !places(of: text, most: 1).isEmpty }

  /// `split(separator, most)`, from the left or the right.
  func pythonSplit(_ separator: String?, most: Int, fromRight: Bool) -> [String] {
    let own = Array(unicodeScalars)
    guard let separator else { return splitAtSpace(own, most, fromRight) }
    var places = places(of: separator)
    if fromRight {
      // From the right other occurrences may count where they overlap; separators that overlap themselves are not met.
      places = Array(places.suffix(most < 0 ? .max : most))
    } else if most >= 0 {
      places = Array(places.prefix(most))
    }
    var (parts, start): ([String], Int) = ([], 0)
    for place in places {
      parts.append(String(own[start..<place.lowerBound]))
      start = place.upperBound
    }
    return parts + [String(own[start...])]
  }

  private func splitAtSpace(_ own: [Unicode.Scalar], _ most: Int, _ fromRight: Bool) -> [String] {
    var words: [Range<Int>] = []
    var place = 0
    while place < own.count {
      guard !own[place].isPythonSpace else {
        place += 1
        continue
      }
      let start = place
      while place < own.count, !own[place].isPythonSpace { place += 1 }
      words.append(start..<place)
    }
    guard most >= 0, words.count > most + 1 || words.count > most && most == 0 else {
      return words.map { String(own[$0]) }
    }
    if fromRight {
      let kept = words.suffix(most)
      let rest = own[..<words[words.count - most - 1].upperBound]
      return [String(rest)] + kept.map { String(own[$0]) }
    }
    return words.prefix(most).map { String(own[$0]) } + [String(own[words[most].lowerBound...])]
  }

  /// `replace(text, other, most)`
  func pythonReplacing(_ text: String, with other: String, most: Int) -> String {
    let own = Array(unicodeScalars)
    if text.isEmpty {
      var result = String.UnicodeScalarView()
      for index in 0...own.count {
        if most < 0 || index < most { result.append(contentsOf: other.unicodeScalars) }
        if index < own.count { result.append(own[index]) }
      }
      return String(result)
    }
    var result = String.UnicodeScalarView()
    var start = 0
    for place in places(of: text, most: most < 0 ? .max : most) {
      result.append(contentsOf: own[start..<place.lowerBound])
      result.append(contentsOf: other.unicodeScalars)
      start = place.upperBound
    }
    result.append(contentsOf: own[start...])
    return String(result)
  }

  /// `splitlines(keepends)`
  func pythonLines(keepingEnds: Bool = false) -> [String] {
    var lines: [String] = []
    var line = String.UnicodeScalarView()
    let own = Array(unicodeScalars)
    var place = 0
    while place < own.count {
      let scalar = own[place]
      var length = 0
      switch scalar.value {
      case 0x0D: length = place + 1 < own.count && own[place + 1] == "\n" ? 2 : 1
      case 0x0A, 0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029: length = 1
      default: line.append(scalar)
      }
      if length > 0 {
        if keepingEnds { line.append(contentsOf: own[place..<place + length]) }
        lines.append(String(line))
        line = String.UnicodeScalarView()
      }
      place += max(length, 1)
    }
    if !line.isEmpty { lines.append(String(line)) }
    return lines
  }

  /// `capitalize()`
  var pythonCapitalized: String {
    guard let first = unicodeScalars.first else { return self }
    return first.properties.titlecaseMapping + String(unicodeScalars.dropFirst()).lowercased()
  }

  /// `title()`: each run of letters begins with a capital.
  var pythonTitle: String {
    var (result, inWord) = ("", false)
    for scalar in unicodeScalars {
      result += inWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
      inWord = scalar.properties.isCased
    }
    return result
  }

  /// Whether there is a scalar, and all are of a kind.
  func all(_ isOfKind: (Unicode.Scalar) -> Bool) -> Bool { !isEmpty && unicodeScalars.allSatisfy(isOfKind) }
}
