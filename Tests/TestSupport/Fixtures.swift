// Temporary places to write to, random tensors, and how far two tensors are apart.

import Foundation
import LoRATensors

/// Runs a test with a directory of its own, removed afterwards.
public func withTemporaryDirectory<Result>(_ body: (URL) throws -> Result) throws -> Result {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent("checkpoints-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: url) }
  return try body(url)
}

/// The largest difference between two tensors, over the largest value.
public func relativeDifference(_ a: Tensor, _ b: Tensor) -> Float {
  guard a.shape == b.shape else { return .infinity }
  let largest = b.scalars.map(abs).max() ?? 0
  let difference = zip(a.scalars, b.scalars).map { abs($0 - $1) }.max() ?? 0
  return difference.isNaN ? .infinity : largest > 0 ? difference / largest : difference
}

/// The largest difference between a tensor's numbers and others, in their order.
public func largestDifference(_ a: Tensor, _ b: [Float]) -> Float {
  a.count == b.count ? zip(a.scalars, b).map { abs($0 - $1) }.max() ?? 0 : .infinity
}

/// Random numbers of both signs.
public func randomTensor(_ shape: [Int], seed: UInt64) -> Tensor {
  var generator = SeededGenerator(seed: seed)
  return Tensor(shape: shape) { buffer in
    for i in buffer.indices { buffer[i] = Float.random(in: -1...1, using: &generator) }
  }
}

/// A safetensors file from a header's text and a number of data bytes.
public func safetensorsFile(header: String, data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
  let text = Array(header.utf8)
  return withUnsafeBytes(of: (length ?? UInt64(text.count)).littleEndian) { Array($0) } + text + data
}
