// Matches a program by trying its choices in Python's order and going back to the last one after each failure: no
// recursion, so that no stack overflows.
//
// A match fails from an instruction at a position, with the loops around it in a certain state, for the same reasons
// however it got there; so where groups don't matter, each such state is entered once. States are remembered from the
// moment on when a match turns out to be long.

/// One match under way.
struct PatternMatcher {
  enum Outcome { case matched, failed, exhausted }

  private struct Choice {
    enum Kind {
      case resume
      /// A repetition of a set that may give back its last scalar, down to `limit`.
      case shrink
      /// A repetition of a set that may take another scalar, up to `limit`.
      case grow
      /// A lazy loop that may take another turn.
      case turn
      /// The beginning of a frame: when it comes up, the frame has failed.
      case frame
    }

    let kind: Kind
    /// Where to go on; for `grow` and `turn`, the instruction of the repetition itself.
    let instruction: Int
    var position: Int
    let limit: Int
    let trail: Int
  }

  private struct Frame {
    let kind: PatternProgram.Frame
    let exit: Int
    let position: Int
    let choices: Int
    let trail: Int
    let number: Int
  }

  private let program: PatternProgram
  private let subject: [UInt32]
  private let matchesWhole: Bool
  /// The most steps that this match may take: ten times what a matcher in linear time would, and some.
  let budget: Int

  /// Start and end of the groups, then two for each loop.
  private(set) var registers: [Int]
  private var trail: [(register: Int, value: Int)] = []
  private var choices: [Choice] = []
  private var frames: [Frame] = []
  private var framesEntered = 0
  private var visited: Set<Int> = []
  private var steps = 0

  private static let stepsBeforeRemembering = 200

  init(_ program: PatternProgram, subject: [UInt32], matchesWhole: Bool) {
    self.program = program
    self.subject = subject
    self.matchesWhole = matchesWhole
    registers = [Int](repeating: -1, count: program.registerCount)
    let (size, overflow) = program.code.count.multipliedReportingOverflow(by: 10 * (subject.count + 1))
    budget = 100_000 + (overflow ? 4_000_000 : min(size, 4_000_000))
  }

  mutating func run() -> Outcome {
    let program = program
    let subject = subject
    var pc = 0
    var position = 0

    while true {
      steps += 1
      if steps > budget { return .exhausted }
      var matches = true
      switch program.code[pc] {
      case .scalar(let scalar):
        matches = position < subject.count && subject[position] == scalar
        position += 1
        pc += 1
      case .set(let set):
        matches = position < subject.count && program.sets[set].contains(subject[position])
        position += 1
        pc += 1
      case .anchor(let anchor):
        matches = holds(anchor, position)
        pc += 1
      case .jump(let target): pc = target
      case .branch(let otherwise, let start):
        if let start, position >= subject.count || subject[position] != start {
          pc = otherwise
        } else if isNew(pc, position) {
          choose(.resume, otherwise, position)
          pc += 1
        } else {
          matches = false
        }
      case .lazyBranch(let otherwise):
        matches = isNew(pc, position)
        if matches {
          choose(.resume, pc + 1, position)
          pc = otherwise
        }
      case .save(let register):
        assign(register, position)
        pc += 1
      case .repeatSet(let set, let minimum, let maximum, let greed, let next):
        matches = isNew(pc, position)
        if matches {
          matches = repeatSet(program.sets[set], minimum, maximum, greed, next, pc, &position)
          pc += 1
        }
      case .loopStart(let loop):
        assign(program.loops[loop].register, 0)
        if program.loops[loop].canBeEmpty { assign(program.loops[loop].register + 1, -1) }
        pc += 1
      case .loopNext(let number, let exit):
        matches = isNew(pc, position)
        if matches { nextTurn(program.loops[number], exit, &pc, position) }
      case .enter(let kind, let exit):
        framesEntered += 1
        frames.append(
          Frame(
            kind: kind, exit: exit, position: position, choices: choices.count, trail: trail.count,
            number: framesEntered))
        choose(.frame, exit, position)
        if case .look(_, let back) = kind {
          matches = position >= back
          position -= back
        }
        pc += 1
      case .leave:
        let frame = frames.removeLast()
        choices.removeSubrange(frame.choices...)
        pc = frame.exit
        if case .look(let isNegated, _) = frame.kind {
          position = frame.position
          matches = !isNegated
        }
      case .reference(let group, let cases):
        matches = repeats(group, cases, &position)
        pc += 1
      case .unlessSet(let group, let target): pc = isSet(group) ? pc + 1 : target
      case .accept:
        if !matchesWhole || position == subject.count { return .matched }
        matches = false
      }
      if !matches, !goBack(&pc, &position) { return .failed }
    }
  }

  // MARK: Choices

  private mutating func choose(_ kind: Choice.Kind, _ instruction: Int, _ position: Int, limit: Int = 0) {
    choices.append(
      Choice(kind: kind, instruction: instruction, position: position, limit: limit, trail: trail.count))
  }

  /// Takes up the last choice; `false` where there is none.
  private mutating func goBack(_ pc: inout Int, _ position: inout Int) -> Bool {
    while let choice = choices.popLast() {
      undo(to: choice.trail)
      pc = choice.instruction
      position = choice.position
      switch choice.kind {
      case .resume: return true
      case .shrink:
        guard case .repeatSet(_, _, _, _, let next) = program.code[choice.instruction - 1],
          let shorter = shortened(choice.position - 1, downTo: choice.limit, next: next)
        else { continue }
        position = shorter
        if shorter > choice.limit { choose(.shrink, choice.instruction, shorter, limit: choice.limit) }
        return true
      case .grow:
        guard case .repeatSet(let set, _, _, _, let next) = program.code[choice.instruction],
          let longer = lengthened(choice.position, upTo: choice.limit, program.sets[set], next: next)
        else { continue }
        position = longer
        pc += 1
        if longer < choice.limit { choose(.grow, choice.instruction, longer, limit: choice.limit) }
        return true
      case .turn:
        guard case .loopNext(let number, _) = program.code[choice.instruction] else { continue }
        beginTurn(program.loops[number], position)
        pc += 1
        return true
      case .frame:
        let frame = frames.removeLast()
        if case .look(isNegated: true, _) = frame.kind { return true }
      }
    }
    return false
  }

  private mutating func assign(_ register: Int, _ value: Int) {
    trail.append((register, registers[register]))
    registers[register] = value
  }

  private mutating func undo(to height: Int) {
    while trail.count > height {
      let (register, value) = trail.removeLast()
      registers[register] = value
    }
  }

  /// Whether this instruction is met here for the first time, with the loops around it in this state.
  private mutating func isNew(_ instruction: Int, _ position: Int) -> Bool {
    guard steps > Self.stepsBeforeRemembering, !program.dependsOnGroups else { return true }
    var key = frames.last?.number ?? 0
    for number in program.enclosing[instruction] {
      let loop = program.loops[number]
      if loop.counts,
        !append(loop.different(registers[loop.register]), of: loop.differentCounts, to: &key)
      {
        return true
      }
      // Of the place where the turn began only one thing matters: whether the turn has matched something since.
      if loop.canBeEmpty, !append(registers[loop.register + 1] == position ? 1 : 0, of: 2, to: &key) { return true }
    }
    // The instruction is the last digit: it says which loops the digits before it are about.
    guard append(position, of: subject.count + 1, to: &key), append(instruction, of: program.code.count, to: &key)
    else { return true }
    return visited.insert(key).inserted
  }

  /// Appends a digit to a number; `false` where it would grow too large, and the state is not remembered.
  private func append(_ digit: Int, of base: Int, to key: inout Int) -> Bool {
    let (product, overflow) = key.multipliedReportingOverflow(by: base)
    let (sum, carry) = product.addingReportingOverflow(digit)
    key = sum
    return !overflow && !carry
  }

  // MARK: Repetitions

  private mutating func repeatSet(
    _ set: ScalarSet, _ minimum: Int, _ maximum: Int, _ greed: PatternNode.Greed, _ next: UInt32?, _ pc: Int,
    _ position: inout Int
  ) -> Bool {
    let start = position
    let available = subject.count - start
    guard minimum <= available else { return false }
    let most = start + min(maximum, available)
    let least = start + minimum
    let target = greed == .lazy ? least : most
    var end = start
    while end < target, set.contains(subject[end]) { end += 1 }
    steps += (end - start) / 8
    guard end >= least else { return false }
    position = end
    switch greed {
    case .possessive: return true
    case .greedy:
      guard let end = shortened(end, downTo: least, next: next) else { return false }
      position = end
      if end > least { choose(.shrink, pc + 1, end, limit: least) }
    case .lazy:
      if least < most { choose(.grow, pc, least, limit: most) }
    }
    return true
  }

  /// The last position up to `position` where `next` follows, or any.
  private mutating func shortened(_ position: Int, downTo limit: Int, next: UInt32?) -> Int? {
    guard let next else { return position }
    var end = position
    while end >= limit, end >= subject.count || subject[end] != next { end -= 1 }
    steps += (position - end) / 8
    return end >= limit ? end : nil
  }

  /// The first position after `position`, through scalars of the set, where `next` follows, or any.
  private mutating func lengthened(_ position: Int, upTo limit: Int, _ set: ScalarSet, next: UInt32?) -> Int? {
    var end = position
    repeat {
      guard end < limit, set.contains(subject[end]) else { return nil }
      end += 1
    } while next != nil && (end >= subject.count || subject[end] != next)
    steps += (end - position) / 8
    return end
  }

  private mutating func nextTurn(_ loop: PatternProgram.Loop, _ exit: Int, _ pc: inout Int, _ position: Int) {
    let count = registers[loop.register]
    if count < loop.minimum {
      assign(loop.register, count + 1)
      pc += 1
      return
    }
    // A turn that matched nothing is the last one.
    let isLast = count >= loop.maximum || loop.canBeEmpty && registers[loop.register + 1] == position
    if isLast {
      pc = exit
    } else if loop.isLazy {
      choose(.turn, pc, position)
      pc = exit
    } else {
      choose(.resume, exit, position)
      beginTurn(loop, position)
      pc += 1
    }
  }

  private mutating func beginTurn(_ loop: PatternProgram.Loop, _ position: Int) {
    if loop.counts { assign(loop.register, registers[loop.register] + 1) }
    if loop.canBeEmpty { assign(loop.register + 1, position) }
  }

  // MARK: Conditions

  private func isSet(_ group: Int) -> Bool {
    registers[2 * group] >= 0 && registers[2 * group + 1] >= registers[2 * group]
  }

  /// Whether the text of a group follows; moves behind it.
  private mutating func repeats(_ group: Int, _ cases: LetterCase, _ position: inout Int) -> Bool {
    let (start, end) = (registers[2 * group], registers[2 * group + 1])
    guard start >= 0, end >= start, end - start <= subject.count - position else { return false }
    steps += (end - start) / 8
    for index in start..<end {
      guard cases.lowercase(subject[index]) == cases.lowercase(subject[position]) else { return false }
      position += 1
    }
    return true
  }

  private func holds(_ anchor: PatternAnchor, _ position: Int) -> Bool {
    switch anchor {
    case .start: position == 0
    case .lineStart: position == 0 || subject[position - 1] == 10
    case .end: position == subject.count
    case .endOrLastNewline:
      position == subject.count || position == subject.count - 1 && subject[position] == 10
    case .lineEnd: position == subject.count || subject[position] == 10
    case .boundary(let isASCII): !subject.isEmpty && isBoundary(position, isASCII)
    case .noBoundary(let isASCII): !subject.isEmpty && !isBoundary(position, isASCII)
    }
  }

  private func isBoundary(_ position: Int, _ isASCII: Bool) -> Bool {
    let word = ScalarSet.Category.word
    let before = position > 0 && word.contains(subject[position - 1], isASCII: isASCII)
    let after = position < subject.count && word.contains(subject[position], isASCII: isASCII)
    return before != after
  }
}
