// Texts whose rows end otherwise than lines do, written once so that they do.

import Foundation
import LoRAFiles
import LoRATensors

extension TextContent {
  /// With line feeds, where lines end with carriage returns alone as old Macs had it; else as it is.
  func withLineFeeds() throws -> TextContent {
    let beginning = try read(0..<min(count, 1 << 16))
    guard beginning.contains(carriageReturn), !beginning.contains(lineFeed) else { return self }
    let copy = ScratchBytes()
    for offset in stride(from: 0, to: count, by: 1 << 20) {
      let block = try read(offset..<min(count, offset + 1 << 20))
      guard !block.contains(lineFeed) else { return self }
      try copy.append(block.map { $0 == carriageReturn ? lineFeed : $0 })
    }
    return TextContent(copy, of: file)
  }

  /// The elements of a JSON array, one a line.
  func elementLines() throws -> TextContent {
    let copy = ScratchBytes()
    try JSONElements(self).forEachElement { element, _ in try copy.append(Array((element.compact + "\n").utf8)) }
    return TextContent(copy, of: file, rowName: "element")
  }
}

private let carriageReturn: UInt8 = 0x0D
private let lineFeed: UInt8 = 0x0A
