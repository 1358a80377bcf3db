// Parameters chosen by the rules by which modules are chosen.

import LoRANetworks
import LoRATensors

extension [NamedParameter] {
  /// The parameters whose name, or the path of a module that holds them, `targets` selects: `.names(["bias"])` every
  /// bias, `.names(["hidden1"])` all of that layer, `.names(["b"])` every LoRA's B, `.pattern(".*norm.*")` what a pattern
  /// matches as a whole.
  ///
  /// - Throws: `AttachmentError.noMatch`, listing what there is, where anything given matches nothing;
  ///   `AttachmentError.badPattern`.
  public func matching(_ targets: Targets) throws -> [NamedParameter] {
    expect(
      targets != .allLinear, "matching: parameters are chosen by names or a pattern; they do not show whose they are")
    let paths = map { pathBeginnings($0.name) }
    let matcher: SelectionMatcher
    var selected: [NamedParameter] = []
    do throws(PythonPatternError) {
      matcher = try SelectionMatcher(ModuleSelection(targets: targets))
      for (item, paths) in zip(self, paths) {
        var isSelected = false
        for path in paths where try matcher.targets(path) { isSelected = true }
        if isSelected { selected.append(item) }
      }
    } catch {
      throw AttachmentError.badPattern(targets.text, reason: "\(error)")
    }
    let unused = matcher.unusedTargets(among: paths.flatMap(\.self))
    guard unused.isEmpty, !selected.isEmpty else {
      throw AttachmentError.noMatch(targets: unused.isEmpty ? [targets.text] : unused, candidates: map(\.name))
    }
    return selected
  }
}

/// A name, and the paths of the modules around it.
private func pathBeginnings(_ name: String) -> [String] {
  name.indices.filter { name[$0] == "." }.map { String(name[..<$0]) } + [name]
}
