// Paths of modules: parts with dots between them, such as "encoder.layer.0.attention".

/// A path's part after its last dot.
package func lastComponent(_ path: String) -> String {
  path.lastIndex(of: ".").map { String(path[path.index(after: $0)...]) } ?? path
}

/// Whether a path comes first in natural order: layer 2 before layer 10.
package func isOrdered(_ a: String, _ b: String) -> Bool {
  let left = a.split(separator: ".", omittingEmptySubsequences: false)
  let right = b.split(separator: ".", omittingEmptySubsequences: false)
  for (x, y) in zip(left, right) where !x.utf8.elementsEqual(y.utf8) {
    if let i = Int(x), let j = Int(y), i != j { return i < j }
    return x.utf8.lexicographicallyPrecedes(y.utf8)
  }
  return left.count < right.count
}
