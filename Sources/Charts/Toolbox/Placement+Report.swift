// What lora check says: whether an adapter fits a base.

import LoRAAdapters
import LoRAFiles
import LoRAFormats

extension Placement {
  /// Whether an adapter fits a base.
  ///
  /// - `countsPEFT`: whether what Python peft would make of it counts.
  public func report(of adapter: StoredAdapter, on base: Checkpoint, countsPEFT: Bool = true) -> Report {
    let formats = Dictionary(grouping: items) { item in
      let adapter = item.module.tensors.first?.format.rawValue ?? ""
      return "\(adapter) on \(base[item.places[0].tensor]?.format.rawValue ?? "the tied embedding")"
    }
    let transposed = items.filter { $0.isTransposed && !$0.module.isEmbedding }.count
    let isWell = isComplete && (!countsPEFT || isCompleteForPEFT)
    var fields: [Report.Field] = [
      .init("adapter", .text(adapter.url.relativePath)), .init("base", .text(base.url.relativePath)),
    ]
    fields += formats.sorted { $0.key < $1.key }.map {
      .init("formats", .text("\($0.key), \($0.value.count.counted("module"))"))
    }
    if transposed > 0 { fields.append(.init("Conv1D", .text("\(transposed) weights are stored as [in, out]"))) }
    let wholes =
      adapter.replacements.isEmpty
      ? ""
      : " \(replacements.count) of \(adapter.replacements.count) weights that are saved whole have theirs."
    let places = items.flatMap { item in item.places.map { (module: item.module, weight: $0.tensor) } }
    return Report(
      title: "The adapter \(adapter.url.lastPathComponent) on \(base.url.lastPathComponent)",
      summary: "\(items.count) of \(adapter.modules.count) modules have their place in the base.\(wholes)",
      sections: [.init("The two", [.fields(fields)])],
      findings: findings.filter { countsPEFT || $0.audience == .everyone }
        + [adapter.quantizationFinding(on: base)].compactMap { $0 },
      conclusion: isWell
        ? .init("The adapter fits.", .good)
        : isComplete
          ? .init(
            "The adapter fits here, but Python peft would ignore it, in whole or in part (--without-peft if that does not "
              + "matter).", .bad)
          : .init("The adapter does not fit: it would act in part, wrongly or not at all.", .bad),
      members: [
        .init("complete", .bool(isWell)), .init("complete_for_peft", .bool(isCompleteForPEFT)),
        .init("modules", .integer(adapter.modules.count)),
        .init(
          "placed",
          .array(places.map { ["module": .string($0.module.path), "weight": .string($0.weight)] })),
      ])
  }
}
