// What is wrong with what was asked for, said in one way.

import ArgumentParser

/// Why an input will not do.
struct InputError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

/// Throws where an option's value is none that it can have: "--rank 0: a number of at least 1 is needed."
///
/// - Parameter wanted: what it can be, in words.
func check<Value>(
  _ option: String, _ value: Value?, _ wanted: String, _ isRight: (Value) -> Bool
) throws {
  if let value, !isRight(value) { throw ValidationError("--\(option) \(value): \(wanted) is needed.") }
}

/// Throws where a count is not at least `least`, or so large that arithmetic with it would overflow.
func check(_ option: String, _ value: Int?, atLeast least: Int) throws {
  try check(option, value, "a number of at least \(least)") { $0 >= least }
  try check(option, value, "a number up to 1,000,000,000") { $0 <= 1_000_000_000 }
}

/// Throws where a number is not above zero, or no number.
func check<Number: BinaryFloatingPoint>(_ option: String, positive value: Number?) throws {
  try check(option, value, "a number above 0") { $0 > 0 && $0.isFinite }
}

/// Throws where a share is not above 0 and at most 1.
func check<Number: BinaryFloatingPoint>(_ option: String, share: Number?) throws {
  try check(option, share, "a share above 0 and up to 1") { $0 > 0 && $0 <= 1 }
}
