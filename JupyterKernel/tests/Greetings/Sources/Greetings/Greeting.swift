import CGreetings

/// A picture, as the standard library alone lets a type offer it.
public struct Greeting: CustomPlaygroundDisplayConvertible {
  public let name: String

  public init(_ name: String) {
    precondition(!name.isEmpty, "a greeting needs a name")
    self.name = name
  }

  /// The greeting, said some times.
  @inline(never)
  public func said(times: Int) -> String {
    precondition(times > 0, "a greeting is said at least once")
    return Array(repeating: "hello \(name)", count: times).joined(separator: ", ")
  }

  /// Says the greeting to itself without end.
  @inline(never)
  public func murmur() {
    var said = 0
    while said >= 0 { said = (said &+ name.count) & 0xFFFF }
  }

  public var length: Int { Int(length_of_greeting(Int32(name.count))) }

  public var playgroundDescription: Any { ["image/svg+xml": "<svg>\(name)</svg>"] }
}

extension Int {
  /// Not for those who import this module.
  func thrice() -> Int { self * 3 }
}
