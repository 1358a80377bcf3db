import ArgumentParser
import Foundation
import LoRAKit

/// `lora`: the command line. Parses, calls the library, prints.
@main
struct LoRACommand: AsyncParsableCommand {
  static let version = "0.1.0"
  static let configuration = CommandConfiguration(
    commandName: "lora",
    abstract: "Low-rank adaptation: understand it, train it, ship it.",
    version: version,
    subcommands: [
      DigitsCommand.self, PageCommand.self, SVDCommand.self, TrainCommand.self, EvaluateCommand.self,
      ClassifyCommand.self,
      EmbedCommand.self,
      GenerateCommand.self, ChatCommand.self, LogitsCommand.self, InspectCommand.self, CheckCommand.self,
      MergeCommand.self,
      UnmergeCommand.self, QuantizeCommand.self, ExtractCommand.self, ResizeCommand.self, CombineCommand.self,
      AverageCommand.self,
      ConvertCommand.self,
      DiffCommand.self,
    ])

  static func main() async {
    _ = programStart
    Ranks.begin()
    do {
      try checkNames(CommandLine.arguments.dropFirst())
      var command = try parseAsRoot()
      guard Ranks.works(on: command) else { return }
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch {
      // Help and the like are no failures, and go to standard output.
      let code = exitCode(for: error)
      if code.isSuccess {
        print(fullMessage(for: error))
      } else {
        let option = (error as? any DescribedError)?.advice.action.map { " (\($0.option))" } ?? ""
        let message = (fullMessage(for: error) + option).visible
        let style = Terminal.style(STDERR_FILENO)
        Ranks.fail(
          error, code.rawValue,
          message.hasPrefix("Error:") ? style.painted("Error:", .red) + message.dropFirst(6) : message)
      }
    }
    Ranks.end()
    guard StandardOutput.isFlushed() else {
      StandardError.write("Error: \(StandardOutput.failure)\n")
      Foundation.exit(1)
    }
  }
  /// - Throws: where a subcommand's name is none, with the one that was probably meant.
  private static func checkNames(_ arguments: ArraySlice<String>) throws {
    var command: any ParsableCommand.Type = LoRACommand.self
    for argument in arguments where argument != "help" {
      let names = command.configuration.subcommands.compactMap { $0.configuration.commandName }
      guard !names.isEmpty, !argument.hasPrefix("-") else { return }
      guard let index = names.firstIndex(of: argument) else {
        let nearest = names.min { editDistance($0, argument) < editDistance($1, argument) }!
        let meant = names.first { $0.hasPrefix(argument) } ?? (editDistance(nearest, argument) <= 2 ? nearest : nil)
        throw ValidationError(
          "There is no command '\(argument)'." + (meant.map { " Did you mean '\($0)'?" } ?? ""))
      }
      command = command.configuration.subcommands[index]
    }
  }

  /// The fewest insertions, deletions and replacements between two texts (Wagner and Fischer, 1974).
  private static func editDistance(_ a: String, _ b: String) -> Int {
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, y) in b.enumerated() {
        (diagonal, row[j + 1]) = (row[j + 1], min(row[j + 1] + 1, row[j] + 1, diagonal + (x == y ? 0 : 1)))
      }
    }
    return row[b.count]
  }
}
