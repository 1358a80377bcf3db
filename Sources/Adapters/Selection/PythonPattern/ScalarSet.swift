// Which Unicode scalars one place of a pattern accepts: a class such as `[^\d_]`, the dot, a letter in either case.

/// A set of Unicode scalars, with the ASCII ones in a table.
struct ScalarSet: Sendable, Equatable {
  enum Category: Sendable { case digit, space, word }

  enum Item: Sendable, Equatable {
    case range(ClosedRange<UInt32>)
    case category(Category, isNegated: Bool)
  }

  private let items: [Item]
  private let isNegated: Bool
  private let cases: LetterCase
  private let isASCII: Bool
  // Bit n says whether the scalar n, or 64 + n, is in the set.
  private var low: UInt64 = 0
  private var high: UInt64 = 0

  /// - Parameter isASCII: whether the categories hold ASCII only, as under the flag `a`.
  init(_ items: [Item], isNegated: Bool = false, cases: LetterCase = .distinct, isASCII: Bool = false) {
    self.items = items
    self.isNegated = isNegated
    self.cases = cases
    self.isASCII = isASCII
    for scalar: UInt32 in 0..<64 where isAccepted(scalar) { low |= 1 << UInt64(scalar) }
    for scalar: UInt32 in 64..<128 where isAccepted(scalar) { high |= 1 << UInt64(scalar - 64) }
  }

  /// What `.` accepts.
  static let allButNewline = ScalarSet([.range(10...10)], isNegated: true)
  /// What `.` accepts under the flag `s`.
  static let all = ScalarSet([], isNegated: true)

  func contains(_ scalar: UInt32) -> Bool {
    if scalar < 64 { return low >> UInt64(scalar) & 1 != 0 }
    if scalar < 128 { return high >> UInt64(scalar - 64) & 1 != 0 }
    return isAccepted(scalar)
  }

  private func isAccepted(_ scalar: UInt32) -> Bool {
    if cases == .distinct { return items.contains { accepts(scalar, by: $0) } != isNegated }
    let relatives = cases.relatives(of: scalar)
    return items.contains { item in relatives.contains { accepts($0, by: item) } } != isNegated
  }

  private func accepts(_ scalar: UInt32, by item: Item) -> Bool {
    switch item {
    case .range(let range): range.contains(scalar)
    case .category(let category, let isNegated): category.contains(scalar, isASCII: isASCII) != isNegated
    }
  }
}

extension ScalarSet.Category {
  /// Python's `str.isdecimal`, `isspace`, and `isalnum` or "_".
  func contains(_ scalar: UInt32, isASCII: Bool) -> Bool {
    if scalar < 128 {
      return switch self {
      case .digit: 48...57 ~= scalar
      // Python's str counts the four separators 0x1C to 0x1F as space, its ASCII categories don't.
      case .space: scalar == 32 || 9...13 ~= scalar || !isASCII && 28...31 ~= scalar
      case .word: 48...57 ~= scalar || 65...90 ~= scalar || 97...122 ~= scalar || scalar == 95
      }
    }
    guard !isASCII, let properties = Unicode.Scalar(scalar)?.properties else { return false }
    switch self {
    case .digit: return properties.numericType == .decimal
    case .space: return properties.isWhitespace
    case .word:
      switch properties.generalCategory {
      case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return true
      default: return properties.numericType != nil
      }
    }
  }
}

/// Which letters count as the same: the flag `i`, alone or with `a`.
enum LetterCase: Sendable {
  case distinct, sameInASCII, same

  /// A scalar and all that count as the same letter: those whose lower case is the same, or has the same upper case
  /// (as "s" and "ſ").
  func relatives(of scalar: UInt32) -> [UInt32] {
    switch self {
    case .distinct: return [scalar]
    case .sameInASCII: return scalar < 128 ? Self.asciiRelatives(of: scalar) : [scalar]
    case .same:
      guard scalar < 128 else { return Self.families[Self.family(of: scalar)] ?? [scalar] }
      // The three ASCII letters that have relatives beyond ASCII.
      let beyond: [UInt32] =
        switch scalar | 32 {
        case 0x69: [0x130, 0x131]
        case 0x6B: [0x212A]
        case 0x73: [0x17F]
        default: []
        }
      return Self.asciiRelatives(of: scalar) + beyond
    }
  }

  /// The lower case of a scalar, where it is one scalar.
  func lowercase(_ scalar: UInt32) -> UInt32 {
    switch self {
    case .distinct: return scalar
    case _ where scalar < 128: return 65...90 ~= scalar ? scalar + 32 : scalar
    case .sameInASCII: return scalar
    case .same: return Self.lowercase(scalar)
    }
  }

  private static func asciiRelatives(of scalar: UInt32) -> [UInt32] {
    97...122 ~= scalar | 32 ? [scalar & ~32, scalar | 32] : [scalar]
  }

  private static func lowercase(_ scalar: UInt32) -> UInt32 {
    // "İ" is the one letter whose full lower case has two scalars: an "i" and a dot above.
    Unicode.Scalar(scalar)?.properties.lowercaseMapping.unicodeScalars.first?.value ?? scalar
  }

  private static func family(of scalar: UInt32) -> [Unicode.Scalar] {
    Unicode.Scalar(lowercase(scalar)).map { Array($0.properties.uppercaseMapping.unicodeScalars) } ?? []
  }

  // By scalars, not by strings: those compare equal where only their decomposition is the same.
  private static let families: [[Unicode.Scalar]: [UInt32]] = {
    var families: [[Unicode.Scalar]: [UInt32]] = [:]
    // No letter above has cases.
    for scalar: UInt32 in 0..<0x1F000 where Unicode.Scalar(scalar)?.properties.changesWhenCaseMapped == true {
      families[family(of: scalar), default: []].append(scalar)
    }
    return families
  }()
}
