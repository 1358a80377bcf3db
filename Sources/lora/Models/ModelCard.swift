import Foundation
import LoRAKit

/// README.md beside what was trained, as model hubs show it: base, data, settings, numbers, and how to use it. Nothing in it
/// depends on the time, so that the same run writes the same.
struct ModelCard {
  let report: Report
  let name: String
  let base: String
  /// A classifier's classes; `nil` for a decoder.
  let labels: ClassifierLabels?
  /// Whether it is a whole model, not an adapter.
  let isWhole: Bool

  var markdown: String {
    let tags = ["swift-lora"] + (isWhole ? [] : ["lora"])
    let numbers = report.sections.first?.blocks.flatMap { block -> [Report.Field] in
      guard case .fields(let fields) = block else { return [] }
      return fields.filter { $0.key != "seconds" }
    }
    return """
      ---
      \(isOnHub ? "base_model: \(quoted(base))\n" : "")library_name: \(isWhole ? "transformers" : "peft")
      pipeline_tag: \(labels == nil ? "text-generation" : "text-classification")
      tags: \(JSON.array(tags.map(JSON.string)).compact)
      ---

      # \(plain(name))

      \(plain(report.summary)) The base is \(code(base)).

      ## Result

      \(table(numbers ?? []))

      ## Settings

      \(table(report.settings))

      \(chosen)## Use

      ```sh
      \(shell)
      ```

      ```python
      \(python)
      ```

      """
  }

  /// How the settings were chosen, where the program has chosen them.
  private var chosen: String {
    guard let section = report.sections.first(where: { $0.title == RecipeChoice.sectionTitle }) else { return "" }
    return "## \(section.title)\n\n"
      + section.blocks.map { block in
        guard case .table(let table, _) = block else { return "" }
        let shown = table.columns.indices.filter { table.columns[$0].name != nil }
        let rows =
          [shown.map { table.columns[$0].name! }, shown.map { _ in "---" }]
          + table.rows.map { row in shown.map { plain(row[$0].text) } }
        return rows.map { "| \($0.joined(separator: " | ")) |" }.joined(separator: "\n") + "\n\n"
      }.joined()
  }

  /// Whether the base is called as on a hub, "name" or "owner/name": there, a card that names a folder is refused.
  private var isOnHub: Bool {
    base.wholeMatch(of: /[A-Za-z0-9_][A-Za-z0-9._-]*(\/[A-Za-z0-9_][A-Za-z0-9._-]*)?/) != nil
  }

  private var shell: String {
    let model = isWhole ? name : base
    let adapter = isWhole ? "" : " --adapter \(shellQuoted(name))"
    return labels == nil
      ? "lora generate --model \(shellQuoted(model))\(adapter) --prompt \"Once upon a time\""
      : "lora classify --model \(shellQuoted(model))\(adapter) \"a text\""
  }

  private var python: String {
    let kind = labels == nil ? "AutoModelForCausalLM" : "AutoModelForSequenceClassification"
    let count =
      labels.map { labels in
        ", num_labels=\(labels.names.count)"
          + (labels.problem.map { $0 == .singleLabel ? "" : ", problem_type=\"\($0.rawValue)\"" } ?? "")
      } ?? ""
    if isWhole { return "from transformers import \(kind)\n\nmodel = \(kind).from_pretrained(\(quoted(name)))" }
    let classes =
      labels.map { "\n# The classes, in their order: \(JSON.array($0.names.map(JSON.string)).compact)" } ?? ""
    return """
      from peft import PeftModel
      from transformers import \(kind)

      model = \(kind).from_pretrained(\(quoted(base))\(count))
      model = PeftModel.from_pretrained(model, \(quoted(name)))\(classes)
      """
  }

  private func table(_ fields: [Report.Field]) -> String {
    (["| | |", "| --- | --- |"]
      + fields.compactMap { field in field.label.map { "| \(plain($0)) | \(plain(field.value.text)) |" } })
      .joined(separator: "\n")
  }

  /// Also a string in YAML and in Python.
  private func quoted(_ text: String) -> String { JSON.string(text).compact }

  private func code(_ text: String) -> String {
    "`\(text.visible.replacing("`", with: "'").replacing("\n", with: " "))`"
  }

  /// Without what Markdown would read as more than text.
  private func plain(_ text: String) -> String {
    text.visible.replacing("\n", with: " ").reduce(into: "") { result, character in
      if "\\`*_[]<>|#".contains(character) { result += "\\" }
      result.append(character)
    }
  }
}
