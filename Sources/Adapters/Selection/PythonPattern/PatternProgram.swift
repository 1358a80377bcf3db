// A regular expression as instructions for the matcher, one after the other; its size is that of the pattern's text,
// since repetitions count instead of being written out.

import LoRAFiles

/// A compiled pattern.
final class PatternProgram: Sendable {
  enum Instruction: Sendable {
    case scalar(UInt32)
    /// One scalar of a set, by its number.
    case set(Int)
    case anchor(PatternAnchor)
    case jump(Int)
    /// Goes on with the next instruction, and on failure at `otherwise`; there at once where the next instruction
    /// needs the scalar `start` and it isn't there.
    case branch(otherwise: Int, start: UInt32?)
    /// Like `branch`, but `otherwise` comes first.
    case lazyBranch(otherwise: Int)
    /// Stores the position in a register.
    case save(Int)
    /// A repetition of one set. `next`: the scalar that must follow.
    case repeatSet(Int, minimum: Int, maximum: Int, PatternNode.Greed, next: UInt32?)
    case loopStart(Int)
    /// Begins another turn of a loop with the next instruction, or goes on at `exit`.
    case loopNext(Int, exit: Int)
    /// Begins a part that is matched on its own; behind it the matcher goes on at `exit`.
    case enter(Frame, exit: Int)
    case leave
    case reference(Int, LetterCase)
    case unlessSet(group: Int, target: Int)
    case accept
  }

  /// A part that is matched on its own: once matched, it isn't tried in another way.
  enum Frame: Sendable {
    case atomic
    /// Looks at what follows, from `back` scalars earlier.
    case look(isNegated: Bool, back: Int)
  }

  struct Loop: Sendable {
    let minimum: Int
    let maximum: Int
    let isLazy: Bool
    /// Whether a turn can match nothing, so that the matcher must see to it that loops end.
    let canBeEmpty: Bool
    /// The register with the count of turns; the next one holds where the present turn began, or -1.
    let register: Int

    /// Whether what follows depends on the count.
    var counts: Bool { minimum > 0 || maximum < .max }
    /// How many counts make a difference, and which of them a count is.
    var differentCounts: Int { maximum == .max ? minimum + 1 : maximum + 1 }
    func different(_ count: Int) -> Int { maximum == .max ? min(count, minimum) : count }
  }

  let code: [Instruction]
  let sets: [ScalarSet]
  let loops: [Loop]
  /// For each instruction, the loops around it whose state matters to what can follow.
  let enclosing: [[Int]]
  /// The groups that have names.
  let names: [ExactString: Int]
  let registerCount: Int
  /// Whether a match depends on what groups hold, so that failures can't be remembered by state alone.
  let dependsOnGroups: Bool
  /// The scalars that every match ends with, a newline before which "$" stands aside.
  let ending: [UInt32]

  init(_ text: String) throws(PythonPatternError) {
    var parser = try PatternParser(text)
    let tree = try parser.parse()
    var compiler = PatternCompiler(widths: parser.widths, text: text)
    compiler.emit(.save(0))
    try compiler.compile(tree)
    compiler.emit(.save(1))
    compiler.emit(.accept)
    code = compiler.code
    sets = compiler.sets
    loops = compiler.loops
    enclosing = compiler.enclosing
    names = parser.names
    registerCount = compiler.registerCount
    dependsOnGroups = compiler.dependsOnGroups
    ending = Array(tree.reversedEnding.reversed())
  }
}

/// Turns a tree into instructions.
private struct PatternCompiler {
  let widths: [PatternWidth?]
  let text: String
  var code: [PatternProgram.Instruction] = []
  var sets: [ScalarSet] = []
  var loops: [PatternProgram.Loop] = []
  var enclosing: [[Int]] = []
  var registerCount: Int
  var dependsOnGroups = false
  private var openLoops: [Int] = []

  init(widths: [PatternWidth?], text: String) {
    self.widths = widths
    self.text = text
    registerCount = 2 * widths.count
  }

  mutating func emit(_ instruction: PatternProgram.Instruction) {
    code.append(instruction)
    enclosing.append(openLoops)
  }

  private mutating func number(_ set: ScalarSet) -> Int {
    if let known = sets.lastIndex(of: set), known >= sets.count - 16 { return known }
    sets.append(set)
    return sets.count - 1
  }

  mutating func compile(_ node: PatternNode, next: UInt32? = nil) throws(PythonPatternError) {
    switch node {
    case .scalar(let scalar): emit(.scalar(scalar))
    case .set(let set): emit(.set(number(set)))
    case .anchor(let anchor): emit(.anchor(anchor))
    case .sequence(let parts):
      for (index, part) in parts.enumerated() {
        try compile(part, next: index + 1 < parts.count ? parts[index + 1].start : next)
      }
    case .alternation(let parts): try compile(parts)
    case .group(let group, let part):
      emit(.save(2 * group))
      try compile(part, next: next)
      emit(.save(2 * group + 1))
    case .repetition(let part, let minimum, let maximum, let greed):
      try compile(part, minimum, maximum, greed, next: next)
    case .atomic(let part): try compile(part, as: .atomic)
    case .look(let isAhead, let isNegated, let part):
      var back = 0
      if !isAhead {
        let width = part.width(groups: widths)
        guard width.minimum == width.maximum else {
          throw PythonPatternError(.malformed, pattern: text, reason: "look-behind requires fixed-width pattern")
        }
        back = width.minimum
      }
      try compile(part, as: .look(isNegated: isNegated, back: back))
    case .reference(let group, let cases):
      dependsOnGroups = true
      emit(.reference(group, cases))
    case .conditional(let group, let yes, let no):
      dependsOnGroups = true
      let branch = code.count
      emit(.unlessSet(group: group, target: 0))
      try compile(yes)
      let jump = code.count
      emit(.jump(0))
      code[branch] = .unlessSet(group: group, target: code.count)
      try compile(no)
      code[jump] = .jump(code.count)
    }
  }

  private mutating func compile(_ alternatives: [PatternNode]) throws(PythonPatternError) {
    var jumps: [Int] = []
    for part in alternatives.dropLast() {
      let branch = code.count
      emit(.branch(otherwise: 0, start: nil))
      try compile(part)
      jumps.append(code.count)
      emit(.jump(0))
      code[branch] = .branch(otherwise: code.count, start: part.start)
    }
    try compile(alternatives[alternatives.count - 1])
    for jump in jumps { code[jump] = .jump(code.count) }
  }

  private mutating func compile(_ part: PatternNode, as frame: PatternProgram.Frame) throws(PythonPatternError) {
    let enter = code.count
    emit(.enter(frame, exit: 0))
    try compile(part)
    emit(.leave)
    code[enter] = .enter(frame, exit: code.count)
  }

  private mutating func compile(
    _ part: PatternNode, _ minimum: Int, _ maximum: Int, _ greed: PatternNode.Greed, next: UInt32?
  ) throws(PythonPatternError) {
    switch part.single {
    case .scalar(let scalar):
      let set = number(ScalarSet([.range(scalar...scalar)]))
      return emit(.repeatSet(set, minimum: minimum, maximum: maximum, greed, next: next))
    case .set(let set):
      return emit(.repeatSet(number(set), minimum: minimum, maximum: maximum, greed, next: next))
    default: break
    }
    // Python matches each turn of a possessive repetition on its own, and never goes back to an earlier one.
    if greed == .possessive {
      return try compile(.repetition(.atomic(part), minimum: minimum, maximum: maximum, .greedy), as: .atomic)
    }
    let start = code.count
    if (minimum, maximum) == (0, 1) {
      emit(.jump(0))
      try compile(part, next: next)
      code[start] = greed == .lazy ? .lazyBranch(otherwise: code.count) : .branch(otherwise: code.count, start: nil)
      return
    }
    let loop = loops.count
    loops.append(
      PatternProgram.Loop(
        minimum: minimum, maximum: maximum, isLazy: greed == .lazy,
        canBeEmpty: part.width(groups: widths).minimum == 0, register: registerCount))
    registerCount += 2
    emit(.loopStart(loop))
    if loops[loop].counts || loops[loop].canBeEmpty { openLoops.append(loop) }
    emit(.loopNext(loop, exit: 0))
    try compile(part)
    emit(.jump(start + 1))
    if openLoops.last == loop { openLoops.removeLast() }
    code[start + 1] = .loopNext(loop, exit: code.count)
  }
}

extension PatternNode {
  /// This part without groups of one that don't capture.
  fileprivate var single: PatternNode {
    if case .sequence(let parts) = self, parts.count == 1 { parts[0].single } else { self }
  }

  /// The scalar that every match begins with, where it is easily told.
  fileprivate var start: UInt32? {
    switch self {
    case .scalar(let scalar): scalar
    case .sequence(let parts): parts.first?.start
    case .group(_, let part), .atomic(let part): part.start
    default: nil
    }
  }

  /// The scalars that every match ends with, backwards, where they are easily told.
  fileprivate var reversedEnding: [UInt32] {
    switch self {
    case .scalar(let scalar): [scalar]
    case .group(_, let part), .atomic(let part): part.reversedEnding
    case .sequence(let parts):
      switch parts.last {
      case .scalar(let scalar)?: [scalar] + PatternNode.sequence(parts.dropLast()).reversedEnding
      case .anchor?: PatternNode.sequence(parts.dropLast()).reversedEnding
      case let last: last?.reversedEnding ?? []
      }
    default: []
    }
  }
}
