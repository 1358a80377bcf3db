/// Word level: a word is a token, or unknown.
struct WordLevel: TokenModel {
  let table: TokenTable
  let unknown: Int32?
  var usesWords: Bool { false }

  func encode(_ word: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) {
    if let id = table.id(of: word) ?? unknown { ids.append(id) }
  }
}
