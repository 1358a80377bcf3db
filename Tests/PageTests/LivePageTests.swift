import Foundation
import LoRADatasets
import LoRAModels
import LoRAPage
import LoRATensors
import Testing

@Suite struct LivePageTests {
  @Test("The page is one file under a megabyte that loads nothing, and holds base, images and engine")
  func file() throws {
    let digits = try MNIST.sample()
    var generator = SeededGenerator(seed: 1)
    let base = DigitClassifier(hidden: (64, 32), using: &generator)
    let train = digits.train.selecting(stride(from: 0, to: digits.train.count, by: 5))
    let html = LivePage(base: base, train: train, test: digits.test, digit: 9, seed: 7).html
    #expect(html.utf8.count < 1_000_000)
    #expect(!html.contains("/* payload */") && !html.contains("/* script */") && !html.contains("/* style */"))
    for source in [#"src=""#, "url(", "@import", "fetch(", "XMLHttpRequest", "https://"] {
      #expect(!html.contains(source), "\(source)")
    }
    let payload = try #require(html.firstMatch(of: /id="payload"[^>]*>([^<]*)</)).1
    let packed = try #require(Data(base64Encoded: String(payload)))
    // zlib's head, and Adler's sum at the end.
    #expect(packed[0] == 0x78 && packed.count > 300_000)
    #expect(html.contains(#""sizes": [784, 64, 32, 10], "train": 800, "test": 1000"#))
  }
}
