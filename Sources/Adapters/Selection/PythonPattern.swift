// TEMPORARY shim
import Foundation

public struct PythonPatternError: Error, CustomStringConvertible { public let description: String }
public struct PythonPattern: @unchecked Sendable, Equatable {
  private let expression: NSRegularExpression
  public let text: String
  public init(_ text: String) throws(PythonPatternError) {
    self.text = text
    let translated = text.replacingOccurrences(of: "(?P<", with: "(?<").replacingOccurrences(of: "\\Z", with: "\\z")
    do { expression = try NSRegularExpression(pattern: "\\A(?:\(translated))\\z") } catch {
      throw PythonPatternError(description: "bad")
    }
  }
  public func matches(_ string: String) -> Bool { firstMatch(string) != nil }
  public func group(_ name: String, in string: String) -> String? {
    guard let match = firstMatch(string), let range = Range(match.range(withName: name), in: string) else { return nil }
    return String(string[range])
  }
  private func firstMatch(_ string: String) -> NSTextCheckingResult? {
    expression.firstMatch(in: string, range: NSRange(string.startIndex..., in: string))
  }
}
