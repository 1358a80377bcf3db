import LoRAFiles
import LoRAToolbox

extension QuantizationReport {
  /// How each matrix is stored, and how far it is from what it was.
  public var report: Report {
    let table = Table(
      key: "tensors", of: tensors,
      [
        .init("tensor", key: "tensor", total: "all") { .text($0.tensor) },
        .init("format", key: "format") { .text($0.format.rawValue) },
        .init("‖Q−W‖/‖W‖", key: "relative_error", total: .number(total.relativeError)) { .number($0.relativeError) },
      ])
    return Report(
      title: "\(base.lastPathComponent), quantised",
      summary: (tensors.isEmpty ? "" : "\(tensors.count.counted("matrix", "matrices")) in fewer bits: ")
        + "\(byteText(bytes.before)) became \(byteText(bytes.after)).",
      sections: [
        .init("By tensor", [.table(table, caption: "How far each matrix is from what it was, relative to itself.")])
      ], findings: findings, conclusion: .written(output, as: "result"),
      members: [
        .init("output", .string(output.path)), .init("bytes_before", .integer(bytes.before)),
        .init("bytes", .integer(bytes.after)), .init("relative_error", Report.Value.number(total.relativeError).json),
      ])
  }
}
