import Foundation
import LoRAKit

@main struct SVDBench {
  static func main() throws {
    let clock = ContinuousClock()
    var p: Picture?
    print(clock.measure { p = Picture.sample() })
    try p!.png.write(to: URL(fileURLWithPath: "/tmp/la/sample.png"))
    for m in p!.matrices { let s = try m.spectrum(); print(s.relativeError(atRank: 5), s.relativeError(atRank: 20), s.relativeError(atRank: 50), s.rank(.energy(0.99))) }
  }
}
