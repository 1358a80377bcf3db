// Which parts of a rendered conversation an assistant wrote.

import Foundation
import LoRADatasets
import LoRAFiles

/// What of a conversation is learnt.
public enum LearntTurns: String, Sendable, CaseIterable {
  /// Everything.
  case all
  /// What the assistant writes, with the token that ends its turn.
  case assistant
  /// What it writes last.
  case last
}

extension ChatTemplate {
  /// A conversation as it is written, and the parts of it that are learnt, in bytes of UTF-8.
  ///
  /// Templates that mark what the assistant wrote (`{% generation %}`) say it themselves. For others the conversation is
  /// rendered up to each turn, with the opening of the turn, and up to its end. Where one of these is no beginning of the
  /// whole (some templates write an earlier turn differently: without what was thought, say), the turn is found by
  /// rendering the conversation with other words in its place.
  ///
  /// - Parameters:
  ///   - chat: the conversation.
  ///   - turns: what is to be learnt.
  ///   - endings: the texts of special tokens, of which one may end a turn.
  /// - Throws: `ChatTemplateError` where the template refuses the conversation, or where a turn can't be told.
  public func learntParts(
    of chat: LanguageChat, _ turns: LearntTurns, endings: [String]
  ) throws -> (text: String, parts: [Range<Int>]) {
    let rendering = TurnRendering(template: self, chat: chat, endings: endings)
    let whole = try rendering.render(chat.messages)
    guard turns != .all else { return (whole.text, whole.text.isEmpty ? [] : [0..<whole.text.utf8.count]) }
    let all = chat.messages.indices.filter { chat.messages[$0]["role"]?.string == "assistant" }
    var wanted = all.filter { $0 >= chat.givenCount && LanguageChat.isLearnt(chat.messages[$0]) }
    if turns == .last { wanted = wanted.suffix(1) }
    if marksGenerations {
      guard whole.generations.count != all.count else {
        return (whole.text, zip(all, whole.generations).filter { wanted.contains($0.0) }.map(\.1))
      }
      guard all.allSatisfy({ LanguageChat.isLearnt(chat.messages[$0]) }) else {
        throw ChatTemplateError(
          template: origin, line: 0,
          "it can't be told which of \(whole.generations.count.counted("marked part")) is not learnt",
          expected: "as many as the \(all.count) turns of the assistant's",
          advice: "Leave the weights out, or take another template")
      }
      let given =
        chat.givenCount == 0 ? 0 : try rendering.render(Array(chat.messages[..<chat.givenCount])).text.utf8.count
      let later = whole.generations.filter { $0.lowerBound >= given }
      return (whole.text, turns == .last ? later.suffix(1) : later)
    }
    let bytes = Array(whole.text.utf8)
    return (whole.text, try wanted.map { rendering.ended(try rendering.part(of: $0, in: bytes), in: bytes) })
  }
}

/// The renderings that tell where turns lie.
private struct TurnRendering {
  let template: ChatTemplate
  let chat: LanguageChat
  let endings: [String]
  /// The same for all renderings.
  let date = Date()

  func render(_ messages: [JSON], opens: Bool = false) throws -> RenderedChat {
    try template.render(messages, tools: chat.tools, addsGenerationPrompt: opens, date: date)
  }

  /// How long a rendering of the first messages is, where the whole begins with it. Templates may refuse a part.
  private func length(_ messages: ArraySlice<JSON>, opens: Bool, in whole: [UInt8]) -> Int? {
    guard let part = try? render(Array(messages), opens: opens).text.utf8, whole.starts(with: part) else { return nil }
    return part.count
  }

  func part(of turn: Int, in whole: [UInt8]) throws -> Range<Int> {
    let messages = chat.messages
    let start = length(messages[..<turn], opens: true, in: whole)
    let end = turn == messages.count - 1 ? whole.count : length(messages[...turn], opens: false, in: whole)
    if let start, let end, start < end { return start..<end }
    guard let content = content(of: turn, in: whole) else {
      throw ChatTemplateError(
        template: template.origin, line: 0,
        "it can't be told which part of the text is the assistant's turn \(turn + 1)",
        expected: "a template that writes it alike alone and within the whole conversation",
        advice: "Learn all of it, or take a template with {% generation %}")
    }
    let first = start.map { min($0, content.lowerBound) } ?? content.lowerBound
    return
      first..<(end.flatMap { $0 >= content.upperBound ? $0 : nil } ?? endOfTurn(from: content.upperBound, in: whole))
  }

  /// Where a message's words stand: where the whole differs from one with another word in their place.
  private func content(of turn: Int, in whole: [UInt8]) -> Range<Int>? {
    guard let text = chat.messages[turn]["content"]?.string, !text.isEmpty else { return nil }
    // A character that the text does not have.
    let word = String((0xE000...0xF8FF).lazy.map { Unicode.Scalar($0)! }.first { !text.unicodeScalars.contains($0) }!)
    var messages = chat.messages
    messages[turn]["content"] = .string(word)
    guard let other = try? Array(render(messages).text.utf8) else { return nil }
    let most = min(whole.count, other.count)
    var before = zip(whole, other).prefix { $0 == $1 }.count
    var after = zip(whole.reversed(), other.reversed()).prefix(most - before).prefix { $0 == $1 }.count
    while before > 0, before < whole.count, whole[before] & 0xC0 == 0x80 { before -= 1 }
    while after > 0, whole[whole.count - after] & 0xC0 == 0x80 { after -= 1 }
    let range = before..<whole.count - after
    guard !range.isEmpty, text.contains(String(decoding: whole[range], as: UTF8.self)) else { return nil }
    return range
  }

  /// A part up to the special token that ends it: what a template writes behind that, a line end, is never asked of the
  /// model.
  func ended(_ part: Range<Int>, in whole: [UInt8]) -> Range<Int> {
    var end = part.upperBound
    while end > part.lowerBound, whole[end - 1] == 0x20 || whole[end - 1] == 0x0A { end -= 1 }
    let text = whole[part.lowerBound..<end]
    let isEnding = endings.contains { !$0.isEmpty && text.suffix($0.utf8.count).elementsEqual($0.utf8) }
    return part.lowerBound..<(isEnding ? end : part.upperBound)
  }

  /// What the template writes behind an assistant's last words.
  private var tail: [UInt8] {
    let word = "\u{E000}"
    let pair: [JSON] = [("user", "a"), ("assistant", word)].map { role, content in
      .object([.init("role", .string(role)), .init("content", .string(content))])
    }
    guard let text = try? render(pair).text, let place = text.range(of: word) else { return [] }
    return Array(text[place.upperBound...].utf8)
  }

  /// Behind the special token that follows, if one does, or behind what ends every answer.
  private func endOfTurn(from place: Int, in whole: [UInt8]) -> Int {
    var next = place
    while next < whole.count, whole[next] == 0x20 || whole[next] == 0x0A { next += 1 }
    let rest = whole[next...]
    let ending = endings.filter { !$0.isEmpty && rest.starts(with: $0.utf8) }.max { $0.utf8.count < $1.utf8.count }
    if let ending { return next + ending.utf8.count }
    let tail = tail
    return whole[place...].starts(with: tail) ? place + tail.count : place
  }
}

extension Tokenizer {
  /// The ids of a text without further special tokens, and which of them lie in parts of it, given in bytes of UTF-8: as
  /// transformers counts them, a token does that shares a byte with one.
  func ids(of text: String, parts: [Range<Int>]) -> (ids: [Int32], isInPart: [Bool]) {
    let bytes = Array(text.utf8)
    func encoded(_ range: Range<Int>) -> [Int32] {
      encode(String(decoding: bytes[range], as: UTF8.self), addingSpecialTokens: false).ids
    }
    let whole = encoded(0..<bytes.count)
    if let places = places(of: whole, in: bytes) {
      return (whole, places.map { place in parts.contains { $0.overlaps(place) } })
    }
    let cuts = Set([0, bytes.count] + parts.flatMap { [$0.lowerBound, $0.upperBound] }).sorted()
    let pieces = zip(cuts, cuts.dropFirst()).map { (range: $0..<$1, ids: encoded($0..<$1)) }
    func isPart(_ range: Range<Int>) -> Bool { parts.contains { $0.contains(range.lowerBound) } }
    if pieces.flatMap(\.ids) == whole {
      return (whole, pieces.flatMap { piece in Array(repeating: isPart(piece.range), count: piece.ids.count) })
    }
    // A cut changes the tokens beside it, which are not the text's own bytes: then a beginning of the text tells how many
    // tokens lie before the cut.
    var marks = Array(repeating: false, count: whole.count)
    for part in parts {
      let before = encoded(0..<part.lowerBound)
      let first = zip(before, whole).prefix { $0 == $1 }.count
      let through = encoded(0..<part.upperBound)
      let common = zip(through, whole).prefix { $0 == $1 }.count
      let last = min(whole.count, common == through.count ? common : common + 1)
      for index in first..<max(first, last) { marks[index] = true }
    }
    return (whole, marks)
  }

  /// Where each token stands in a text, where tokens are its bytes one after another; nil where they are not (spaces put
  /// before words, normalised characters).
  private func places(of ids: [Int32], in bytes: [UInt8]) -> [Range<Int>]? {
    guard let first = ids.first.flatMap(content) else { return nil }
    let opening = decoder.bytes(of: [first])
    var places: [Range<Int>] = []
    for (index, id) in ids.enumerated() {
      guard let content = content(of: id) else { return nil }
      // What a token is behind another one.
      let piece = index == 0 ? opening[...] : decoder.bytes(of: [first, content]).dropFirst(opening.count)
      let start = places.last?.upperBound ?? 0
      guard bytes[start...].starts(with: piece) else { return nil }
      places.append(start..<start + piece.count)
    }
    return places.last?.upperBound == bytes.count ? places : nil
  }

  /// The texts of the special tokens.
  var specialTexts: [String] {
    addedContent.filter { specialIDs.contains($0.key) }.map { String(decoding: $0.value, as: UTF8.self) }
  }
}
