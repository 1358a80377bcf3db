/// What is learnt of a text, under transformers' names (`problem_type`).
public enum ProblemType: String, Sendable, CaseIterable {
  /// Which one of some classes it has.
  case singleLabel = "single_label_classification"
  /// Which of some labels it has: none, one or several.
  case multiLabel = "multi_label_classification"
  /// A number.
  case regression
}
