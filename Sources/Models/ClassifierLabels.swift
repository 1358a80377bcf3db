// The file beside an adapter's weights that says what its classifier's rows are: a list of the classes' names or, where
// they are no classes of which a text has one, an object with the names of transformers' configuration:
// {"problem_type": "regression", "id2label": {"0": "score"}, "label2id": {"score": 0}}.

import Foundation
import LoRADatasets
import LoRAFiles

/// What a classifier's logits are of.
public struct ClassifierLabels: Equatable, Sendable {
  /// The classes or labels, by their logit.
  public var names: [String]
  /// What is learnt of a text; nil where nothing says it.
  public var problem: ProblemType?

  /// Names, and what they are.
  public init(_ names: [String], problem: ProblemType? = nil) { (self.names, self.problem) = (names, problem) }

  /// Nil where it is neither a list nor such an object.
  init?(_ json: JSON) {
    if let list = json.array {
      names = list.compactMap(\.string)
      problem = nil
      guard names.count == list.count else { return nil }
    } else {
      guard case .object(let members)? = json["id2label"],
        let problem = json["problem_type"]?.string.flatMap(ProblemType.init)
      else { return nil }
      let pairs = members.compactMap { member in Int(member.key).flatMap { id in member.value.string.map { (id, $0) } }
      }
      .sorted { $0.0 < $1.0 }
      guard pairs.count == members.count, pairs.map(\.0) == Array(0..<pairs.count) else { return nil }
      (names, self.problem) = (pairs.map(\.1), problem)
    }
  }

  /// As it is written.
  public var json: JSON {
    guard let problem, problem != .singleLabel else { return .array(names.map { .string($0) }) }
    return .object([.init("problem_type", .string(problem.rawValue))] + configuration)
  }

  /// `id2label` and `label2id`.
  var configuration: [JSON.Member] {
    [
      .init("id2label", .object(names.enumerated().map { .init("\($0)", .string($1)) })),
      .init("label2id", .object(names.enumerated().map { .init($1, .integer($0)) })),
    ]
  }
}
