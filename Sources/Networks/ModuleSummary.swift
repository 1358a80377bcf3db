import LoRATensors

/// What a module consists of: its modules as a tree, their parameters with shapes, and what is attached to them.
///
/// ```swift
/// print(model.summary)
/// ```
/// A parameter that two modules share is listed where it is met first, as in `parameters`. Neighbours that are alike,
/// such as the layers of a transformer, are one row.
public struct ModuleSummary: Sendable, Equatable {
  /// A module, or a parametrization of a parameter of the module above it.
  public struct Row: Sendable, Equatable {
    /// How many rows above this one it is a part of.
    public var depth: Int
    /// The path below the row that it is a part of: "hidden1", "layers.0–11", "weight".
    public var name: String
    /// The type, of a parametrization in its own words: "Linear", "LoRA, rank 8, scale 2".
    public var type: String
    /// Its own parameters, without those of the modules below.
    public var shapes: [Shape]
    /// Numbers in them.
    public var count: Int
    /// How many of those numbers an optimizer changes.
    public var trainableCount: Int
    /// How many neighbours are like this one, itself included; the numbers are of one of them.
    public var copies = 1
  }

  /// A parameter's name and shape.
  public struct Shape: Sendable, Equatable, CustomStringConvertible {
    /// Its name in the module that holds it.
    public var name: String
    /// Its shape.
    public var sizes: [Int]

    /// A name and a shape.
    public init(name: String, sizes: [Int]) { (self.name, self.sizes) = (name, sizes) }

    public var description: String { "\(name) \(sizes)" }
  }

  /// The type of the module itself.
  public let type: String
  /// Its parts in the order of a walk from the top, each under what it is a part of.
  public let rows: [Row]
  /// Numbers in all parameters of the model, without those of parametrizations.
  public let count: Int
  /// Numbers in the parameters of parametrizations.
  public let attachedCount: Int
  /// Numbers that an optimizer changes, those of parametrizations included.
  public let trainableCount: Int

  /// What a module consists of now: what is attached later is not in it.
  public init(_ module: some Module) {
    type = name(of: module)
    rows = Node.tree(of: module).rows(depth: 0)
    count = module.parameters.reduce(0) { $0 + $1.parameter.original.count }
    attachedCount = module.allParameters.reduce(0) { $0 + $1.parameter.original.count } - count
    trainableCount = module.trainableCount
  }

  /// The totals in a sentence.
  public var title: String {
    let all = count + attachedCount
    let share = all == 0 ? 0 : (1000 * Double(trainableCount) / Double(all)).rounded() / 10
    return "\(type): \(count.counted("parameter"))"
      + (attachedCount > 0 ? " and \(attachedCount.grouped) of what is attached to them" : "")
      + "; \(trainableCount.grouped) (\(share)%) are trained"
  }

  /// The names of the columns of `table`.
  public static let columns = ["module", "type", "shapes", "parameters", "trained"]

  /// A row of texts for each row.
  public var table: [[String]] {
    rows.map { row in
      let copies = row.copies > 1 ? "\(row.copies) × " : ""
      return [
        String(repeating: "  ", count: row.depth) + row.name, copies + row.type,
        row.shapes.map(\.description).joined(separator: ", "), row.count == 0 ? "" : copies + row.count.grouped,
        row.count == 0 ? "" : copies + row.trainableCount.grouped,
      ]
    }
  }
}

extension ModuleSummary: CustomStringConvertible {
  /// The title and the table, its columns in line.
  public var description: String {
    let lines = [Self.columns] + table
    let widths = Self.columns.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    let isNumber = [false, false, false, true, true]
    return
      ([title]
      + lines.map { line in
        let cells = line.indices.map { column in
          let padding = String(repeating: " ", count: widths[column] - line[column].count)
          return isNumber[column] ? padding + line[column] : line[column] + padding
        }
        return String(cells.joined(separator: "  ").reversed().drop { $0 == " " }.reversed())
      }).joined(separator: "\n")
  }
}

extension Module {
  /// What the module consists of.
  public var summary: ModuleSummary { ModuleSummary(self) }

  /// What a notebook shows of a module.
  public var playgroundDescription: Any { summary }
}

// MARK: - Building

/// A row and what is below it.
private struct Node: Equatable {
  var row: ModuleSummary.Row
  var children: [Node] = []

  static func tree(of module: some Module) -> Node {
    let modules = module.modules
    // A property whose name adds nothing to paths gives a module the path of the one above: they count as one.
    var nodes = Dictionary(modules.map { ($0.path, Node(named: $0.path, $0.module)) }) { first, _ in first }
    // Each parameter belongs to the innermost module whose path its name starts with.
    for item in module.parameters { nodes[owner(of: item.name, among: nodes)]?.add(item) }
    // Innermost first, so that a module is whole before it is put into the one above.
    for (path, _) in modules.dropFirst().reversed() where !path.isEmpty {
      guard var node = nodes.removeValue(forKey: path) else { continue }
      let above = owner(of: path, among: nodes)
      node.row.name = String(above.isEmpty ? Substring(path) : path.dropFirst(above.count + 1))
      nodes[above]?.modules.insert(node, at: 0)
    }
    return nodes[""] ?? Node(named: "", module)
  }

  /// The modules below, which follow the links of the module's own parameters.
  private var modules: [Node] = []

  private init(named name: String, _ module: any Module) {
    row = .init(depth: 0, name: name, type: LoRANetworks.name(of: module), shapes: [], count: 0, trainableCount: 0)
  }

  private mutating func add(_ item: NamedParameter) {
    let parameter = item.parameter
    let name = String(row.name.isEmpty ? Substring(item.name) : item.name.dropFirst(row.name.count + 1))
    row.add(name, parameter)
    for link in parameter.parametrizations {
      var node = Node(named: name, link)
      if let text = link as? any CustomStringConvertible { node.row.type = text.description }
      if !link.isEnabled { node.row.type += ", switched off" }
      for part in link.allParameters { node.row.add(part.name, part.parameter) }
      children.append(node)
    }
  }

  private static func owner(of name: String, among nodes: [String: Node]) -> String {
    var path = name[...]
    while let dot = path.lastIndex(of: ".") {
      path = path[..<dot]
      if nodes[String(path)] != nil { return String(path) }
    }
    return ""
  }

  /// The rows below this one; of the whole, where it has parameters of its own, itself too.
  func rows(depth: Int) -> [ModuleSummary.Row] {
    var rows: [ModuleSummary.Row] = []
    if depth == 0 && !row.shapes.isEmpty { rows.append(row) }
    for node in children + Self.merged(modules) {
      rows.append(node.row)
      rows[rows.count - 1].depth = depth
      rows += node.rows(depth: depth + 1)
    }
    return rows
  }

  /// Runs of nodes that differ in the last number of their names alone become one node each.
  private static func merged(_ nodes: [Node]) -> [Node] {
    var result: [(node: Node, stem: Substring, last: Int)] = []
    for node in nodes {
      let digits = node.row.name.reversed().prefix { $0.isNumber }.reversed()
      guard let number = Int(String(digits)) else {
        result.append((node, Substring(node.row.name), -1))
        continue
      }
      let stem = node.row.name.dropLast(digits.count)
      if let previous = result.last, previous.stem == stem, previous.last + 1 == number, previous.node.isLike(node) {
        result[result.count - 1].last = number
        result[result.count - 1].node.row.copies += 1
      } else {
        result.append((node, stem, number))
      }
    }
    return result.map { item in
      var node = item.node
      if node.row.copies > 1 { node.row.name += "–\(item.last)" }
      return node
    }
  }

  private func isLike(_ other: Node) -> Bool {
    var (left, right) = (self, other)
    (left.row.name, right.row.name, left.row.copies, right.row.copies) = ("", "", 1, 1)
    return left == right
  }
}

extension ModuleSummary.Row {
  fileprivate mutating func add(_ name: String, _ parameter: Parameter) {
    shapes.append(.init(name: name, sizes: parameter.shape))
    count += parameter.original.count
    trainableCount += parameter.isTrainable ? parameter.original.count : 0
  }
}

/// The type's own name, without that of its module.
private func name(of module: any Module) -> String { String(describing: Swift.type(of: module)) }
