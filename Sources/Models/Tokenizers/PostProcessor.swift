import LoRAFiles
import LoRAFormats

/// The fourth stage of a tokenizer: special tokens around one text or a pair of texts.
package struct PostProcessor: Sendable {
  /// One place of a template, with the segment (token type) that it belongs to.
  enum Item: Sendable {
    case token(Int32, segment: Int32)
    case first(segment: Int32)
    case second(segment: Int32)
  }

  let single: [Item]
  let pair: [Item]

  /// Nothing is added.
  static let none = PostProcessor(
    single: [.first(segment: 0)], pair: [.first(segment: 0), .second(segment: 1)])

  init(single: [Item], pair: [Item]) {
    self.single = single
    self.pair = pair
  }

  package init(_ component: TokenizerComponent) throws {
    switch component.type {
    case "ByteLevel": self = .none  // concerns offsets alone
    case "Sequence":
      let parts = try component.components("processors").filter { $0.type != "ByteLevel" }
      guard parts.count <= 1 else { throw parts[1].error("is a second template", expected: "one") }
      self = try parts.first.map(PostProcessor.init) ?? .none
    case "BertProcessing", "RobertaProcessing":
      let (cls, sep) = (try PostProcessor.named(component, "cls"), try PostProcessor.named(component, "sep"))
      let isBERT = component.type == "BertProcessing"
      let second: Int32 = isBERT ? 1 : 0
      self.single = [.token(cls, segment: 0), .first(segment: 0), .token(sep, segment: 0)]
      self.pair =
        self.single + (isBERT ? [] : [.token(sep, segment: 0)])
        + [.second(segment: second), .token(sep, segment: second)]
    case "TemplateProcessing":
      let special = try component.object("special_tokens")
      self.single = try PostProcessor.template(component, "single", special)
      self.pair = try PostProcessor.template(component, "pair", special)
    default: throw component.unsupported
    }
  }

  private static func id(_ number: Int) -> Int32? { (0..<TokenTable.mostIDs).contains(number) ? Int32(number) : nil }

  private static func named(_ component: TokenizerComponent, _ name: String) throws -> Int32 {
    let pair = try component.list(name)
    guard pair.count == 2, let id = pair[1].integer.flatMap(Self.id) else {
      throw component.error("“\(name)” is no such pair", expected: "a token and its id")
    }
    return id
  }

  private static func template(_ component: TokenizerComponent, _ name: String, _ special: JSON) throws -> [Item] {
    var texts: Set<String> = []
    return try component.list(name).flatMap { element -> [Item] in
      guard let (kind, value) = element.members.first.map({ ($0.key, $0.value) }), let id = value["id"]?.string,
        let segment = value["type_id"]?.integer.flatMap(Self.id)
      else { throw component.error("“\(name)” holds \(element.shown)", expected: "a Sequence or a SpecialToken") }
      guard kind != "Sequence" || texts.insert(id).inserted else {
        throw component.error("“\(name)” names the sequence “\(id)” more than once", expected: "once")
      }
      switch (kind, id) {
      case ("Sequence", "A"): return [.first(segment: segment)]
      case ("Sequence", "B"): return [.second(segment: segment)]
      case ("SpecialToken", _):
        let ids = special[id]?["ids"]?.array?.map { $0.integer.flatMap(Self.id) }
        guard let ids, !ids.contains(nil) else {
          throw component.error(
            "“special_tokens” lacks the ids of “\(id)”, which “\(name)” names, or has some that are no ids",
            expected: "integers from 0 on")
        }
        return ids.map { .token($0!, segment: segment) }
      default: throw component.error("“\(name)” names the sequence “\(id)”", expected: "A or B")
      }
    }
  }

  /// How many tokens are added to one text, or to a pair.
  func addedCount(isPair: Bool) -> Int {
    (isPair ? pair : single).count { if case .token = $0 { true } else { false } }
  }

  /// The ids with their special tokens, and the segment of each.
  func apply(_ first: [Int32], _ second: [Int32]?) -> (ids: [Int32], segments: [Int32]) {
    var ids: [Int32] = []
    var segments: [Int32] = []
    ids.reserveCapacity(first.count + (second?.count ?? 0) + 4)
    for item in second == nil ? single : pair {
      switch item {
      case .token(let id, let segment):
        ids.append(id)
        segments.append(segment)
      case .first(let segment):
        ids += first
        segments += Array(repeating: segment, count: first.count)
      case .second(let segment):
        ids += second ?? []
        segments += Array(repeating: segment, count: second?.count ?? 0)
      }
    }
    return (ids, segments)
  }
}
