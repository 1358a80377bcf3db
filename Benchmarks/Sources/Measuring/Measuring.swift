// What the programs share: clocks, medians, checks, options, and peers that run as processes of their own.
//
//     let time = median((0..<5).map { _ in seconds { product = a.matmul(b) } })
//     check((product - expected).norm < 1e-4, "the product is wrong")
import Foundation

/// Whether each program does the least that still runs all of it: with `SHORTEST` in the environment. The times are
/// worth nothing then; the checks are.
public let isShortest = ProcessInfo.processInfo.environment["SHORTEST"] != nil

/// What follows `name` on the command line.
public func option(_ name: String) -> String? {
  let arguments = CommandLine.arguments
  return arguments.firstIndex(of: name).flatMap { $0 + 1 < arguments.count ? arguments[$0 + 1] : nil }
}

/// Whether a part of this name is to run: all are, unless `--only` gives text that its name contains.
public func isWanted(_ name: String) -> Bool { option("--only").map(name.contains) ?? true }

public func seconds(_ body: () throws -> Void) rethrows -> Double {
  try ContinuousClock().measure(body) / .seconds(1)
}

public func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

/// The text with spaces after it up to the width.
public func padded(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(0, width - text.count))
}

/// Ends the program where a result is wrong: no time counts then.
public func check(_ isRight: Bool, _ complaint: @autoclosure () -> String) {
  if !isRight {
    print("Wrong: \(complaint())")
    exit(1)
  }
}

// MARK: Other programs

private let benchmarks = URL(fileURLWithPath: #filePath).appendingPathComponent("../../..").standardized

/// The folder of the whole package.
public let repository = benchmarks.deletingLastPathComponent()

/// What a program prints to its standard output; it is looked for on the PATH. Ends this one where it fails.
@discardableResult
public func output(of program: String, _ arguments: [String], threads: Int? = nil) throws -> Data {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = [program] + arguments
  // Peers choose their own kernels.
  process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("OPENBLAS_") }
  if let threads { process.environment?["THREADS"] = "\(threads)" }
  let pipe = Pipe()
  process.standardOutput = pipe
  try process.run()
  let output = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  check(process.terminationStatus == 0, "\(program) \(arguments.joined(separator: " ")) failed")
  return output
}

/// The JSON that a Python program of this folder prints.
public func answer<Answer: Decodable>(
  of script: String, by python: String, _ arguments: [String], threads: Int? = nil
) throws -> Answer {
  let path = benchmarks.appendingPathComponent(script).path
  return try JSONDecoder().decode(Answer.self, from: output(of: python, [path] + arguments, threads: threads))
}
