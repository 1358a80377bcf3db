import ArgumentParser
import LoRAKit

/// Which columns of a labelled file hold text and label.
struct ColumnOptions: ParsableArguments {
  @OptionGroup var text: TextColumnOptions

  @Option(
    help: ArgumentHelp(
      "The label's column, likewise; several (a,b,c) where each is a label of its own.", valueName: "column"))
  var labelColumn: String?

  func validate() throws {
    guard labelColumn.map({ !TextColumnOptions.columns($0).isEmpty }) ?? true else {
      throw ValidationError("--label-column: names no column.")
    }
  }

  /// Reads the file and says, unless quiet, what was taken.
  ///
  /// - Parameters:
  ///   - labels: the classes that are known; nil finds them.
  ///   - problem: what the labels are; nil finds out.
  func read(_ file: Path, labels: [String]?, problem: ProblemType?, isQuiet: Bool) throws -> LabelledText {
    let texts = try LabelledText(
      contentsOf: file.input(), texts: text.columns, labels: labelColumn.map(TextColumnOptions.columns) ?? [],
      hasHeader: text.header, problem: problem, labelNames: labels)
    for line in texts.columnsLines(file.name) { comment(line, isQuiet: isQuiet) }
    return texts
  }
}

/// Which column of a file holds the texts.
struct TextColumnOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The text's column: a name, or a position counted from 0; two (a,b) for pairs of texts. (default: found)",
      valueName: "column"))
  var textColumn: String?

  @Flag(inversion: .prefixedNo, help: "Whether the first line names the columns or is an example. (default: found)")
  var header: Bool?

  var columns: [LabelledText.Column] { textColumn.map(TextColumnOptions.columns) ?? [] }
  /// Whether something was said that only a table has.
  var areTable: Bool { textColumn != nil || header != nil }

  func validate() throws {
    guard let textColumn, !(1...2).contains(columns.count) else { return }
    throw ValidationError("--text-column \(textColumn): one column is meant, or two for pairs of texts.")
  }

  /// Names and positions between commas.
  static func columns(_ text: String) -> [LabelledText.Column] {
    text.split(separator: ",").map { name in Int(name).flatMap { $0 >= 0 ? .position($0) : nil } ?? .named(String(name))
    }
  }
}

extension ProblemType: ExpressibleByArgument {}
