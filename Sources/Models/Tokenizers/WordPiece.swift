/// WordPiece (Schuster and Nakajima 2012; Devlin et al. 2018): the longest token that begins the word, then the
/// longest that continues it, and so on; the whole word is unknown where nothing fits.
struct WordPiece: TokenModel {
  let table: TokenTable
  let unknown: Int32
  let continuingPrefix: [UInt8]
  let longestWord: Int  // scalars

  var usesWords: Bool { true }

  func encode(_ word: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) {
    if word.count > longestWord, word.count(where: { $0 & 0xC0 != 0x80 }) > longestWord {
      ids.append(unknown)
      return
    }
    let first = ids.count
    // The word with the prefix before it, so that a continuation is a slice: "##" + "…word"
    // moves along by overwriting what was consumed.
    var text = continuingPrefix + word
    var start = continuingPrefix.count
    while start < text.count {
      let isContinuation = start > continuingPrefix.count
      if isContinuation { text.replaceSubrange((start - continuingPrefix.count)..<start, with: continuingPrefix) }
      let from = isContinuation ? start - continuingPrefix.count : start
      var end = text.count
      let found: Int32? = text.withUnsafeBufferPointer { bytes in
        while end > start {
          if let id = table.id(of: UnsafeBufferPointer(rebasing: bytes[from..<end])) { return id }
          repeat { end -= 1 } while end > start && bytes[end] & 0xC0 == 0x80
        }
        return nil
      }
      guard let found else {
        ids.removeSubrange(first...)
        ids.append(unknown)
        return
      }
      ids.append(found)
      start = end
    }
  }
}
