// Where a zip archive's entries lie: as much of the format as torch.save uses, which compresses nothing.
//
// The directory at the end of the file says where each entry begins; 64-bit sizes are read too.
// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT

/// The entries of a zip archive that lie in it as they are.
struct ZipArchive {
  struct Entry {
    let name: String
    let isCompressed: Bool
    /// Its bytes in the archive.
    let range: Range<Int>
  }

  let entries: [Entry]

  /// - Parameter path: of the file, for messages.
  /// - Throws: ``CheckpointError`` where the directory does not describe this file.
  init(_ bytes: UnsafeRawBufferPointer, path: String) throws {
    let reader = LittleEndianReader(bytes: bytes)
    func broken(_ reason: String) -> CheckpointError {
      CheckpointError(.malformed, file: path, reason, expected: "a whole zip archive", advice: .fetchAgain)
    }
    // The end record is followed by a comment of at most 65,535 bytes.
    let endSize = 22
    let earliest = max(0, bytes.count - endSize - 0xFFFF)
    guard bytes.count >= endSize,
      let end = stride(from: bytes.count - endSize, through: earliest, by: -1).first(where: {
        reader.integer(at: $0, bytes: 4) == 0x0605_4B50
      })
    else { throw broken("it has no directory; it was not fetched, or not written, to its end") }
    var count = reader.integer(at: end + 10, bytes: 2) ?? 0
    var start = reader.integer(at: end + 16, bytes: 4) ?? 0
    if count == 0xFFFF || start == 0xFFFF_FFFF {
      guard let wide = reader.integer(at: end - 20 + 8, bytes: 8), reader.integer(at: wide, bytes: 4) == 0x0606_4B50,
        let wideCount = reader.integer(at: wide + 32, bytes: 8), let wideStart = reader.integer(at: wide + 48, bytes: 8)
      else { throw broken("its 64-bit directory is missing") }
      (count, start) = (wideCount, wideStart)
    }
    guard count <= bytes.count / 46 else { throw broken("its directory lists more entries than fit in it") }
    var entries: [Entry] = []
    var offset = start
    for _ in 0..<count {
      guard reader.integer(at: offset, bytes: 4) == 0x0201_4B50,
        let method = reader.integer(at: offset + 10, bytes: 2), var stored = reader.integer(at: offset + 20, bytes: 4),
        let plain = reader.integer(at: offset + 24, bytes: 4),
        let nameLength = reader.integer(at: offset + 28, bytes: 2),
        let extraLength = reader.integer(at: offset + 30, bytes: 2),
        let commentLength = reader.integer(at: offset + 32, bytes: 2),
        var header = reader.integer(at: offset + 42, bytes: 4),
        let name = reader.slice(at: offset + 46, count: nameLength)
      else { throw broken("its directory ends too early") }
      // Field 1 holds, in this order, those of the sizes and the offset that 32 bits can't.
      var extra = offset + 46 + nameLength
      let extraEnd = extra + extraLength
      while extra + 4 <= extraEnd, let tag = reader.integer(at: extra, bytes: 2),
        let length = reader.integer(at: extra + 2, bytes: 2)
      {
        if tag == 1 {
          var place = extra + 4
          if plain == 0xFFFF_FFFF { place += 8 }
          if stored == 0xFFFF_FFFF {
            stored = reader.integer(at: place, bytes: 8) ?? -1
            place += 8
          }
          if header == 0xFFFF_FFFF { header = reader.integer(at: place, bytes: 8) ?? -1 }
        }
        extra += 4 + length
      }
      // The entry's own header repeats the name, with other extra fields.
      guard reader.integer(at: header, bytes: 4) == 0x0403_4B50,
        let ownName = reader.integer(at: header + 26, bytes: 2),
        let ownExtra = reader.integer(at: header + 28, bytes: 2),
        reader.slice(at: header + 30 + ownName + ownExtra, count: stored) != nil
      else { throw broken("an entry does not lie where its directory says") }
      let first = header + 30 + ownName + ownExtra
      let text = String(decoding: name, as: UTF8.self)
      guard text.isStreamSafe else { throw broken("a name has more than 30 combining marks in a row") }
      entries.append(
        Entry(
          name: text, isCompressed: method != 0, range: first..<first + stored))
      offset += 46 + nameLength + extraLength + commentLength
    }
    self.entries = entries
  }
}

/// Whole numbers in bytes, least significant byte first.
struct LittleEndianReader {
  let bytes: UnsafeRawBufferPointer

  /// nil where the file ends before, or the number is beyond `Int`.
  func integer(at offset: Int, bytes count: Int) -> Int? {
    guard let slice = slice(at: offset, count: count) else { return nil }
    let value = slice.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return Int(exactly: value)
  }

  func slice(at offset: Int, count: Int) -> UnsafeRawBufferPointer? {
    guard offset >= 0, count >= 0, offset <= bytes.count, count <= bytes.count - offset else { return nil }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
  }
}
