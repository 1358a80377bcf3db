// The picture that comes with the library.

import Foundation
import LoRADatasets

extension Picture {
  /// A picture to try things on, 512 × 384: three balls on a tiled floor before hills at dusk. It has what photographs
  /// have: smooth gradients of few singular values, edges of many, and fine texture.
  ///
  /// - Throws: `DatasetError` when the resource folder that belongs to the program was left behind.
  public static func sample() throws -> Picture {
    let folder = try MNIST.sampleDirectory(candidates: MNIST.sampleCandidates)
    return try Picture(contentsOf: Data(contentsOf: folder.appendingPathComponent("sample.jpg")))
  }
}
