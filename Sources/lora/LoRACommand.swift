import ArgumentParser
import Foundation
import LoRAKit

/// `lora`: the command line. Parses, calls the library, prints.
@main
struct LoRACommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lora",
    abstract: "Low-rank adaptation: understand it, train it, ship it.",
    version: "0.1.0",
    subcommands: [
      DigitsCommand.self, PageCommand.self, SVDCommand.self, TrainCommand.self, EvaluateCommand.self, ClassifyCommand.self,
      EmbedCommand.self,
      GenerateCommand.self, LogitsCommand.self, InspectCommand.self, CheckCommand.self, MergeCommand.self,
      UnmergeCommand.self, ExtractCommand.self, ResizeCommand.self, CombineCommand.self, ConvertCommand.self,
      DiffCommand.self,
    ])

  static func main() async {
    do {
      var command = try parseAsRoot()
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
        StandardError.write(shown(fullMessage(for: error)) + "\n")
        Foundation.exit(code.rawValue)
      }
    }
    guard StandardOutput.isFlushed() else {
      StandardError.write("Error: standard output can't be written to: not all results arrived\n")
      Foundation.exit(1)
    }
  }
}
