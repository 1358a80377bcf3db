import ArgumentParser
import Foundation
import LoRAKit

/// Whether to colour what is written.
enum ColorChoice: String, CaseIterable, ExpressibleByArgument {
  case auto, always, never

  /// What the command line says, before it is parsed: its errors have colours too.
  static let given: ColorChoice = {
    let arguments = CommandLine.arguments
    let values = arguments.enumerated().compactMap { index, argument in
      argument == "--color" && index + 1 < arguments.count
        ? arguments[index + 1] : argument.hasPrefix("--color=") ? String(argument.dropFirst(8)) : nil
    }
    return values.last.flatMap(ColorChoice.init(rawValue:)) ?? .auto
  }()
}

/// What standard output and standard error are.
enum Terminal {
  /// The columns of the terminal; nil where it is none.
  static func width(_ descriptor: Int32 = STDOUT_FILENO) -> Int? {
    guard isatty(descriptor) == 1 else { return nil }
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }

  /// The layout that suits it. Colours are for terminals that have them, unless `NO_COLOR` is set (no-color.org).
  static func style(_ descriptor: Int32 = STDOUT_FILENO) -> TextStyle {
    let environment = ProcessInfo.processInfo.environment
    let isColored =
      switch ColorChoice.given {
      case .always: true
      case .never: false
      case .auto:
        isatty(descriptor) == 1 && environment["NO_COLOR", default: ""].isEmpty && environment["TERM"] != "dumb"
      }
    return TextStyle(width: width(descriptor), isColored: isColored)
  }
}
