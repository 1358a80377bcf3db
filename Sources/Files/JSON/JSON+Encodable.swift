// JSON as an Encodable value, for encoders of Foundation.

extension JSON: Encodable {
  private struct MemberKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  public func encode(to encoder: any Encoder) throws {
    switch self {
    case .null: try one(encoder) { try $0.encodeNil() }
    case .bool(let value): try one(encoder) { try $0.encode(value) }
    case .integer(let value): try one(encoder) { try $0.encode(value) }
    // The standard has no NaN and no infinity.
    case .number(let value): try one(encoder) { try value.isFinite ? $0.encode(value) : $0.encodeNil() }
    case .string(let value): try one(encoder) { try $0.encode(value) }
    case .array(let values):
      var container = encoder.unkeyedContainer()
      for value in values { try container.encode(value) }
    case .object(let members):
      var container = encoder.container(keyedBy: MemberKey.self)
      for member in members { try container.encode(member.value, forKey: MemberKey(stringValue: member.key)) }
    }
  }

  private func one(_ encoder: any Encoder, _ body: (inout any SingleValueEncodingContainer) throws -> Void) throws {
    var container = encoder.singleValueContainer()
    try body(&container)
  }
}
